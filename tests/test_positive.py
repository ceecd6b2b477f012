"""Positive pairs of the contrastive loss (`--positive`): what the two patches share, wherever they are cut."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import main
from data.crop_plan import draw_crops
from data.degradation import (
    CDSRDegradation,
    DegradationConfig,
    Parameters,
    create_degradation,
)
from data.pairs import STREAM_PARAMETERS, STREAM_PARTNERS, PairDegradation
from data.resident import ResidentCrops
from data.sources import open_source
from data.training_set import TrainingSet, TrainingSetError
from tests.support.crops import PATCH, SIZES, batches_of, coordinates, loader_of, make_args, make_crops, truncate
from tests.support.runs import assert_same, final_state, rows, tiny
from utils.image import write_image

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images whose pixels say which image, row and column they are."""
    for index, size in enumerate(SIZES):
        write_image(tmp_path / "HR" / f"img{index + 1}.png", coordinates(index, size))
    return tmp_path / "HR"


def truncate_noise(path: Path) -> None:
    """Leave of an image its header, so that only reading it finds it broken."""
    write_image(path, np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8))
    truncate(path)


# --- which images


@pytest.mark.parametrize("count", [2, 3, 7])
def test_two_images_of_a_pair_are_never_the_same_and_any_two_meet(count: int) -> None:
    plans = [draw_crops(0, step, 8, np.full((count, 2), 40), PATCH, same_image=False) for step in range(60)]
    met = {(int(a), int(b)) for plan in plans for a, b in plan.pairs}
    assert met == {(a, b) for a in range(count) for b in range(count) if a != b}


def test_the_first_patches_are_those_of_pairs_of_one_image() -> None:
    sizes = np.array(SIZES)
    for step in range(20):
        plan, other = (draw_crops(5, step, 6, sizes, PATCH, same_image=same) for same in (True, False))
        assert np.array_equal(plan.partners, plan.images)
        assert np.array_equal(plan.images, other.images)
        assert np.array_equal(plan.corners[:, 0], other.corners[:, 0])
        assert np.array_equal(plan.orientations, other.orientations)
        assert (other.corners + PATCH <= sizes[other.pairs]).all()


def test_pixels_are_those_of_both_images(folder: Path) -> None:
    dataset = make_crops(folder, same_image=False, augment=False)
    for step, batch in enumerate(batches_of(dataset, range(20))):
        plan = dataset.plan(step)
        assert np.array_equal(batch[:, :, 0, 0, 0], plan.pairs)
        assert np.array_equal(batch[:, :, 1:, 0, 0], plan.corners)  # (top, left) of either patch


@pytest.mark.parametrize("positive", ["cd", "d", "c"])
def test_resident_pairs_equal_loaded_ones_and_ranks_share_them_out(folder: Path, positive: str) -> None:
    whole = batches_of(loader_of(make_args(folder, data_range="1-6/7-7", positive=positive), range(8)))
    parts = []
    for rank in range(2):
        source = open_source(folder).select(np.arange(6))
        options: dict[str, Any] = {"seed": 3, "batch_size": 6, "patch": PATCH, "world_size": 2}
        loaded = TrainingSet(source, **options, rank=rank, same_image=positive != "d")
        parts.append(torch.stack(list(ResidentCrops(loaded, CPU).batches(range(8)))))
        assert torch.equal(parts[-1], batches_of(loaded))
    assert torch.equal(torch.cat(parts, dim=1), whole)


def test_a_broken_image_is_stood_in_for_by_one_that_is_not_its_partner(folder: Path) -> None:
    truncate_noise(folder / "img2.png")
    dataset = make_crops(folder, same_image=False)
    seen = batches_of(dataset, range(40))[:, :, :, 0, 0, 0].reshape(-1, 2).numpy()
    planned = np.concatenate([dataset.plan(step).pairs for step in range(40)])
    first = np.where(planned[:, 0] == 1, 2, planned[:, 0])
    second = np.where(planned[:, 1] == 1, 2, planned[:, 1])
    second = np.where(second == first, second + 1, second)  # only a stand-in can be the other image
    assert (planned == 1).any(axis=0).all() and (planned == (1, 2)).all(axis=1).any()
    assert np.array_equal(seen, np.stack([first, second], axis=1))


