"""What every degradation offers, and the registry of those there are.

A degradation is one file with one class. `data/degradation/__init__.py` registers it, in one line.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from data.degradation.config import DegradationConfig, choose
from utils.known_degradation import KnownDegradation

Generators = torch.Generator | Sequence[torch.Generator]  # one for a batch, or one for each of its images


@dataclass(frozen=True)
class Parameters:
    """What was drawn for each of B images: every field of a subclass is a CPU tensor of B rows."""

    def __len__(self) -> int:
        """B."""
        return len(getattr(self, fields(self)[0].name))

    def __getitem__(self, rows: slice) -> Self:
        """The parameters of some of the images."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class TestKernel:
    """One degradation of a protocol: its label in file names, its kernel in the convention's units, and its sv_mode.

    severity: results are averaged by it, too; "" where a protocol has none.
    is_unblurred: no Gaussian, but the kernel of antialiased bicubic reduction.
    """

    __test__ = False  # no test of pytest's

    label: str
    kernel: dict[str, float]
    variance_1: float = 0.0  # squared HR pixels
    variance_2: float = 0.0
    theta: float = 0.0  # radians
    sv_mode: int = 0
    severity: str = ""
    is_unblurred: bool = False

    @property
    def covariance(self) -> tuple[float, float, float]:
        """Eigenvalues and angle."""
        return self.variance_1, self.variance_2, self.theta


