"""Membership inference: does a model's loss tell who trained it?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from brainweave.errors import EvaluationError
from brainweave.evaluation.base import Score
from brainweave.evaluation.faithfulness import auc

FEWEST = 10  # volumes on each side
FALSE = 0.01  # positive rate at which the true one is told
_DRAWS = 1000


@dataclass(frozen=True)
class Membership:
    """Scores "membership/auc", 0.5 by chance, and "membership/tpr at 1 % fpr", 0.01 by chance."""

    scores: list[Score]
    said: tuple[str, ...]


def membership(
    members: Float[np.ndarray, "n"],
    others: Float[np.ndarray, "m"],
    *,
    persons: tuple[Sequence[str], Sequence[str]] | None = None,
    seed: int = 0,
) -> Membership:
    """How well a low loss tells volumes that trained from others (arXiv:1709.01604;
    arXiv:2112.03570 for the true positive rate at a low false positive rate).

    persons: whose the volumes are, drawn anew together for the intervals. Below 100 others, 1 % is
    less than one volume, and the rate is not told. Raises EvaluationError for fewer than 10 volumes
    on a side or a loss that is not finite.
    """
    for name, losses in (("members", members), ("others", others)):
        if len(losses) < FEWEST or not np.isfinite(losses).all():
            raise EvaluationError(
                f"{name}: {np.isfinite(losses).sum()} of {len(losses)} losses are finite; "
                f"membership needs {FEWEST} or more, all finite"
            )
    random = np.random.default_rng(seed)
    whose = persons or ([str(i) for i in range(len(members))], [str(i) for i in range(len(others))])
    groups = [_scans(side) for side in whose]
    least = round(1 / FALSE)
    rare = len(groups[1]) >= least
    areas, rates = [], []
    for _ in range(_DRAWS):
        a, b = (
            side[np.concatenate([scans[i] for i in random.integers(0, len(scans), len(scans))])]
            for side, scans in zip((members, others), groups, strict=True)
        )
        areas.append(_area(a, b))
        if rare:
            rates.append(_rate(a, b))
    count = len(members)
    sd = _null_sd(len(groups[0]), len(groups[1]))
    area = _area(members, others)
    low, high = np.percentile(areas, [2.5, 97.5]).tolist()
    scores = [Score("membership/auc", area, low, high, count, 0.5, sd, (area - 0.5) / sd)]
    if not rare:
        words = (
            f"{len(groups[1])} persons did not train: a false positive rate of 1 % is less than "
            f"one of them, so no true positive rate is told; {least} is the least."
        )
        return Membership(scores, (words,))
    low, high = np.percentile(rates, [2.5, 97.5]).tolist()
    scores.append(
        Score("membership/tpr at 1 % fpr", _rate(members, others), low, high, count, FALSE)
    )
    return Membership(scores, ())


def _area(members: Float[np.ndarray, "_"], others: Float[np.ndarray, "_"]) -> float:
    """P(loss of a member < loss of another), ties half."""
    labels = np.repeat([1.0, 0.0], [len(members), len(others)])
    return auc(labels, -np.concatenate([members, others]))


def _rate(members: Float[np.ndarray, "_"], others: Float[np.ndarray, "_"]) -> float:
    """The share of members below the loss that at most 1 % of the others are below."""
    bound = np.sort(others)[int(FALSE * len(others))]
    return float((members < bound).mean())


def _null_sd(members: int, others: int) -> float:
    """Of the area by chance (Mann and Whitney 1947)."""
    return float(np.sqrt((members + others + 1) / (12 * members * others)))


def _scans(persons: Sequence[str]) -> list[np.ndarray]:
    codes = np.unique(list(persons), return_inverse=True)[1]
    return [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
