"""Synthetic brain MRI: generate, complete and judge volumes with one composable core.

Importing this is light: torch is loaded when the first name that needs it is used.
"""

from importlib import import_module
from typing import Any

from brainweave.version import VERSION

__version__ = VERSION

_HOMES = {
    "Cohort": "data.cohort",
    "Subject": "data.cohort",
    "Volume": "data.volume",
    "Grid": "data.grid",
    "Preprocess": "data.preprocess",
    "Percentiles": "data.intensity",
    "ZScore": "data.intensity",
    "Fixed": "data.intensity",
    "Augment": "data.augment",
    "phantom": "data.phantom",
    "Voxel": "representations",
    "Haar": "representations",
    "Latent": "representations",
    "Rectified": "processes.paths",
    "Trigonometric": "processes.paths",
    "VariancePreserving": "processes.paths",
    "DDPM": "processes.paths",
    "FrequencyAdaptive": "processes.frequency",
    "Gaussian": "processes.sources",
    "Informed": "processes.sources",
    "Process": "processes.process",
    "Scalar": "conditions",
    "Category": "conditions",
    "Continuous": "conditions",
    "Ordinal": "conditions",
    "Choice": "conditions",
    "Binary": "conditions",
    "SetOf": "conditions",
    "Schema": "data.schema",
    "Images": "conditions",
    "Mask": "conditions",
    "UNetConfig": "networks",
    "Atlas": "atlas",
    "TransformerConfig": "networks",
    "Recipe": "recipe",
    "Training": "recipe",
    "AutoencoderRecipe": "compression",
    "Sampling": "sampling",
    "Generator": "generator",
    "train": "training.run",
    "generate": "generation.command",
    "Request": "generation.command",
    "complete": "completion.command",
    "Completion": "completion.command",
    "tune": "tuning.command",
    "tone": "tuning.histograms",
    "encode": "latents",
    "doctor": "latents",
    "evaluate": "evaluation.evaluate",
    "Report": "evaluation.report",
    "Score": "evaluation.base",
    "build": "recipes",
    "locate": "weights",
    "BrainweaveError": "errors",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'brainweave' has no attribute {name!r}")
    return getattr(import_module(f"brainweave.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
