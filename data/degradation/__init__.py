"""Degradations of HR images to LR ones: options, random draws, blur, downsampling, noise."""

from data.degradation.config import (
    BLUR_TYPES,
    DEGRADATIONS,
    SAMPLE_MODES,
    SCALES,
    SV_MODES,
    DegradationConfig,
)
from data.degradation.pipeline import Degradation, Parameters

__all__ = [
    "BLUR_TYPES",
    "DEGRADATIONS",
    "SAMPLE_MODES",
    "SCALES",
    "SV_MODES",
    "Degradation",
    "DegradationConfig",
    "Parameters",
]