class Degradation(ABC):
    """HR to LR by one convention. It keeps no state: the same arguments and generators give the same LR."""

    name: ClassVar[str]  # as in --degradation
    sample_mode: ClassVar[str]  # where --sample_mode is not given
    kernel_flags: ClassVar[tuple[tuple[str, ...], ...]] = ()  # each tuple of flags names one fixed kernel
    is_spatially_variant: ClassVar[bool] = False  # whether it has --sv_mode 1 to 6
    baseline: ClassVar[str] = "bicubic"  # the model of interpolation that its papers compare with
    runs_in_workers: ClassVar[bool] = False  # whether the loader's workers degrade: the CPU's work, image by image

    def __init__(self, config: DegradationConfig) -> None:
        self.config = config
        self._check_kernel()
        self.check()

    @property
    @abstractmethod
    def default_protocol(self) -> str:
        """The test protocol that fits these options."""

    @property
    def downsampling(self) -> str:
        """The resolved sample_mode."""
        return self.config.sample_mode or self.sample_mode

    @property
    def min_lr_side(self) -> int:
        """LR pixels that a side of an image needs."""
        return 1

    @property
    def grid_shift(self) -> int:
        """HR pixels (down, right) by which LR pixels lie off the grid of interpolation, 0 or less."""
        return 0

    @property
    def fixed_kernel(self) -> TestKernel | None:
        """The one kernel, or spatially variant mode, that the options name; None if they name none."""
        return None

    @property
    def kernel_choices(self) -> str:
        """The flags that name one fixed kernel, for a message."""
        return ", or ".join(map(_join, self.kernel_flags)) or "no kernel"

    @property
    def unread_ranges(self) -> tuple[str, ...]:
        """Flags of ranges that its random kernels do not come from."""
        return ()

    @property
    def variance_range(self) -> tuple[float, float] | None:
        """Range of the variances of its Gaussian kernels; None where they are not Gaussian."""
        return None

    def check_training(self) -> None:
        """Raise ValueError for what its options cannot mean in a training; `check` is for all uses."""
        if self.fixed_kernel is not None and not self.config.sv_mode:
            raise ValueError(
                f"{self.kernel_choices}, name one kernel, for tests: a training draws kernels from a range; "
                "leave them out"
            )

    def check(self) -> None:
        """Raise ValueError for what its options cannot mean here; `DegradationConfig` checks each of them."""
        if self.config.unblurred and (self.variance_range is None or self.config.sv_mode):
            raise ValueError(
                f"--unblurred {self.config.unblurred} takes the place of one Gaussian kernel an image: give "
                "--degradation cdsr or dasr, and --sv_mode 0"
            )
        if self.config.sv_mode and not self.is_spatially_variant:
            variant = " or ".join(name for name, kind in DEGRADATIONS.items() if kind.is_spatially_variant)
            raise ValueError(
                f"degradation {self.name} has no sv_mode {self.config.sv_mode}, that is, no spatially variant blur: "
                f"give --sv_mode 0, or --degradation {variant}"
            )

    def _check_kernel(self) -> None:
        config = self.config
        for kind in DEGRADATIONS.values():
            for flags in kind.kernel_flags:
                if flags not in self.kernel_flags and any(getattr(config, flag) is not None for flag in flags):
                    raise ValueError(
                        f"{_join(flags)} of degradation {kind.name}: {self.name} takes {self.kernel_choices}"
                    )
        chosen = [flags for flags in self.kernel_flags if any(getattr(config, flag) is not None for flag in flags)]
        if len(chosen) > 1:
            raise ValueError(f"{_join(chosen[0])} as well as {_join(chosen[1])}: these are two kernels; give one")
        if chosen and any(getattr(config, flag) is None for flag in chosen[0]):
            raise ValueError(f"{_join(chosen[0])} go together: give both widths of the kernel")
        if chosen and config.sv_mode:
            raise ValueError(f"{_join(chosen[0])} as well as --sv_mode {config.sv_mode}: one kernel, or many; give one")
        if config.sig is not None and config.theta is not None:
            raise ValueError("--theta turns an anisotropic kernel, and that of --sig is round: leave it out")

    @abstractmethod
    def draw(self, batch_size: int, generator: torch.Generator) -> Parameters:
        """Draw random parameters for training. generator: on the CPU."""

    @abstractmethod
    def parameters_of(self, test_kernels: Sequence[TestKernel], noise: float, seeds: Sequence[int]) -> Parameters:
        """Parameters of one image under each test kernel. noise: grey levels; seeds: for what a kernel leaves open."""

    @abstractmethod
    def apply(self, hr: Tensor, parameters: Any, noise_generator: Generators | None = None) -> Tensor:
        """Degrade a batch on its device.

        hr: (B, C, H, W), or (B, N, C, H, W) whose N patches share their parameters; float32 in [0, 255].
        parameters: as `draw` or `parameters_of` gives them, for B images.
        noise_generator: on the device of hr, for the batch or one for each image; needed where there is noise.
        Returns lr of as many dimensions, ceil(H/s) x ceil(W/s), float32 of whole numbers in [0, 255].
        """

    def known_degradation(self, parameters: Any) -> KnownDegradation | None:
        """What a model may be told of images under these parameters; None where it is no one kernel and noise level."""
        return None

    def require_known(self, parameters: Any) -> KnownDegradation:
        """As `known_degradation`; ValueError where it is no one kernel and noise level."""
        known = self.known_degradation(parameters)
        if known is None:
            raise ValueError(
                f"--degradation {self.name} has no kernel to tell: leave out --epochs_teacher and --d_weight, and "
                "--sv_mode for a non-blind model"
            )
        return known

    def describe(self) -> dict[str, Any]:
        """Every option that was given or resolved, for JSON: what a checkpoint says that it was trained for."""
        given = {name: value for name, value in asdict(self.config).items() if value is not None}
        return given | {"sample_mode": self.downsampling}


DEGRADATIONS: dict[str, type[Degradation]] = {}


def register(degradation: type[Degradation]) -> None:
    """Make a degradation known by its name."""
    assert degradation.name not in DEGRADATIONS, f"two degradations are called {degradation.name}"
    DEGRADATIONS[degradation.name] = degradation


def create_degradation(config: DegradationConfig) -> Degradation:
    """The degradation that the options describe. ValueError names the flags of a contradiction."""
    choose("degradation", config.degradation, tuple(DEGRADATIONS))
    return DEGRADATIONS[config.degradation](config)


def described_degradation(description: Mapping[str, Any]) -> Degradation | None:
    """Read what `Degradation.describe` said, as a checkpoint keeps it among other things; None where that is nothing.

    Raises:
        ValueError: there is no such degradation.
    """
    names = {field.name for field in fields(DegradationConfig)}
    known = {name: value for name, value in description.items() if name in names}
    try:
        return create_degradation(DegradationConfig(**known)) if "degradation" in known else None
    except TypeError as error:
        raise ValueError(str(error)) from error


def _join(flags: tuple[str, ...]) -> str:
    return " and ".join(f"--{flag}" for flag in flags)
