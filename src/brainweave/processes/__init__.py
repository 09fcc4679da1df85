"""Processes: from noise to data, whatever the network and whatever the data stand for."""

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
from brainweave.processes.samplers import SAMPLERS, calls

__all__ = [
    "DDPM",
    "SAMPLERS",
    "Coefficients",
    "Denoiser",
    "Estimate",
    "Network",
    "ProbabilityPath",
    "Process",
    "Rectified",
    "Trigonometric",
    "VariancePreserving",
    "calls",
    "constrained",
    "guide",
    "path_named",
    "voxel_clip",
]
