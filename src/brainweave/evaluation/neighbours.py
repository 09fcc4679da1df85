"""Nearest neighbours of feature vectors: precision, recall, density, coverage, block by block.

Distances are sums of squared differences, never the expansion |a|^2 + |b|^2 - 2ab: an exact copy
lies at distance 0, and a copy on the rim of a ball, which `<` leaves outside, is a tie that
rounding would otherwise decide at random.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from brainweave.errors import EvaluationError

BLOCK = 2**21  # distances held at once: 16 MiB


class Neighbourhood(NamedTuple):
    """What balls to the k-th neighbour say, each about 1 at best; `density` may exceed it.

    precision: the share of made vectors inside any real ball; recall: of real ones inside any made
    ball (arXiv:1904.06991). density: how many real balls a made vector lies in, over
    k; coverage: the share of real balls with a made vector inside (arXiv:2002.09797).
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(
    real: Float[np.ndarray, "n d"], made: Float[np.ndarray, "m d"], k: int = 5
) -> Neighbourhood:
    """Precision, recall, density and coverage for balls to the k-th neighbour, itself not counted.

    They depend on n, m and k: identical distributions with n = m give a coverage of about
    1 - 2^-k and a precision far below 1. Raises EvaluationError where a side has k rows or fewer.
    """
    return neighbourhoods(real, made, (k,))[k]


def neighbourhoods(
    real: Float[np.ndarray, "n d"], made: Float[np.ndarray, "m d"], ks: Sequence[int] = (3, 5, 10)
) -> dict[int, Neighbourhood]:
    """`prdc` for several k in one pass over the distances."""
    real, made = np.asarray(real, float), np.asarray(made, float)
    least = min(len(real), len(made))
    if not ks or min(ks) < 1 or max(ks) >= least:
        raise EvaluationError(
            f"neighbours k = {', '.join(map(str, ks))} asked of {len(real)} real and {len(made)} "
            "made vectors; each side needs more rows than k: take a smaller k or more volumes"
        )
    real_radii, made_radii = radii(real, ks), radii(made, ks)
    held = np.zeros((len(ks), len(made)), dtype=int)  # real balls that each made vector lies in
    recalled = np.zeros(len(ks), dtype=int)
    covered = np.zeros(len(ks), dtype=int)
    for start, distances in blocked(real, made):
        rows = slice(start, start + len(distances))
        nearest = distances.min(axis=1)
        for index in range(len(ks)):
            held[index] += (distances < real_radii[index, rows, None]).sum(axis=0)
            recalled[index] += (distances < made_radii[index]).any(axis=1).sum()
            covered[index] += (nearest < real_radii[index, rows]).sum()
    return {
        k: Neighbourhood(
            precision=float((held[index] > 0).mean()),
            recall=float(recalled[index] / len(real)),
            density=float(held[index].mean() / k),
            coverage=float(covered[index] / len(real)),
        )
        for index, k in enumerate(ks)
    }


def radii(vectors: Float[np.ndarray, "n d"], ks: Sequence[int]) -> Float[np.ndarray, "k n"]:
    """Squared distances to the k-th neighbours within a set, itself not counted."""
    found = np.empty((len(ks), len(vectors)))
    for start, distances in blocked(vectors, vectors):
        # a row's own 0 comes first, so that its k-th neighbour has index k
        nearest = np.partition(distances, sorted(set(ks)), axis=1)
        found[:, start : start + len(distances)] = nearest[:, list(ks)].T
    return found


def blocked(
    a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"]
) -> Iterator[tuple[int, Float[np.ndarray, "rows m"]]]:
    """Squared distances of some rows of `a` to all of `b`, with the index of the first row."""
    rows = max(1, BLOCK // max(1, len(b)))
    for start in range(0, len(a), rows):
        yield start, cdist(a[start : start + rows], b, "sqeuclidean")
