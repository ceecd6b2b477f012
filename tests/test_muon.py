"""Muon against values worked out by hand and against the singular value decomposition in float64."""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from data.degradation import DegradationConfig, create_degradation
from data.pairs import PairDegradation
from loss import PixelLoss, contrastive_loss
from model import create_model
from model.moco import MoCo
from model.sync_norm import synchronise_statistics
from tests.support.ranks import on_ranks
from training.muon import Muon, orthogonalise, split_parameters
from training.optimizers import MUON_TOO, NOT_MUON
from training.schedule import Phase
from training.step import StepConfig, TrainingStep

ENDS = ("encoder", "head", "tail", "first_conv", "last_conv")
SHAPES = [(6, 4, 3, 3), (40, 2, 3, 3), (18, 2, 3, 3), (3, 5, 1, 3)]  # wide, tall, square, of another window


def quintic(value: Tensor) -> Tensor:
    """Five rounds of 3.4445 x - 4.7750 x³ + 2.0315 x⁵, what Newton-Schulz does to each singular value."""
    for _ in range(5):
        value = 3.4445 * value - 4.7750 * value**3 + 2.0315 * value**5
    return value


def by_svd(matrix: Tensor) -> Tensor:
    U, S, Vh = torch.linalg.svd(matrix.double(), full_matrices=False)
    return U @ torch.diag(quintic(S / S.square().sum().sqrt())) @ Vh


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def of(shapes: list[tuple[int, ...]], **options) -> tuple[list[nn.Parameter], Muon]:
    """Kernels of these shapes and two other weights, under one optimiser; the last tuple is theirs."""
    weights = [nn.Parameter(random(*shape, seed=index)) for index, shape in enumerate([*shapes, (5, 7), (5,)])]
    return weights, Muon(weights[:-2], weights[-2:], **{"lr": 0.01, **options})


def set_gradients(weights: list[nn.Parameter], seed: int) -> None:
    for index, weight in enumerate(weights):
        gradient = random(*weight.shape, seed=100 * seed + index)
        weight.grad = torch.empty_like(weight).copy_(gradient)  # in the layout of the weight, as autograd does


def take_steps(weights: list[nn.Parameter], optimizer: Muon, seeds: range) -> None:
    for seed in seeds:
        set_gradients(weights, seed)
        optimizer.step()


def assert_equal(first: list[nn.Parameter], second: list[nn.Parameter]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_newton_schulz_by_hand() -> None:
    """diag(3, 4) / 5 has singular values 0.6 and 0.8, and 0.6 becomes 2.0667 - 1.0314 + 0.1580 = 1.1933, 0.9119, ..."""
    result = orthogonalise(torch.diag(torch.tensor([3.0, 4.0]))[None])
    torch.testing.assert_close(result[0], torch.diag(torch.tensor([0.72288, 1.11920])), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(3, 8, 30), (3, 30, 8), (1, 9, 9), (2, 1, 5)])
def test_newton_schulz_against_the_svd(shape: tuple[int, int, int]) -> None:
    matrices = random(*shape)
    expected = torch.stack([by_svd(matrix) for matrix in matrices])
    torch.testing.assert_close(orthogonalise(matrices.double()), expected, atol=1e-10, rtol=0)
    torch.testing.assert_close(orthogonalise(matrices), expected.float(), atol=1e-4, rtol=0)
    assert torch.equal(orthogonalise(torch.zeros(shape)), torch.zeros(shape))


@pytest.mark.parametrize("rank", [1, 8, 64])
def test_newton_schulz_of_what_is_near_singular(rank: int) -> None:
    """The small eigenvalues of X Xᵀ are lost to rounding, and grow twelvefold a step; they must not matter."""
    U, _, Vh = torch.linalg.svd(random(1, 64, 576).double(), full_matrices=False)
    S = torch.logspace(0, -7, 64).double() * (torch.arange(64) < rank)
    matrices = U @ torch.diag(S) @ Vh
    expected = by_svd(matrices[0])
    assert (orthogonalise(matrices.float())[0].double() - expected).norm() < 1e-3 * expected.norm()