def test_one_image_is_too_few_for_pairs_of_two(folder: Path) -> None:
    with pytest.raises(ValueError, match="--positive d takes two images, and there is one"):
        loader_of(make_args(folder, data_range="1-1/2-7", positive="d"), range(1))
    assert loader_of(make_args(folder, data_range="1-1/2-7", positive="c"), range(1))


def test_a_image_is_never_paired_with_itself_for_want_of_another(folder: Path) -> None:
    truncate_noise(folder / "img2.png")
    loader = loader_of(make_args(folder, data_range="1-2/3-7", positive="d"), range(4))
    with pytest.raises(TrainingSetError):
        batches_of(loader)


# --- which degradation


class Recorder(CDSRDegradation):
    """Keeps what it is asked to apply."""

    def __init__(self, config: DegradationConfig) -> None:
        super().__init__(config)
        self.applied: list[tuple[torch.Tensor, Parameters]] = []

    def apply(self, hr: torch.Tensor, parameters: Parameters, *rest: Any) -> torch.Tensor:
        self.applied.append((hr, parameters))
        return super().apply(hr, parameters, *rest)


def same(first: Parameters, second: Parameters) -> list[bool]:
    """Whether each field is equal, in the order of the fields."""
    return [torch.equal(getattr(first, field.name), getattr(second, field.name)) for field in fields(first)]


@pytest.mark.parametrize("config", [DegradationConfig(noise=20), DegradationConfig(sv_mode=5, noise=20)])
def test_a_degradation_of_its_own_for_each_patch(config: DegradationConfig) -> None:
    hr = torch.randint(0, 256, (5, 2, 3, 48, 48), generator=torch.Generator().manual_seed(0)).float()
    hr[:, 1] = hr[:, 0]  # so that only the degradations differ
    recorders = Recorder(config), Recorder(config)
    alike, own = (PairDegradation(recorder, seed=7, same_degradation=i == 0) for i, recorder in enumerate(recorders))
    lr_alike, lr_own = alike.degrade(hr, 3), own.degrade(hr, 3)
    assert lr_own.shape == lr_alike.shape == (5, 2, 3, 24, 24)
    (_, shared), *more = recorders[0].applied
    (first_hr, first), (second_hr, second) = recorders[1].applied
    assert not more and torch.equal(first_hr, hr[:, 0]) and torch.equal(second_hr, hr[:, 1])
    *drawn, is_unblurred = same(first, second)  # nothing is unblurred without a share of it
    assert all(same(first, shared)) and not any(drawn) and is_unblurred
    assert all(same(second, own.draw(5, 3, STREAM_PARTNERS))) and all(same(first, own.draw(5, 3, STREAM_PARAMETERS)))
    assert torch.equal(own.degrade(hr, 3), lr_own) and not torch.equal(own.degrade(hr, 4), lr_own)


def test_without_noise_the_kernels_alone_tell_the_patches_apart() -> None:
    hr = (
        torch.randint(0, 256, (5, 1, 3, 48, 48), generator=torch.Generator().manual_seed(0))
        .float()
        .expand(-1, 2, -1, -1, -1)
    )
    alike, own = (
        PairDegradation(create_degradation(DegradationConfig()), seed=7, same_degradation=same).degrade(hr, 3)
        for same in (True, False)
    )
    assert torch.equal(alike[:, 0], alike[:, 1]) and torch.equal(alike[:, 0], own[:, 0])
    assert ((own[:, 0] - own[:, 1]).abs().mean(dim=(1, 2, 3)) > 1).all()


# --- training


@pytest.mark.parametrize("positive", ["d", "c"])
def test_training_follows_and_resident_data_change_nothing(photographs: Path, positive: str) -> None:
    assert main.main(tiny(photographs, "--epochs_sr", "1")) == 0
    plain = [row["contrastive"] for row in rows("contrastive")]
    assert main.main(tiny(photographs, "--epochs_sr", "1", "--reset", "--positive", positive)) == 0
    expected = final_state()
    assert all(
        own != other for own, other in zip(plain, (row["contrastive"] for row in rows("contrastive")), strict=True)
    )
    assert main.main(tiny(photographs, "--epochs_sr", "1", "--reset", "--positive", positive, "--data_resident")) == 0
    assert_same(final_state(), expected)
