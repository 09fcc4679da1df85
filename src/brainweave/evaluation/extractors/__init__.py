"""Feature extractors by name: `extractor("wavelet")`; a new one is one line of `REGISTRY`."""

import inspect
from importlib import import_module
from typing import Any

from brainweave.errors import EvaluationError
from brainweave.evaluation.extractors.base import Extractor
from brainweave.part import hint

_HERE = "brainweave.evaluation"
REGISTRY = {  # name: where its class is
    "wavelet": f"{_HERE}.extractors.wavelet:Wavelet",
    "pca": f"{_HERE}.extractors.pca:Components",
    "random-cnn": f"{_HERE}.extractors.random_cnn:RandomNetwork",
    "regions": f"{_HERE}.regions:Regions",
    "medicalnet": f"{_HERE}.extractors.medicalnet:MedicalNet",
    "radimagenet-2.5d": f"{_HERE}.extractors.radimagenet:RadImageNet",
}

__all__ = ["REGISTRY", "Extractor", "extractor"]


def extractor(name: str, **options: Any) -> Extractor:
    """The extractor of that name; `module:function` is a function of your own.

    options: what its class takes, as weights="resnet_50.pth" for medicalnet.
    Raises EvaluationError for an unknown name or option and for weights that do not fit.
    """
    if ":" in name:
        options, where = {"name": name, **options}, f"{_HERE}.extractors.custom:Custom"
    elif name in REGISTRY:
        where = REGISTRY[name]
    else:
        raise EvaluationError(
            f"no features are called {name!r}{hint(name, REGISTRY)}; or give module:function"
        )
    module, _, noun = where.partition(":")
    made = getattr(import_module(module), noun)
    known = inspect.signature(made).parameters
    for option in options:
        if option not in known:
            others = hint(option, known) if known else "; it takes none"
            raise EvaluationError(f"{name} has no option {option!r}{others}")
    return made(**options)