def test_two_steps_by_hand() -> None:
    """A row has one singular value, 1, which becomes 0.7010, 1.1136, 0.7207, 1.0900, 0.6964: a step of 0.2 √2 0.6964.

    After gradients (2, 0) and (0, 2) the average is (1.9, 2), and by Nesterov the direction (0.95 · 1.9, 2 + 0.95 · 2).
    """
    kernel = nn.Parameter(torch.ones(1, 1, 1, 2))
    optimizer = Muon([kernel], [], lr=0.1)
    size = 0.1 * 0.2 * math.sqrt(2) * 0.6964364
    kernel.grad = torch.tensor([2.0, 0.0]).view(1, 1, 1, 2)
    optimizer.step()
    torch.testing.assert_close(kernel.flatten().detach(), torch.tensor([1 - size, 1.0]))
    kernel.grad = torch.tensor([0.0, 2.0]).view(1, 1, 1, 2)
    optimizer.step()
    norm = math.hypot(1.805, 3.9)
    expected = torch.tensor([1 - size - size * 1.805 / norm, 1 - size * 3.9 / norm])
    torch.testing.assert_close(kernel.flatten().detach(), expected)
    torch.testing.assert_close(optimizer.state[kernel]["momentum_buffer"].flatten(), torch.tensor([1.9, 2.0]))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_a_run_against_the_svd(shape: tuple[int, ...], weight_decay: float) -> None:
    weights, optimizer = of([shape], weight_decay=weight_decay)
    value, average = weights[0].detach().double().flatten(1), torch.zeros(shape).double().flatten(1)
    for seed in range(3):
        take_steps(weights, optimizer, range(seed, seed + 1))
        gradient = weights[0].grad.double().flatten(1)
        average = 0.95 * average + gradient
        update = 0.2 * math.sqrt(max(value.shape)) * by_svd(gradient + 0.95 * average)
        value = value - 0.01 * (update + weight_decay * value)
    torch.testing.assert_close(weights[0].detach().double().flatten(1), value, atol=1e-5, rtol=0)


def test_updates_are_of_the_size_of_adams() -> None:
    weights, optimizer = of([(64, 64, 3, 3)], lr=1.0)
    before = weights[0].detach().clone()
    take_steps(weights, optimizer, range(1))
    assert 0.68 * 0.2 < (weights[0] - before).square().mean().sqrt() < 1.21 * 0.2


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_others_are_adams_bit_for_bit(channels_last: bool) -> None:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    options = {"lr": 0.01, "betas": (0.8, 0.98), "eps": 1e-6, "weight_decay": 0.01}
    shapes = [(4, 4, 3, 3), (5, 7), (6,)]
    ours, theirs = ([nn.Parameter(random(*shape)) for shape in shapes] for _ in range(2))
    for weights in (ours, theirs):
        weights[0].data = weights[0].data.to(memory_format=layout)
    optimizers: Any = Muon([], ours, **options), torch.optim.Adam(theirs, fused=True, **options)
    for seed in range(4):
        for weights, optimizer in zip((ours, theirs), optimizers, strict=True):
            set_gradients(weights, seed)
            optimizer.found_inf = torch.tensor(float(seed == 2))
            optimizer.step()
    assert_equal(ours, theirs)
    for mine, other in zip(ours, theirs, strict=True):
        slot, expected = optimizers[0].state[mine], optimizers[1].state[other]
        assert slot.keys() == expected.keys()
        assert all(torch.equal(slot[name], expected[name]) for name in expected)


