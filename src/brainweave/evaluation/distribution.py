"""Distances between two distributions of feature vectors, all in float64.

All of them depend on how many vectors there are, most of all the Frechet distance: `comparison`
puts each beside what real volumes score at the same number.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.linalg import qr, svdvals
from scipy.spatial.distance import pdist

from brainweave.errors import EvaluationError
from brainweave.evaluation.neighbours import BLOCK, blocked

Real = Float[np.ndarray, "n d"]
Made = Float[np.ndarray, "m d"]
POINTS = 15  # numbers of vectors at which the line of `frechet_infinity` is fitted
ENOUGH = 10  # vectors per effective dimension from which that line is straight
SPREAD = 2000  # rows that the median distance looks at


def frechet(real: Real, made: Made) -> float:
    """Frechet distance of the Gaussians fitted to two sets, in squared units of the features.

    |m_r - m_g|^2 + tr S_r + tr S_g - 2 tr (S_r S_g)^(1/2) (arXiv:1706.08500, eq. 6). The last trace
    is the nuclear norm of X Y' for S_r = X'X and S_g = Y'Y: no matrix root, exact where covariances
    are singular. Biased upwards, most where vectors are few and features many.
    """
    real, made = _checked(real, made)
    shift = real.mean(axis=0)
    offset = (made - shift).mean(axis=0)
    x, y = _root(real - shift), _root(made - shift - offset)
    spread = (x**2).sum() + (y**2).sum()
    distance = (offset**2).sum() + spread - 2 * svdvals(x @ y.T, check_finite=False).sum()
    return max(float(distance), 0.0)  # below 0 is rounding


def frechet_infinity(real: Real, made: Made, *, draws: int = 4, seed: int = 0) -> float:
    """The Frechet distance for infinitely many vectors: a of the line a + b / N through those of
    subsets of N vectors of each side (arXiv:1911.07023 varies the made side only, which leaves the
    bias of the real one). May fall below 0. draws: how often all vectors are used at each N.

    Raises EvaluationError for fewer vectors than ten times the effective dimension
    (sum of s)^2 / sum of s^2 for the standard deviations s along the real principal axes:
    below that the bias is no line in 1 / N and the result means nothing.
    """
    real, made = _checked(real, made)
    count = min(len(real), len(made))
    dimension = effective_dimension(real)
    if count < (needed := max(8.0, ENOUGH * dimension)):
        raise EvaluationError(
            f"{count} vectors a side are too few to extrapolate the Frechet distance: these "
            f"features have about {dimension:.0f} effective dimensions, which takes "
            f"{needed:.0f}; read kid or mmd, or project the features on fewer axes"
        )
    random = np.random.default_rng(seed)
    sizes = np.unique(np.linspace(count // 4, count, POINTS).round().astype(int))
    means = []
    for size in sizes:
        pairs = [
            (random.permutation(len(real))[:size], random.permutation(len(made))[:size])
            for _ in range(draws * (count // size))
        ]
        means.append(np.mean([frechet(real[left], made[right]) for left, right in pairs]))
    return float(np.polyfit(1 / sizes, means, 1)[1])


def effective_dimension(vectors: Float[np.ndarray, "n d"]) -> float:
    """(sum of s)^2 / sum of s^2 over the standard deviations s along the principal axes.

    As many as there are axes where all are alike; a long tail of small ones counts, since the
    Frechet distance adds standard deviations. Never above n - 1: few vectors hide the rest.
    """
    deviations = svdvals(_root(vectors - vectors.mean(axis=0)))
    total = (deviations**2).sum()
    return float(deviations.sum() ** 2 / total) if total else 0.0


def kid(
    real: Real,
    made: Made,
    *,
    subsets: int | None = None,
    subset_size: int = 1000,
    seed: int = 0,
) -> float:
    """Kernel distance: the unbiased squared MMD with kernel (x.y / d + 1)^3
    (arXiv:1801.01401), of all vectors at once. May fall below 0.

    subsets: the mean over that many pairs of random subsets instead, as it is often printed.
    """
    real, made = _checked(real, made)
    if subsets is None:
        return _unbiased(_cubic(real), _cubic(made), _cubic(real, made))
    if subsets < 1 or not 2 <= subset_size <= min(len(real), len(made)):
        raise EvaluationError(
            f"{subsets} subsets of {subset_size} from {len(real)} real and {len(made)} made "
            "vectors: take 2 up to the smaller number, or all vectors at once with subsets=None"
        )
    random = np.random.default_rng(seed)
    drawn = [
        kid(*(side[random.permutation(len(side))[:subset_size]] for side in (real, made)))
        for _ in range(subsets)
    ]
    return float(np.mean(drawn))


def mmd(real: Real, made: Made, *, bandwidth: float | None = None) -> float:
    """The unbiased squared MMD with kernel exp(-|x - y|^2 / 2 bandwidth^2) (Gretton et al. 2012,
    JMLR 13, eq. 3), not clamped: about 0, on either side, for equal distributions.

    bandwidth: the median distance between real vectors unless given, so that the ruler does not
        depend on what is measured.
    """
    real, made = _checked(real, made)
    width = median_distance(real) if bandwidth is None else bandwidth
    return _unbiased(_gaussian(width, real), _gaussian(width, made), _gaussian(width, real, made))


def mmd_test(
    real: Real,
    made: Made,
    *,
    persons: tuple[Sequence[str], Sequence[str]] | None = None,
    bandwidth: float | None = None,
    draws: int = 999,
    seed: int = 0,
) -> float:
    """How often sides assigned at random are as far apart as these: (1 + #{>=}) / (1 + draws).

    persons: who is behind each row of both sides; scans of a person change sides together, but
        for the one person whom equal numbers may divide.
    The bandwidth stays that of the real side, which only matters for a handful of vectors.
    """
    real, made = _checked(real, made)
    width = median_distance(real) if bandwidth is None else bandwidth
    both = np.concatenate([real, made])
    names = persons or ([str(i) for i in range(len(real))], [str(i) for i in range(len(made))])
    labels = [f"{side}/{name}" for side, named in enumerate(names) for name in named]
    _, groups = np.unique(labels, return_inverse=True)
    random = np.random.default_rng(seed)
    sides = np.zeros((draws + 1, len(both)))  # 1 where a row is on the first side
    sides[0, : len(real)] = 1
    for side in sides[1:]:
        order = np.argsort(random.permutation(groups.max() + 1)[groups], kind="stable")
        side[order[: len(real)]] = 1
    first, second, across = _sums(both, sides, width)
    n = sides.sum(axis=1)
    m = len(both) - n
    distances = first / (n * (n - 1)) + second / (m * (m - 1)) - 2 * across / (n * m)
    reached = distances[1:] >= distances[0] - 1e-12  # equal splits are equal but for rounding
    return float((1 + reached.sum()) / (1 + draws))


def median_distance(vectors: Float[np.ndarray, "n d"]) -> float:
    """The median distance between two different rows, of 2,000 evenly taken where there are more.

    Raises EvaluationError where more than half of the distances are 0.
    """
    taken = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), SPREAD)).astype(int))
    median = float(np.median(pdist(np.asarray(vectors, float)[taken])))
    if median == 0:
        raise EvaluationError(
            f"most of the {len(vectors)} real feature vectors are equal: no scale to measure by; "
            "look for one volume under many names"
        )
    return median


def _checked(real: np.ndarray, made: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sides in float64."""
    for name, side in (("real", real), ("made", made)):
        if len(side) < 2:
            raise EvaluationError(f"{len(side)} {name} feature vector(s): at least 2 are needed")
        if not np.isfinite(side).all():
            row = int(np.nonzero(~np.isfinite(side).all(axis=1))[0][0])
            raise EvaluationError(f"row {row} of the {name} feature vectors is not finite")
    return real.astype(np.float64), made.astype(np.float64)


def _root(centred: np.ndarray) -> np.ndarray:
    """X with X'X = the covariance, as few rows as that takes."""
    scaled = centred / np.sqrt(len(centred) - 1)
    return scaled if len(scaled) <= scaled.shape[1] else qr(scaled, mode="r")[0][: scaled.shape[1]]


def _unbiased(within: float, made_within: float, across: float) -> float:
    """The U-statistic from the mean kernels within each side and across."""
    return within + made_within - 2 * across


def _cubic(a: np.ndarray, b: np.ndarray | None = None) -> float:
    """The mean cubic kernel, over pairs of different rows for one set."""
    other, features = a if b is None else b, a.shape[1]
    rows = max(1, BLOCK // len(other))
    blocks = (a[start : start + rows] @ other.T for start in range(0, len(a), rows))
    total = sum(_cube(block / features + 1).sum() for block in blocks)
    if b is None:
        own = _cube((a**2).sum(axis=1) / features + 1).sum()
        return float((total - own) / (len(a) * (len(a) - 1)))
    return float(total / (len(a) * len(b)))


def _cube(x: np.ndarray) -> np.ndarray:
    return x * x * x


def _gaussian(width: float, a: np.ndarray, b: np.ndarray | None = None) -> float:
    """The mean Gaussian kernel, over pairs of different rows for one set."""
    other = a if b is None else b
    total = sum(np.exp(block / (-2 * width**2)).sum() for _, block in blocked(a, other))
    if b is None:
        return float((total - len(a)) / (len(a) * (len(a) - 1)))
    return float(total / (len(a) * len(b)))


def _sums(
    both: np.ndarray, sides: np.ndarray, width: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of the Gaussian kernel within the first side, the second, and across, per assignment."""
    first, second, across = np.zeros((3, len(sides)))
    for start, block in blocked(both, both):
        rows = slice(start, start + len(block))
        kernel = np.exp(block / (-2 * width**2))
        kernel[np.arange(len(block)), np.arange(start, start + len(block))] = 0
        to_first = sides @ kernel.T
        to_second = (1 - sides) @ kernel.T
        first += (sides[:, rows] * to_first).sum(axis=1)
        across += (sides[:, rows] * to_second).sum(axis=1)
        second += ((1 - sides[:, rows]) * to_second).sum(axis=1)
    return first, second, across
