"""Linear judges of age and sex that see many features of few brains, their strength found by
cross-validation by person.

Both work on inner products of the training volumes, so that thousands of features cost little.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

Kind = Literal["ridge", "logistic"]
Rows = Float[np.ndarray, "n f"]
Targets = Float[np.ndarray, "n"]
Judge = Callable[[Rows], Float[np.ndarray, "_"]]

STRENGTHS = np.logspace(-5, 1, 13)  # of the penalty, over the largest eigenvalue of X X'
INNER, OUTER = 5, 10  # folds: for the strength, for predictions
_AXES = 200  # principal axes that a logistic regression sees, at most
_STEPS = 25  # of Newton's method, at most


@dataclass(frozen=True)
class Scaling:
    """How features of several kinds become rows in which every kind has the same total variance.

    Blocks keep their common scale, so that faint voxels stay faint; regions of a few and of
    hundreds of millilitres are brought to one spread first.
    """

    means: tuple[np.ndarray, ...]
    factors: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, blocks: Rows, regions: Float[np.ndarray, "n r"] | None) -> "Scaling":
        """Measured on the training volumes."""
        kinds = [(blocks, np.ones(blocks.shape[1]))]
        if regions is not None:
            spread = regions.std(0)
            kinds.append((regions, np.divide(1, spread, where=spread > 0, out=0 * spread)))
        factors = []
        for kind, factor in kinds:
            total = float(np.sqrt((kind.var(0) * factor**2).sum()))
            factors.append(factor / total if total else factor)
        return cls(tuple(kind.mean(0) for kind, _ in kinds), tuple(factors))

    def __call__(
        self, blocks: Rows, regions: Float[np.ndarray, "n r"] | None
    ) -> Float[np.ndarray, "n _"]:
        """The rows of some volumes."""
        kinds = [blocks] if regions is None else [blocks, regions]
        parts = zip(kinds, self.means, self.factors, strict=True)
        rows: np.ndarray = np.concatenate([(x - mean) * f for x, mean, f in parts], axis=1)
        return rows


def fit(kind: Kind, rows: Rows, targets: Targets, persons: Sequence[str], *, seed: int) -> Judge:
    """A judge with the strength that predicts best in cross-validation. Targets: years for ridge,
    0 or 1 for logistic, which answers with log odds."""
    errors = np.zeros(len(STRENGTHS))
    for part in folds(persons, INNER, seed):
        judges = _path(kind, rows[~part], targets[~part], STRENGTHS)
        errors += [_error(kind, judge(rows[part]), targets[part]) for judge in judges]
    return _path(kind, rows, targets, STRENGTHS[[int(errors.argmin())]])[0]


def predicted(
    kind: Kind, rows: Rows, targets: Targets, persons: Sequence[str], *, seed: int
) -> Float[np.ndarray, "n"]:
    """What judges say of volumes of persons they never saw, strength found without these too."""
    seen = np.zeros(len(rows))
    for part in folds(persons, OUTER, seed, targets):
        own = [person for person, out in zip(persons, part, strict=True) if not out]
        judge = fit(kind, rows[~part], targets[~part], own, seed=seed)
        # a fold's mean is high where what it left out is low: pooled, that looks like disobedience
        seen[part] = judge(rows[part]) - _middle(kind, targets[~part]) + _middle(kind, targets)
    return seen


def _middle(kind: Kind, targets: Targets) -> float:
    """What a judge says that knows nothing: the mean, or its log odds."""
    mean = float(targets.mean())
    if kind == "ridge":
        return mean
    share = min(max(mean, 0.5 / len(targets)), 1 - 0.5 / len(targets))
    return float(np.log(share / (1 - share)))


def folds(
    persons: Sequence[str], count: int, seed: int, targets: Targets | None = None
) -> Iterator[Bool[np.ndarray, "n"]]:
    """Disjoint parts of the volumes, nobody in two, at most one per person; with targets, each part
    over their whole range."""
    codes = np.unique(list(persons), return_inverse=True)[1]
    order = np.random.default_rng(seed).permutation(codes.max() + 1)
    count = min(count, len(order))
    if targets is None:
        parts = np.array_split(order, count)
    else:
        means = np.bincount(codes, targets) / np.bincount(codes)
        order = order[np.argsort(means[order], kind="stable")]
        parts = [order[start::count] for start in range(count)]
    for part in parts:
        yield np.isin(codes, part)


def _path(kind: Kind, rows: Rows, targets: Targets, strengths: np.ndarray) -> list[Judge]:
    """One judge per strength, from one decomposition of the rows' inner products."""
    middle = rows.mean(0)
    centred = rows - middle
    values, vectors = np.linalg.eigh(centred @ centred.T)
    values, vectors = values[::-1].clip(0), vectors[:, ::-1]
    kept = values > 1e-10 * max(float(values[0]), 1e-300)
    if kind == "logistic":
        kept[_AXES:] = False
    values, vectors = values[kept], vectors[:, kept]
    axes = centred.T @ (vectors / np.sqrt(values))
    scores = vectors * np.sqrt(values)
    top = float(values[0]) if len(values) else 1.0
    solve = _ridge if kind == "ridge" else _logistic
    found = solve(scores, targets, strengths * top)
    return [partial(_line, middle, axes @ weights, offset) for weights, offset in found]


def _line(middle: np.ndarray, slope: np.ndarray, offset: float, rows: Rows) -> np.ndarray:
    said: np.ndarray = (rows - middle) @ slope + offset
    return said


def _ridge(
    scores: np.ndarray, targets: Targets, strengths: np.ndarray
) -> Iterator[tuple[np.ndarray, float]]:
    offset = float(targets.mean())
    values, products = (scores**2).sum(0), scores.T @ (targets - offset)
    for strength in strengths:
        yield products / (values + strength), offset


def _logistic(
    scores: np.ndarray, targets: Targets, strengths: np.ndarray
) -> Iterator[tuple[np.ndarray, float]]:
    """Newton's method, the intercept not penalised; from the strongest penalty to the weakest,
    each from the last one's solution. The penalty is strength / 4, at which a step from 0 is the
    ridge's, so that both kinds take the same strengths."""
    design = np.column_stack([scores, np.ones(len(scores))])
    found: dict[float, np.ndarray] = {}
    weights = np.zeros(design.shape[1])
    for strength in np.sort(strengths)[::-1]:
        penalty = np.append(np.full(scores.shape[1], strength / 4), 1e-9)
        for _ in range(_STEPS):
            odds = 1 / (1 + np.exp(-(design @ weights).clip(-30, 30)))
            slope = design.T @ (targets - odds) - penalty * weights
            curve = (design.T * (odds * (1 - odds))) @ design + np.diag(penalty)
            step = np.linalg.solve(curve, slope)
            weights = weights + step * min(1.0, 5 / max(1e-12, float(np.abs(design @ step).max())))
            if float(np.abs(design @ step).max()) < 1e-6:
                break
        found[float(strength)] = weights
    for strength in strengths:
        yield found[float(strength)][:-1], float(found[float(strength)][-1])


def _error(kind: Kind, seen: np.ndarray, targets: Targets) -> float:
    """The sum of what cross-validation makes small: squared years, or minus log likelihood."""
    if kind == "ridge":
        return float(((seen - targets) ** 2).sum())
    return float((np.logaddexp(0, seen) - targets * seen).sum())