def test_equal_shapes_together_equal_one_by_one() -> None:
    shapes = [(8, 6, 3, 3), (8, 6, 5, 5), (8, 6, 3, 3), (6, 8, 3, 3), (8, 6, 3, 3)]
    weights, optimizer = of(shapes)
    alone = [of([shape]) for shape in shapes]
    for index, (others, _) in enumerate(alone):
        others[0].data.copy_(weights[index])
    for seed in range(3):
        take_steps(weights, optimizer, range(seed, seed + 1))
        for index, (others, single) in enumerate(alone):
            others[0].grad = weights[index].grad
            single.step()
    for index, (others, _) in enumerate(alone):
        torch.testing.assert_close(weights[index], others[0], atol=2e-6, rtol=0)


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_resumed_run_goes_on_bit_for_bit(channels_last: bool) -> None:
    def fresh() -> tuple[list[nn.Parameter], Muon]:
        weights, optimizer = of([*SHAPES, SHAPES[0]], weight_decay=0.01)
        for weight in weights[:-2] if channels_last else ():
            weight.data = weight.data.to(memory_format=torch.channels_last)
        return weights, optimizer

    weights, optimizer = fresh()
    take_steps(weights, optimizer, range(3))
    file = io.BytesIO()
    torch.save({"weights": [weight.detach() for weight in weights], "optimizer": optimizer.state_dict()}, file)
    take_steps(weights, optimizer, range(3, 6))
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed, second = fresh()
    for weight, value in zip(resumed, saved["weights"], strict=True):
        weight.data.copy_(value)
    second.load_state_dict(saved["optimizer"])
    take_steps(resumed, second, range(3, 6))
    assert_equal(resumed, weights)


@pytest.mark.parametrize("num_before", [0, 2])
def test_a_bad_step_changes_nothing(num_before: int) -> None:
    runs = []
    for has_bad_step in (False, True):
        weights, optimizer = of([*SHAPES, SHAPES[0]], weight_decay=0.01)
        optimizer.found_inf = torch.zeros(())
        take_steps(weights, optimizer, range(num_before))
        if has_bad_step:
            set_gradients(weights, 9)
            for weight in weights:
                weight.grad.view(-1)[:2] = torch.tensor([math.nan, math.inf])
            before = [weight.detach().clone() for weight in weights]
            optimizer.found_inf = torch.ones(())
            optimizer.step()
            assert_equal(weights, before)
            assert all(value.isfinite().all() for slot in optimizer.state.values() for value in slot.values())
            optimizer.found_inf = torch.zeros(())
        take_steps(weights, optimizer, range(3, 5))
        runs.append(weights)
    assert_equal(*runs)


def test_weights_without_a_gradient_stay() -> None:
    weights, optimizer = of(SHAPES, weight_decay=0.01)
    before = [weight.detach().clone() for weight in weights]
    optimizer.step()
    set_gradients(weights, 0)
    weights[0].grad = weights[-1].grad = None
    optimizer.step()
    assert [torch.equal(*pair) for pair in zip(weights, before, strict=True)] == [True, *[False] * 4, True]
    assert len(optimizer.state) == len(weights) - 2


def test_a_scaler_unscales_and_steps() -> None:
    plain, scaled = of(SHAPES), of(SHAPES)
    take_steps(*plain, range(1))
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    loss = sum((weight * random(*weight.shape, seed=index)).sum() for index, weight in enumerate(scaled[0]))
    scaler.scale(loss).backward()
    scaler.unscale_(scaled[1])
    scaler.step(scaled[1])
    assert_equal(plain[0], scaled[0])


def test_kernels_are_told_from_other_weights() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, (1, 3)), nn.Linear(8, 8)
    )
    kernels, others = split_parameters(model)
    assert [id(weight) for weight in kernels] == [id(model[0].weight), id(model[3].weight)]
    assert len(kernels) + len(others) == len(list(model.parameters()))
    kernels, _ = split_parameters(model, left_out=["0"])
    assert [id(weight) for weight in kernels] == [id(model[3].weight)]


@pytest.mark.parametrize(
    ("name", "count"),
    [("CDSR", 10 * (2 + 3 * 5) + 1), ("CDSR_S", 2 * (2 + 6 * 2) + 1), ("DASR_S", 6 * (6 * 2 + 1) + 2)],
)
def test_the_bodys_kernels_are_muons(name: str, count: int) -> None:
    model = create_model(name, 2)
    names = {id(weight): name for name, weight in model.named_parameters()}
    kernels, others = split_parameters(model, left_out=ENDS)
    assert len(kernels) == count and len(kernels) + len(others) == len(names)
    assert all(names[id(kernel)].startswith("sr_network") and kernel.shape[2] == 3 for kernel in kernels)
    assert not {f"sr_network.{end}.weight" for end in ENDS} & {names[id(kernel)] for kernel in kernels}


