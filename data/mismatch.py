"""Whether a checkpoint is tested on what it was trained for."""

from collections.abc import Mapping
from typing import Any

from data.degradation import Degradation, described_degradation
from data.protocol import Protocol

UNKNOWN = "the checkpoint does not say what it was trained for (published files do not): compare it with the protocol"
TOLERANCE = 1e-3
NARROWEST_PUBLISHED = 0.2**2
"""Smallest variance that DASR was trained on; its tests have 0."""


def mismatches(trained_for: Mapping[str, Any], protocol: Protocol) -> list[str]:
    """Say in sentences where a protocol leaves the degradations that a checkpoint was trained for.

    trained_for: the checkpoint's metadata, `Degradation.describe()` and more; empty for a published file.
    """
    try:
        degradation = described_degradation(trained_for)
    except ValueError as error:
        return [f"the checkpoint's description of its training cannot be read ({error})"]
    if degradation is None:
        return [UNKNOWN]
    trained, tested = degradation.config, protocol.config
    found = [
        f"trained for {title} {ours}, tested on {theirs}"
        for title, ours, theirs in (
            ("degradation", trained.degradation, tested.degradation),
            ("scale", trained.scale, tested.scale),
            ("sample_mode", degradation.downsampling, protocol.degradation().downsampling),
            ("kernels of side", trained.blur_kernel, tested.blur_kernel),
        )
        if ours != theirs
    ]
    if tested.noise > trained.noise and degradation.variance_range is not None:  # else it draws noise by itself
        found.append(f"trained with noise up to {trained.noise:g}, tested on {tested.noise:g}")
    return found + _kernel_mismatches(degradation, protocol)


def _kernel_mismatches(degradation: Degradation, protocol: Protocol) -> list[str]:
    trained, kernels = degradation.config, protocol.test_kernels
    is_variant = any(kernel.sv_mode for kernel in kernels)
    if is_variant != bool(trained.sv_mode):
        blurs = "one kernel for a whole image", "spatially variant blur"
        return [f"trained with {blurs[trained.sv_mode > 0]}, tested on {blurs[is_variant]}"]
    variance_range = degradation.variance_range
    if is_variant or variance_range is None or protocol.degradation().variance_range is None:
        return []
    found = []
    num_anisotropic = sum(kernel.variance_1 != kernel.variance_2 for kernel in kernels)
    if num_anisotropic and trained.blur_type == "iso_gaussian":
        found.append(f"trained with isotropic kernels, tested on {num_anisotropic} anisotropic ones")
    low, high = variance_range
    widths = [(kernel.label, kernel.covariance[:2]) for kernel in kernels]
    wide = [label for label, variances in widths if max(variances) > high + TOLERANCE]
    # No blur at all is what a very narrow kernel is as well, or what a share of the training had.
    knows_none = low <= NARROWEST_PUBLISHED or trained.unblurred > 0
    narrow = [
        label for label, widths in widths if min(widths) < low - TOLERANCE and (max(widths) > 0 or not knows_none)
    ]
    return found + [
        f"trained on widths (variances) of {low:g} to {high:g}, tested on {adjective} kernels: {', '.join(labels)}"
        for adjective, labels in (("wider", wide), ("narrower", narrow))
        if labels
    ]
