"""The extractor `regions`: logs of what `Anatomy` measures."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from brainweave.data.grid import Grid
from brainweave.data.phantom import phantom
from brainweave.errors import EvaluationError
from brainweave.evaluation.anatomy import Anatomy
from brainweave.evaluation.extractors import extractor
from brainweave.evaluation.priors import Priors
from brainweave.evaluation.regions import LEAST, Regions

SHAPE, SPACING = (40, 48, 40), (4.0, 4.0, 4.0)


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    data = phantom(age=60.0, sex="F", seed=1, shape=SHAPE)["t1w"].data
    return (data / 1100).clamp(0, 1).numpy()


@pytest.fixture(scope="module")
def priors() -> Priors:
    """Tissues by the intensities of another phantom: blurred, but good enough to be called."""
    from scipy.ndimage import gaussian_filter

    scan = phantom(age=40.0, sex="M", seed=2, shape=SHAPE)["t1w"]
    bounds = (20, 450, 830, 2000)
    steps = [
        gaussian_filter(((scan.data >= low) & (scan.data < high)).float().numpy(), 1.0)
        for low, high in pairwise(bounds)
    ]
    grid = Grid.of(SHAPE, scan.affine)
    return Priors(
        ("outer csf", "cortex", "white matter"), ("csf", "grey", "white"), np.stack(steps), grid, 1
    )


def test_features_are_logs_of_ml(volume: np.ndarray) -> None:
    expected = np.log(Anatomy().measure(volume, SPACING).vector + LEAST)
    np.testing.assert_array_equal(Regions()(volume, SPACING), expected)


def test_priors_give_a_feature_per_region_and_tissue(volume: np.ndarray, priors: Priors) -> None:
    features = Regions(priors)
    assert features(volume, SPACING).shape == (features.dimension,) == (6,)
    assert np.isfinite(features(volume, SPACING)).all()


def test_saved_priors_are_the_same_features(tmp_path: Path, priors: Priors) -> None:
    path = tmp_path / "priors.safetensors"
    priors.save(path)
    assert Regions(path).digest == Regions(Priors.load(path)).digest


def test_digests_tell_priors_apart(priors: Priors) -> None:
    assert Regions().digest != Regions(priors).digest
    assert Regions().digest == extractor("regions").digest


def test_no_fit_is_needed(volume: np.ndarray) -> None:
    features = Regions()
    assert features.ready
    assert features.fitted([volume], SPACING) is features


def test_an_empty_volume_is_refused() -> None:
    with pytest.raises(EvaluationError, match="needed"):
        Regions()(torch.zeros(SHAPE).numpy(), SPACING)