def test_vectors_are_no_kernels() -> None:
    with pytest.raises(ValueError, match="give the rest as others"):
        Muon([nn.Parameter(torch.zeros(3))], [], lr=0.1)


def test_a_matrix_moves_as_a_kernel_of_one_tap_does() -> None:
    matrix, kernel = nn.Parameter(random(6, 4)), nn.Parameter(random(6, 4)[:, :, None, None])
    matrix.grad, kernel.grad = random(6, 4, seed=1), random(6, 4, seed=1)[:, :, None, None]
    Muon([matrix], [], lr=0.1).step()
    Muon([kernel], [], lr=0.1).step()
    torch.testing.assert_close(matrix, kernel[:, :, 0, 0])


def test_linear_layers_are_muons_where_asked_for() -> None:
    model = create_model("CDSR_S", 2)
    kernels, others = split_parameters(model, left_out=NOT_MUON, linear_in=MUON_TOO)
    branch = model.encoder.lpe.autocorrelation_branch
    matrices = [layer.weight for layer in branch.modules() if isinstance(layer, nn.Linear)]
    assert len(matrices) == 6 and all(any(weight is kernel for kernel in kernels) for weight in matrices)
    assert len(kernels) + len(others) == len(list(model.parameters()))


def train(rank: int = 0, world_size: int = 1) -> dict[str, Tensor]:
    """Two joint steps on this rank's share of a fixed batch, and one whose loss is bad on the last rank."""
    torch.manual_seed(0)
    model = create_model("CDSR_S", 2)
    synchronise_statistics(model)
    step = TrainingStep(
        model=model,
        moco=MoCo(model.encoder, queue_size=16),
        pixel_loss=PixelLoss(),
        contrastive_loss=contrastive_loss,
        pair_degradation=PairDegradation(create_degradation(DegradationConfig()), 1, rank=rank, world_size=world_size),
        optimizer=Muon(*split_parameters(model, left_out=ENDS), lr=1.0),
        config=StepConfig(),
        device=torch.device("cpu"),
    )
    step.set_phase(Phase.JOINT)
    for index in range(3):
        hr = torch.from_numpy(np.random.default_rng(index).integers(0, 256, (4, 2, 3, 24, 24), np.uint8))
        own = hr.chunk(world_size)[rank]
        if index == 2 and rank == world_size - 1:
            step.guard.threshold = 0.0
        before = [weight.detach().clone() for weight in step.parameters]
        step(own, step=index, phase=Phase.JOINT, learning_rate=1e-3)
        assert {group["lr"] for group in step.optimizer.param_groups} == {1e-3}
    assert_equal(step.parameters, before)
    assert step.guard.total == 1
    return dict(model.named_parameters())


def test_ranks_step_alike(tmp_path: Path) -> None:
    first, second = on_ranks(train, 2, tmp_path)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    alone = train()
    for name, value in first.items():
        if name.endswith("convs.0.weight"):  # Adam's first updates are signs, of gradients near zero too
            torch.testing.assert_close(value, alone[name], atol=1e-5, rtol=0)


@pytest.mark.gpu
def test_a_gpu_decides_on_the_device() -> None:
    device = torch.device("cuda")
    shapes = [*SHAPES, SHAPES[0], (5, 7)]
    weights = [nn.Parameter(random(*shape).to(device)) for shape in shapes]
    on_cpu = [nn.Parameter(random(*shape)) for shape in shapes]
    optimizer, expected = (Muon(both[:-1], both[-1:], lr=0.01) for both in (weights, on_cpu))
    take_steps(on_cpu, expected, range(2))
    take_steps(weights, optimizer, range(1))
    optimizer.found_inf, bad = torch.zeros((), device=device), torch.ones((), device=device)
    set_gradients(weights, 1)
    torch.cuda.set_sync_debug_mode("error")
    try:
        optimizer.step()
        optimizer.found_inf = bad
        optimizer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for weight, value in zip(weights, on_cpu, strict=True):
        torch.testing.assert_close(weight.cpu(), value, atol=2e-3, rtol=0)  # of two updates of 0.01, in bf16
