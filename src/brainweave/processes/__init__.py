"""Processes: from noise to data, whatever the network and whatever the data stand for."""

from brainweave.processes.frequency import FrequencyAdaptive
from brainweave.processes.guidance import constrained, guide, voxel_clip
from brainweave.processes.paths import (
    DDPM,
    Coefficients,
    ProbabilityPath,
    Rectified,
    Trigonometric,
    VariancePreserving,
    path_named,
)
from brainweave.processes.process import Denoiser, Estimate, Network, Process
from brainweave.processes.samplers import SAMPLERS, calls, posterior
from brainweave.processes.sources import Gaussian, Informed, Source

__all__ = [
    "DDPM",
    "SAMPLERS",
    "Coefficients",
    "Denoiser",
    "Estimate",
    "FrequencyAdaptive",
    "Gaussian",
    "Informed",
    "Network",
    "ProbabilityPath",
    "Process",
    "Rectified",
    "Source",
    "Trigonometric",
    "VariancePreserving",
    "calls",
    "constrained",
    "guide",
    "path_named",
    "posterior",
    "voxel_clip",
]
