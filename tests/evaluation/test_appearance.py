"""Each sign hears what it is named after, and little else."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from brainweave.evaluation.appearance import SIGNS, Head, pattern, signs, told
from brainweave.evaluation.base import Score

NAMES = [sign.name for sign in SIGNS]


def head(seed: int = 0, edge: int = 32) -> np.ndarray:
    """A ball of smooth tissue in an empty background."""
    random = np.random.default_rng(seed)
    grid = np.indices((edge,) * 3) - (edge - 1) / 2
    ball = (grid**2).sum(0) < (edge * random.uniform(0.38, 0.42)) ** 2
    tissue = 0.5 + gaussian_filter(random.normal(size=(edge,) * 3), 1.5)
    return np.where(ball, np.clip(tissue, 0.1, 1), 0).astype(np.float32)


def words(change: str) -> list[str]:
    """What is told of changed heads, measured in standard deviations of unchanged ones."""
    random = np.random.default_rng(9)
    usual = signs([head(seed) for seed in range(12)])
    changed = []
    for seed in range(12, 20):
        x = head(seed)
        inside = x > 0
        wave = 1 - 2 * (np.indices(x.shape).sum(0) % 2)
        changed.append(
            {
                "blur": gaussian_filter(x, 1.0),
                "noise": np.where(inside, x + random.normal(0, 0.1, x.shape), 0),
                "brighter": x * 1.2,
                "haze": np.where(inside, x, 0.02),
                "checkerboard": np.where(inside, x + 0.02 * wave, 0),
                "rows": np.where(inside, x + 0.1 * random.normal(size=(1, 1, 32)), 0),
            }[change].astype(np.float32)
        )
    z = (signs(changed).mean(0) - usual.mean(0)) / np.maximum(usual.std(0), 1e-5)
    return told([score(name, float(value)) for name, value in zip(NAMES, z, strict=True)])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("blur", "blurred"),
        ("noise", "noisy"),
        ("haze", "not clean in the background"),
        ("checkerboard", "covered by a checkerboard pattern"),
        ("rows", "uneven from slice to slice along the up-down axis"),
        ("brighter", "brighter"),
    ],
)
def test_a_change_is_told_by_its_name(change: str, word: str) -> None:
    assert word in words(change)


def test_blur_lowers_sharpness() -> None:
    usual = signs([head(seed) for seed in range(6)])[:, NAMES.index("sharpness")]
    blurred = signs([gaussian_filter(head(seed), 1.0) for seed in range(6)])
    assert (blurred[:, NAMES.index("sharpness")] < usual.min()).all()


@pytest.mark.parametrize("parity", [(1, 0, 0), (0, 1, 1), (1, 1, 1)])
def test_a_pattern_stands_out_along_any_axes(parity: tuple[int, int, int]) -> None:
    x = head()
    wave = sum(p * axis for p, axis in zip(parity, np.indices(x.shape), strict=True))
    striped = np.where(x > 0, x + 0.05 * (1 - 2 * (wave % 2)), 0).astype(np.float32)
    assert pattern(Head.of(striped)) > 20


def test_noise_has_no_pattern() -> None:
    x = head()
    noise = np.random.default_rng(1).normal(0, 0.1, x.shape)
    assert pattern(Head.of(np.where(x > 0, x + noise, 0).astype(np.float32))) < 5


def test_an_empty_volume_has_signs_and_no_warning() -> None:
    assert np.isfinite(signs([np.zeros((8, 8, 8), np.float32)])).all()


def score(sign: str, z: float) -> Score:
    return Score(f"appearance/{sign}", 0.0, z=z)


def test_a_checkerboard_is_told_and_what_it_explains_is_not() -> None:
    scores = [score("grain", 30.0), score("pattern", 90.0), score("sharpness", 12.0)]
    assert told(scores) == ["covered by a checkerboard pattern"]


def test_blur_is_told_as_blur() -> None:
    scores = [score("grain", -30.0), score("sharpness", -9.0), score("background", 20.0)]
    assert told(scores) == ["blurred"]


def test_what_is_unclear_is_not_told() -> None:
    assert told([score("brightness", 2.9)]) == []
