"""Degradations of HR images to LR ones: options, random draws, blur, downsampling, noise."""

from data.degradation.base import (
    DEGRADATIONS,
    Degradation,
    Parameters,
    TestKernel,
    create_degradation,
    described_degradation,
    register,
)
from data.degradation.cdsr import CDSRDegradation
from data.degradation.config import BLUR_TYPES, SAMPLE_MODES, SCALES, SV_MODES, DegradationConfig
from data.degradation.dasr import DASRDegradation
from data.degradation.real import RealDegradation

register(CDSRDegradation)
register(DASRDegradation)
register(RealDegradation)
