"""The recipes of `--template`: options that train a model as a paper did, or as our own comparisons found best.

A recipe sets defaults; explicit flags override it. To add one, add an entry to `RECIPES`.
"""

from pathlib import Path
from typing import Any, NamedTuple


class Recipe(NamedTuple):
    """Options by name, and where they come from."""

    source: str
    options: dict[str, Any]


NEVER = 100_000
"""An epoch that no training reaches."""

_COMMON = {
    "blur_kernel": 21,
    "noise": 0.0,
    "patch_size": 48,
    "batch_size": 32,
    "test_every": 1000,
    "lr_sr": 1e-4,
    "lr_decay_sr": 125,
    "gamma_sr": 0.5,
}
"""What both papers say."""

_PAPER_SOURCE = "CDSR (Zhou et al., ACM MM 2022), section 4.1, and its published code."
_PAPER = {
    **_COMMON,
    "model": "CDSR",
    "degradation": "cdsr",
    "blur_type": "aniso_gaussian",
    "sample_mode": "s-fold",
    "epochs_encoder": -1,
    "epochs_sr": 700,
    "freeze_epoch": 600,
}
"""The widths of the kernels are the convention's own, `CDSRDegradation.published_range`."""

_NOISE = {"noise": 15.0}

_FAST_SOURCE = "Ours: 100,000 steps instead of 700,000; docs/log.md has the comparison of seven recipes behind it."
_FAST = {
    **_PAPER,
    "epochs_encoder": 5,
    "lr_encoder": 3e-4,
    "epochs_sr": 100,
    "freeze_epoch": 95,
    "lr_sr": 5e-4,
    "decay_type": "cosine",
    "warmup": 1000,
    "grad_clip": 20.0,
    "ema": 0.999,
}

_SMALL_SOURCE = (
    "Ours, for CPUs: an encoder told the kernel, with contrast; an SR network under the true kernel, as the teacher of "
    "KDSR (Xia et al., ICLR 2023); then both together. Muon. docs/log.md has the trials behind it."
)
_SMALL = {
    "model": "CDSR_S",
    "optimizer": "MUON",
    "precision": "auto",
    "channels_last": True,
    "patch_size": 48,
    "context": 96,
    "batch_size": 8,
    "batch_encoder": 24,
    "test_every": 500,
    "positive": "d",
    "negatives": "batch",
    "temperature": 0.1,
    "moco_momentum": 0.0,
    "queue_size": 16,
    "c_weight": 1.0,
    "d_weight": 10.0,
    "unblurred": 0.1,
    "epochs_encoder": 3,
    "lr_encoder": 1.2e-2,
    "lr_decay_encoder": 1,
    "gamma_encoder": 0.4,
    "epochs_sr": 60,
    "epochs_teacher": 10,
    "freeze_epoch": NEVER,
    "lr_sr": 1e-3,
    "decay_type": "constant_40",
    "warmup": 100,
    "grad_clip": 20.0,
    "ema": 0.999,
}

# A context of 96 at x4 would leave out the photographs of BSDS500, which are 321 pixels high; x3 takes the same.
_SMALL_X3 = {"context": 64, "scale": 3, "sig_min": 0.3, "sig_max": 9.0}
_SMALL_X4 = {"context": 64, "scale": 4, "sig_min": 0.4, "sig_max": 12.0}

_REAL_SOURCE = "Ours: CDSR_S for real images; starts from all but the tail of the shipped weights for blur."
_REAL = {
    **_SMALL,
    "degradation": "real",
    "unblurred": 0.0,
    "compression": True,
    "epochs_encoder": -1,
    "epochs_teacher": 0,
    "decay_type": "constant",
}
_REAL_X2 = {"scale": 2, "init_from": Path("experiment/pretrained/cdsr_s_x2.safetensors")}
_REAL_X4 = {"scale": 4, "context": 64, "init_from": Path("experiment/pretrained/cdsr_s_x4.safetensors")}

_DASR_SOURCE = "DASR (Wang et al., CVPR 2021), section 4.1, and its published code; its own degradation."
_DASR = {
    **_COMMON,
    "model": "DASR",
    "degradation": "dasr",
    "blur_type": "iso_gaussian",
    "epochs_encoder": 100,
    "epochs_sr": 500,
    "freeze_epoch": NEVER,
    "lr_encoder": 1e-3,
    "lr_decay_encoder": 60,
    "gamma_encoder": 0.1,
}
_QUICK = {
    **_SMALL,
    "scale": 2,
    "precision": None,  # as fits the device
    "channels_last": None,
    "patch_size": 24,
    "context": 48,
    "test_every": 50,
    "epochs_encoder": 1,
    "epochs_teacher": 1,
    "epochs_sr": 4,
    "decay_type": "constant_2",
    "warmup": 20,
    "ema": 0.95,
    "print_every": 10,
    "data_range": "1-800/801-810",
}
_ANISO = {"blur_type": "aniso_gaussian", "lambda_min": 0.2, "lambda_max": 4.0, "noise": 25.0}

RECIPES = {
    "quickstart": Recipe("Ours: a few minutes on a CPU, to see everything work once.", _QUICK),
    "paper_x2": Recipe(_PAPER_SOURCE, {**_PAPER, "scale": 2}),
    "paper_x3": Recipe(_PAPER_SOURCE, {**_PAPER, "scale": 3}),
    "paper_x4": Recipe(_PAPER_SOURCE, {**_PAPER, "scale": 4}),
    "paper_x4_noise15": Recipe(_PAPER_SOURCE, {**_PAPER, "scale": 4, **_NOISE}),
    "fast_x2": Recipe(_FAST_SOURCE, {**_FAST, "scale": 2}),
    "fast_x4": Recipe(_FAST_SOURCE, {**_FAST, "scale": 4}),
    "fast_x4_noise15": Recipe(_FAST_SOURCE, {**_FAST, "scale": 4, **_NOISE}),
    "small_x2": Recipe(_SMALL_SOURCE, {**_SMALL, "scale": 2, "sig_min": 0.2, "sig_max": 6.0}),
    "small_x3": Recipe(_SMALL_SOURCE, {**_SMALL, **_SMALL_X3}),
    "small_x4": Recipe(_SMALL_SOURCE, {**_SMALL, **_SMALL_X4}),
    "small_x4_noise15": Recipe(_SMALL_SOURCE, {**_SMALL, **_SMALL_X4, **_NOISE}),
    "small_x2_real": Recipe(_REAL_SOURCE, {**_REAL, **_REAL_X2}),
    "small_x4_real": Recipe(_REAL_SOURCE, {**_REAL, **_REAL_X4}),
    "dasr_x2": Recipe(_DASR_SOURCE, {**_DASR, "scale": 2, "sig_min": 0.2, "sig_max": 2.0}),
    "dasr_x3": Recipe(_DASR_SOURCE, {**_DASR, "scale": 3, "sig_min": 0.2, "sig_max": 3.0}),
    "dasr_x4": Recipe(_DASR_SOURCE, {**_DASR, "scale": 4, "sig_min": 0.2, "sig_max": 4.0}),
    "dasr_x4_aniso": Recipe(_DASR_SOURCE, {**_DASR, "scale": 4, **_ANISO}),
}
