"""What the benchmarks judge volumes by: block means, ridge age, Frechet distance, intervals."""

from collections.abc import Callable

import numpy as np
from scipy.linalg import svdvals

Judge = Callable[[np.ndarray], np.ndarray]


def blocks(volumes: np.ndarray, edge: int) -> np.ndarray:
    """Means over cubes of `edge` voxels: [n i j k] -> [n features], float64."""
    n, *edges = volumes.shape
    split = [part for size in edges for part in (size // edge, edge)]
    means = volumes.astype(np.float64).reshape(n, *split).mean(axis=(2, 4, 6))
    return means.reshape(n, -1)


def pca(features: np.ndarray, components: int) -> Judge:
    """The projection on the first principal components of `features`."""
    mean = features.mean(0)
    axes = np.linalg.svd(features - mean, full_matrices=False)[2][:components]
    return lambda others: (others - mean) @ axes.T


def age_ridge(features: np.ndarray, ages: np.ndarray, folds: int = 5) -> Judge:
    """Ridge regression of age on features; its strength by cross-validation on the same data."""
    order = np.random.default_rng(0).permutation(len(ages))
    strengths = np.logspace(-2, 6, 17)
    errors = np.zeros(len(strengths))
    for part in np.array_split(order, folds):
        rest = np.setdiff1d(order, part)
        for index, judge in enumerate(_ridges(features[rest], ages[rest], strengths)):
            errors[index] += np.abs(judge(features[part]) - ages[part]).sum()
    return _ridges(features, ages, strengths[[int(errors.argmin())]])[0]


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet distance of Gaussians fitted to two sets of features; the trace of the root of the
    product of covariances is the nuclear norm of the product of the centred sets."""
    x, y = a - a.mean(0), b - b.mean(0)
    cross = svdvals(x @ y.T).sum() / np.sqrt((len(a) - 1) * (len(b) - 1))
    spread = (x**2).sum() / (len(a) - 1) + (y**2).sum() / (len(b) - 1)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + spread - 2 * cross)


def bootstrap(
    statistic: Callable[[np.ndarray], float], n: int, draws: int = 2000
) -> tuple[float, float, float]:
    """A statistic of indices, and its 95 % percentile interval over resampled ones."""
    random = np.random.default_rng(0)
    values = [statistic(random.integers(0, n, n)) for _ in range(draws)]
    low, high = np.percentile(values, [2.5, 97.5])
    return statistic(np.arange(n)), float(low), float(high)


def nearest(volumes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each volume the largest correlation with any of the others, over all voxels where the
    mean of the others is above 5 % of its largest."""
    mask = others.mean(0) > 0.05 * others.mean(0).max()
    return (_standard(volumes[:, mask]) @ _standard(others[:, mask]).T).max(1)


def sharpness(volume: np.ndarray, edge: float) -> float:
    """Gradient energy: the mean square of differences between neighbours above `edge`."""
    inside = volume > edge
    energy, count = 0.0, 0
    for axis in range(3):
        rows, brain = np.moveaxis(volume, axis, 0), np.moveaxis(inside, axis, 0)
        both = brain[1:] & brain[:-1]
        energy += float((np.diff(rows, axis=0)[both] ** 2).sum())
        count += int(both.sum())
    return energy / max(count, 1)


def histogram(volume: np.ndarray, edge: float) -> np.ndarray:
    """Shares of the voxels above `edge` in 32 bins of intensity up to 1."""
    counts = np.histogram(volume[volume > edge], bins=32, range=(edge, 1.0))[0]
    return counts / max(counts.sum(), 1)


def line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Correlation and slope of y on x; NaN where either is constant."""
    x, y = x - x.mean(), y - y.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(x @ y / np.sqrt((x @ x) * (y @ y))), float(x @ y / (x @ x))


def _standard(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float64) - rows.mean(1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _ridges(features: np.ndarray, ages: np.ndarray, strengths: np.ndarray) -> list[Judge]:
    """One judge per strength, from one decomposition."""
    mean, age = features.mean(0), ages.mean()
    u, s, vt = np.linalg.svd(features - mean, full_matrices=False)
    weights = [vt.T @ (s / (s**2 + strength) * (u.T @ (ages - age))) for strength in strengths]
    return [lambda others, w=w: (others - mean) @ w + age for w in weights]
