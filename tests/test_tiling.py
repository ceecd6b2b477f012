"""Tiles, memory and views of the inference: by identity with the whole, and by faults put in on purpose."""

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.own_images import psnr, seam_ratio
from inference import memory
from inference.tiles import PIECE, SAMPLED, overlap_of, samples, super_resolve_bands, tile_starts
from inference.upscaler import VIEWS, Upscaler, _turned, _turned_back, grid_shift
from model import create_model, open_model
from model.bicubic import Bicubic
from model.network import Network
from model.pretrained import pretrained_path
from utils.known_degradation import KnownDegradation


def random_image(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 255


@pytest.fixture(scope="module")
def small_model():
    torch.manual_seed(0)
    model = create_model("CDSR_S", 2).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # statistics as after some training
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model


@pytest.mark.parametrize(("height", "width"), [(100, 133), (61, 200), (5, 90), (12, 12), (1, 1), (3, 500), (97, 49)])
def test_the_code_in_tiles_is_the_code_of_the_whole(small_model, height, width):
    lr = random_image(height, width)
    with torch.inference_mode():
        features = [small_model.encoder.lpe(lr / 255, tile) for tile in (None, 16, 40, 64)]
    for feature in features[1:]:
        torch.testing.assert_close(feature, features[0], atol=2e-6, rtol=1e-4)


class Blur(Network):
    """A local model: what a pixel becomes depends on 7x7 around it."""

    scale = 2

    def encode(self, lr: Tensor, known: KnownDegradation | None = None, *, tile: int | None = None) -> Tensor:
        return lr.mean(dim=(2, 3))

    def super_resolve(self, lr: Tensor, code: Tensor) -> Tensor:
        blurred = F.avg_pool2d(lr, 7, stride=1, padding=3)
        return F.interpolate(blurred + code[:, :, None, None], scale_factor=2, mode="nearest")


@pytest.mark.parametrize("tile", [32, 40, 64, 100])
@pytest.mark.parametrize(("height", "width"), [(100, 133), (33, 200), (65, 64), (20, 300), (1, 90)])
def test_tiles_of_a_local_model_give_the_whole_exactly(tile, height, width):
    lr = random_image(height, width)
    model = Blur()
    whole = model.super_resolve(lr, model.encode(lr)).clamp(0, 255)
    torch.testing.assert_close(Upscaler(model, tile=tile)(lr), whole)


def test_bands_come_once_in_order_and_cover_everything():
    lr = random_image(150, 90)
    bands = list(super_resolve_bands(lambda piece: F.interpolate(piece, scale_factor=3), lr, scale=3, tile=48))
    assert [rows.start for rows, _ in bands[1:]] == [rows.stop for rows, _ in bands[:-1]]
    assert (bands[0][0].start, bands[-1][0].stop) == (0, 450)
    torch.testing.assert_close(torch.cat([band for _, band in bands], dim=2), F.interpolate(lr, scale_factor=3))


def test_a_step_between_tiles_is_blended_away():
    """Tiles that disagree by 10 levels: no step of more than their share of the ramp."""
    lr = torch.zeros(1, 3, 64, 300)
    levels = iter(range(0, 1000, 10))
    bands = super_resolve_bands(lambda piece: piece + next(levels), lr, scale=1, tile=64)
    row = next(bands)[1][0, 0, 0]
    assert row[0] == 0 and row[-1] == 10 * (len(tile_starts(300, 64, overlap_of(64))) - 1)
    assert 0 < (row[1:] - row[:-1]).max() <= 10 / (overlap_of(64) // 2) + 1e-4
    assert (row[1:] - row[:-1]).min() >= 0


@pytest.mark.parametrize("precision", ["single", "bf16"])
@pytest.mark.parametrize("scale", [scale for scale in (2, 4) if pretrained_path("CDSR_S", scale).is_file()])
def test_tiles_of_trained_weights_are_steered_as_the_whole(scale, precision):
    """Half of the image is texture and half nearly black, so that a tile's own means would differ from the image's."""
    model = open_model("CDSR_S", scale, pretrained_path("CDSR_S", scale)).eval()
    lr = F.interpolate(random_image(54, 80), scale_factor=3, mode="bicubic").clamp(0, 255)
    lr[..., 120:] = lr[..., 120:] / 64 + 20
    whole, tiled = Upscaler(model, precision=precision)(lr), Upscaler(model, precision=precision, tile=64)(lr)
    assert psnr(tiled, whole) > 55
    assert seam_ratio(tiled, whole, tile=64, scale=scale) < 1.05
    model.is_pooling = False
    assert psnr(Upscaler(model, precision=precision, tile=64)(lr), whole) < psnr(tiled, whole) - 6


@pytest.mark.parametrize("scale", [scale for scale in (2, 4) if pretrained_path("CDSR_S", scale).is_file()])
def test_tiles_under_their_own_means_differ_by_what_dqa_pools(scale):
    """Halves of other means and contrasts: tiles agree with the whole to 45 dB, to 20 dB more without the query.

    The step across their borders is at most 1.15 times that elsewhere.
    """
    model = open_model("CDSR_S", scale, pretrained_path("CDSR_S", scale)).eval()
    model.is_pooling = False
    lr = F.avg_pool2d(F.interpolate(random_image(5, 8), scale_factor=20), 3, stride=1, padding=1)
    lr[..., 80:] = lr[..., 80:] / 16 + 200
    whole, tiled = Upscaler(model)(lr), Upscaler(model, tile=64)(lr)
    assert psnr(tiled, whole) > 45
    assert seam_ratio(tiled, whole, tile=64, scale=scale) < 1.15
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):
            torch.nn.init.zeros_(parameter)
    assert psnr(Upscaler(model, tile=64)(lr), Upscaler(model)(lr)) > psnr(tiled, whole) + 20


@pytest.mark.parametrize("name", ["CDSR_S", "CDSR_S_unconditional"])
def test_what_a_network_pools_of_an_image_steers_it_again(name):
    torch.manual_seed(0)
    model = create_model(name, 3).eval()
    for parameter_name, parameter in model.named_parameters():
        if parameter_name.endswith("gamma"):
            torch.nn.init.ones_(parameter)
    lr, other = random_image(30, 40), random_image(30, 40, seed=1)
    with torch.inference_mode():
        code = model.encode(lr)
        pooled = model.sr_network.pool(lr, code)
        whole = model.super_resolve(lr, code)
        assert pooled.shape == (1, 4, 64)
        torch.testing.assert_close(model.sr_network(lr, code, pooled), whole)
        assert not torch.allclose(model.sr_network(lr, code, model.sr_network.pool(other / 2, code)), whole)


@pytest.mark.parametrize(("height", "width", "tile"), [(300, 1100, 64), (40, 700, 256), (20, 900, 16), (33, 64, 48)])
def test_pieces_are_spread_evenly(height, width, tile):
    """On ramps their mean is that of the image; where they do not cover it, they do not overlap."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    lr = torch.stack([rows, columns]).float()[None]
    pieces = list(samples(lr, tile))
    [(piece_height, piece_width)] = {tuple(piece.shape[2:]) for piece in pieces}
    assert max(piece_height, piece_width) <= min(tile, PIECE)
    starts = sorted({int(piece[0, 1, 0, 0]) for piece in pieces})
    gaps = [after - before - piece_width for before, after in pairwise(starts)]
    if width <= SAMPLED:
        assert (starts[0], starts[-1] + piece_width) == (0, width)
        assert all(-1 <= gap <= 0 for gap in gaps)
    else:
        assert min(gaps) >= 0 and len(starts) * piece_width == SAMPLED
    mean = torch.stack([piece.mean(dim=(0, 2, 3)) for piece in pieces]).mean(dim=0)
    torch.testing.assert_close(mean, lr.mean(dim=(0, 2, 3)), atol=0.6, rtol=0)


def test_a_huge_image_is_sampled_in_bounded_time():
    pieces = list(samples(torch.zeros(1, 1, 1, 1).expand(1, 3, 20_000, 3_000), 256))
    assert sum(piece[0, 0].numel() for piece in pieces) == SAMPLED**2


@pytest.mark.parametrize("view", VIEWS)
def test_views_are_undone(view):
    lr = random_image(5, 8)
    assert torch.equal(_turned_back(_turned(lr, view), view), lr)
    assert len({tuple(_turned(random_image(4, 4), other).flatten().tolist()) for other in VIEWS}) == 8


class SFold(Bicubic):
    """Bicubic on the grid of s-fold sampling: moved up and left by scale - 1 pixels."""

    assumes_s_fold = True

    def super_resolve(self, lr: Tensor, code: Tensor) -> Tensor:
        framed = F.pad(lr, (0, 2, 0, 2), mode="replicate")
        move = self.scale - 1
        sr = super().super_resolve(framed, code)[:, :, move:, move:]
        return sr[:, :, : lr.shape[2] * self.scale, : lr.shape[3] * self.scale]


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_the_grid_of_s_fold_training_is_centred(scale):
    lr = F.interpolate(random_image(8, 9), size=(40, 52), mode="bicubic").clamp(5, 250)
    plain = Bicubic(scale=scale)
    assert torch.equal(Upscaler(plain, centred=True)(lr), plain(lr).clamp(0, 255))
    upscaler = Upscaler(SFold(scale=scale), centred=True)
    torch.testing.assert_close(upscaler(lr), plain(lr).clamp(0, 255), atol=1e-3, rtol=0)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_self_ensemble_brings_all_views_to_one_grid(scale):
    lr = F.interpolate(random_image(8, 9), size=(40, 52), mode="bicubic").clamp(5, 250)
    model = SFold(scale=scale)
    inside = (..., slice(16, -16), slice(16, -16))
    for centred in (False, True):
        alone = Upscaler(model, centred=centred)(lr)
        together = Upscaler(model, centred=centred, self_ensemble=True)(lr)
        torch.testing.assert_close(together[inside], alone[inside], atol=1e-3, rtol=0)
    assert torch.equal(Upscaler(model)(lr), model(lr).clamp(0, 255))  # a test set's grid is left alone


@pytest.mark.parametrize(
    ("name", "metadata", "is_shifted"),
    [
        ("CDSR", {}, True),  # published files
        ("DASR", {}, False),
        ("bicubic", {}, False),
        ("CDSR_S", {"degradation": "cdsr", "sample_mode": "s-fold"}, True),
        ("DASR_S", {"degradation": "cdsr", "sample_mode": "s-fold"}, True),
        ("CDSR", {"degradation": "cdsr", "sample_mode": "bicubic"}, False),
        ("CDSR", {"degradation": "dasr", "sample_mode": "bicubic"}, False),
        ("DASR", {"degradation": "dasr", "sample_mode": "s-fold"}, False),
    ],
)
@pytest.mark.parametrize("scale", [1, 3])
def test_the_grid_of_a_model_follows_from_its_training(name, metadata, is_shifted, scale):
    model = create_model(name, scale)
    model.trained_for = metadata
    assert grid_shift(model) == (1 - scale if is_shifted else 0)


def test_the_grid_of_an_unknown_degradation_is_said_to_be_a_guess(caplog):
    model = create_model("CDSR_S", 2)
    model.trained_for = {"degradation": "rain"}
    assert grid_shift(model) == 0 and "taken for that of interpolation: --degradation rain" in caplog.text


@pytest.mark.parametrize("scale", [scale for scale in (2, 3, 4) if pretrained_path("CDSR_S", scale).is_file()])
def test_the_grid_of_shipped_weights_is_what_their_results_show(scale):
    model = open_model("CDSR_S", scale, pretrained_path("CDSR_S", scale))
    lr = F.interpolate(random_image(12, 12), size=48, mode="bicubic").clamp(0, 255)
    with torch.inference_mode():
        sr, plain = model.eval()(lr), Bicubic(scale=scale)(lr)
    inside = (..., slice(8, 40 * scale), slice(8, 40 * scale))
    errors = {move: (sr - plain.roll((move, move), (2, 3)))[inside].square().mean() for move in range(-scale, scale)}
    assert min(errors, key=errors.__getitem__) == grid_shift(model) == 1 - scale


class Hungry(Blur):
    """Runs out of memory on anything larger than a limit."""

    def __init__(self, limit: int, error: Exception) -> None:
        super().__init__()
        self.limit, self.error = limit, error

    def super_resolve(self, lr: Tensor, code: Tensor) -> Tensor:
        if max(lr.shape[2:]) > self.limit:
            raise self.error
        return super().super_resolve(lr, code)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        cv2.error("(-4:Insufficient memory) Failed to allocate 4000000000 bytes in function 'OutOfMemoryError'"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    ],
)
def test_tiles_are_halved_when_memory_runs_out(error, caplog):
    lr = random_image(100, 130)
    upscaler = Upscaler(Hungry(40, error))
    torch.testing.assert_close(upscaler(lr), Upscaler(Blur())(lr))
    assert upscaler.tile == 32  # 130 -> 65 -> 32
    assert "trying again in tiles of 32" in caplog.text
    with pytest.raises(type(error)):
        Upscaler(Hungry(4, error))(lr)
    with pytest.raises(RuntimeError, match="shape"):
        Upscaler(Hungry(4, RuntimeError("shape mismatch")))(lr)


class Overflows(Blur):
    """Not finite in low precision, as float16 features that overflow."""

    def encode(self, lr: Tensor, known: KnownDegradation | None = None, *, tile: int | None = None) -> Tensor:
        code = super().encode(lr)
        return code * float("inf") if torch.is_autocast_enabled("cpu") else code

    def super_resolve(self, lr: Tensor, code: Tensor) -> Tensor:
        sr = super().super_resolve(lr, code)
        return sr * float("nan") if torch.is_autocast_enabled("cpu") else sr


@pytest.mark.parametrize("tile", [None, 32])
def test_what_is_not_finite_in_low_precision_is_computed_in_float32(tile):
    lr = random_image(40, 50)
    expected = Upscaler(Blur(), tile=tile)(lr)
    torch.testing.assert_close(Upscaler(Overflows(), precision="bf16", tile=tile)(lr), expected)


def test_progress_counts_tiles():
    seen: list[tuple[int, int]] = []
    upscaler = Upscaler(Blur(), tile=48)
    for _ in upscaler.bands(random_image(100, 70), on_tile=lambda done, total: seen.append((done, total))):
        pass
    assert seen == [(done, 6) for done in range(7)]


def test_work_can_be_ended_while_the_means_are_estimated(small_model):
    upscaler = Upscaler(small_model, tile=48)
    lr = random_image(100, 70)
    seen: list[int] = []
    for _ in upscaler.bands(lr, on_tile=lambda done, _: seen.append(done)):
        pass
    num_pieces = seen.count(0) - 1
    assert num_pieces == len(list(samples(lr, 48))) > 1
    assert seen == [0] * (1 + num_pieces) + list(range(1, 7))
    seen.clear()

    def end(done: int, total: int) -> None:
        seen.append(done)
        if len(seen) == 2:  # after the first piece
            raise InterruptedError

    with pytest.raises(InterruptedError):
        next(upscaler.bands(lr, on_tile=end))
    assert seen == [0, 0]


def test_tiles_follow_the_free_memory(small_model, monkeypatch, tmp_path: Path):
    cpu = torch.device("cpu")
    sides = [memory.choose_tile(small_model, cpu, free=free << 20) for free in (1, 40, 100, 4096, 1 << 20)]
    assert sides == sorted(sides)
    assert sides[0] < 64 and sides[-1] == memory.CPU_TILE and all(side % 16 == 0 and side >= 16 for side in sides)
    larger = create_model("CDSR", 2)
    assert memory.choose_tile(larger, cpu, free=40 << 20) < memory.choose_tile(small_model, cpu, free=40 << 20)
    assert 0 < memory.free_bytes(cpu) < 1 << 45
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    files = "memory.max", "memory.current", "memory.stat"
    assert memory._cgroup(*files, tmp_path) is None
    (tmp_path / "memory.max").write_text("5000\n")
    assert memory._cgroup(*files, tmp_path) == 4000
    # Files that the system keeps in memory count as used there, and are given up for us.
    (tmp_path / "memory.stat").write_text("anon 100\nfile 900\ninactive_file 700\n")
    assert memory._cgroup(*files, tmp_path) == 4700
    (tmp_path / "memory.stat").write_text("inactive_file 0\ntotal_inactive_file 600\n")
    assert memory._cgroup(*files, tmp_path) == 4600
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=7168))
    for left, free in ((None, 7168), (9000, 7168), (4000, 4000)):
        monkeypatch.setattr(memory, "_cgroup", lambda *_, left=left: left)
        assert memory.free_bytes(cpu) == free


def test_what_pytorch_keeps_of_a_gpu_is_free(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 9000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 700)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 200)
    assert memory.free_bytes(torch.device("cuda", 0)) == 1500
