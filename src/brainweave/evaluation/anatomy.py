"""Volumes of tissues and regions in ml, from intensities inside probability maps, and their scores.

Every volume is measured by itself: tissues' intensities are its own, so its scale does not matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import distance_transform_edt

from brainweave.data.grid import Spacing
from brainweave.errors import EvaluationError
from brainweave.evaluation.mixture import FEW, Mixture, fit, logs, polynomials
from brainweave.evaluation.priors import Priors, Tissue
from brainweave.evaluation.scans import EDGE

TOTALS = ("total csf", "total grey", "total white")  # after the regions
# without priors: deep CSF stands for the ventricles; grey is not told from white, since at 2 mm
# the histogram has one peak for both (on t1_2mm r with label maps: CSF 0.9, grey matter -0.1)
UNLOCATED = ("central csf", "total csf", "total brain")
ORDER = 3  # of the polynomial that shades a volume
_CLASSES: tuple[Tissue, ...] = ("csf", "grey", "white", "deep")
_TAKEN = 60_000  # voxels, evenly taken, that the mixture is fitted to
_FLOOR = 1e-5  # prior that any place has for any region of the support
_SUPPORT = 1e-3  # prior of the brain below which voxels are not looked at
_OVERLAP = 0.7  # Dice of head and brain of the priors below which one is not the other
_LOST = 0.25  # share of the head, beyond what the priors say, that no tissue explains: no brain
_CONTRAST = 0.8  # standard deviations between CSF, grey and white below which there are no tissues
_DEEP = 0.45  # of the greatest depth in the head, from which CSF is central
_SHARES = (0.05, 0.15, 0.45, 0.35)  # outside, CSF, grey, white at the start without priors
_QUANTILES = (0.07, 0.42, 0.83)  # of the head's intensities, CSF, grey, white of t1w at the start


@dataclass(frozen=True)
class Measured:
    """The volumes of one brain and how well its tissues could be told apart.

    ml: by name, as `Anatomy.names`. contrast: standard deviations between the nearest two of CSF,
    grey and white. converged: False where EM was stopped while it still moved.
    """

    ml: dict[str, float]
    contrast: float
    converged: bool

    @property
    def vector(self) -> Float[np.ndarray, "r"]:
        """The volumes in the order of names."""
        return np.array(list(self.ml.values()))


class Anatomy:
    """Measures regions and the totals of CSF, grey and white matter; without priors UNLOCATED.

    priors: on the grid of the volumes (`Priors.on`); with them any contrast will do. Without them
    the darkest of three tissues is taken for CSF, as in t1w.
    """

    def __init__(self, priors: Priors | None = None) -> None:
        self.priors = priors
        self.names: tuple[str, ...] = UNLOCATED if priors is None else (*priors.names, *TOTALS)
        if priors is not None:
            self._prepare(priors)

    def measure(self, volume: Float[np.ndarray, "i j k"], spacing: Spacing) -> Measured:
        """The volumes of a brain in 0..1 with background 0; spacing in mm.

        Raises EvaluationError for values that are not finite, another grid than the priors', no
        head, a head that is no brain of that space and tissues without contrast.
        """
        _require_finite(volume)
        voxel = float(np.prod(spacing)) / 1000
        if self.priors is None:
            found, mixture, head = _unlocated(volume)
            depth = distance_transform_edt(head, sampling=spacing)[head]
            central = found[1][depth > _DEEP * depth.max()]
            sizes = [float(part.sum(dtype=float)) for part in (central, found[1], found[2:])]
        else:
            weights, mixture = self._located(self.priors, volume, spacing)
            sizes = self._sizes(self.priors, weights)
        ml = {name: size * voxel for name, size in zip(self.names, sizes, strict=True)}
        return Measured(ml, mixture.contrast, mixture.converged)

    def labels(
        self, volume: Float[np.ndarray, "i j k"], spacing: Spacing
    ) -> Int[np.ndarray, "i j k"]:
        """The most likely region of each voxel: 1 and up in the order of `names`, 0 is outside.

        Without priors 2 is CSF and 3 the brain. Raises as `measure` does.
        """
        _require_finite(volume)
        labels = np.zeros(volume.shape, dtype=np.int16)
        if self.priors is None:
            found, _, head = _unlocated(volume)
            joined = np.stack([found[0], found[1], found[2:].sum(axis=0)])
            labels[head] = np.array([0, 2, 3])[joined.argmax(axis=0)]
            return labels
        weights, _ = self._located(self.priors, volume, spacing)
        best, chosen = weights[0] * self._shares[0], np.zeros(weights.shape[1], dtype=np.int16)
        for index, (share, row) in enumerate(zip(self._maps, self._rows, strict=True), start=1):
            likely = share * weights[row]
            chosen[likely > best] = index
            best = np.maximum(best, likely)
        labels[self._support] = chosen * (weights.sum(axis=0) > 0)
        return labels

    def _prepare(self, priors: Priors) -> None:
        """What is the same for every volume."""
        brain = priors.brain
        self._support = brain > _SUPPORT
        self._brain = brain > 0.5
        maps = priors.maps[:, self._support] + np.float32(_FLOOR)
        outside = np.maximum(1 - brain[self._support], 0) + np.float32(_FLOOR)
        total = outside + maps.sum(axis=0)
        self._maps = maps / total
        self._rows = [1 + _CLASSES.index(tissue) for tissue in priors.tissues]
        shares = [outside / total]
        for row in range(1, 1 + max(self._rows)):
            rows = [index for index, own in enumerate(self._rows) if own == row]
            shares.append(self._maps[rows].sum(axis=0))
        self._shares = np.stack(shares)
        self._basis = polynomials(np.argwhere(self._support).T.astype(float), ORDER)

    def _located(
        self, priors: Priors, volume: Float[np.ndarray, "i j k"], spacing: Spacing
    ) -> tuple[Float[np.ndarray, "c v"], Mixture]:
        """For each voxel of the support the likelihood of each class over that of all."""
        if volume.shape != priors.grid.shape or not np.allclose(
            spacing, priors.grid.spacing, atol=1e-3
        ):
            raise EvaluationError(
                f"a volume of {volume.shape} voxels of {spacing} mm, but the priors lie on "
                f"{priors.grid.shape} of {priors.grid.spacing}; use priors.on(the volumes' grid)"
            )
        head = volume > EDGE
        dice = 2 * float((head & self._brain).sum()) / float(max(head.sum() + self._brain.sum(), 1))
        if dice < _OVERLAP:
            raise EvaluationError(
                f"the head and the brain of the anatomy priors overlap by a Dice of {dice:.2f}, "
                f"{_OVERLAP} is needed; strip the skull and register the volume to the priors' "
                "space, or give none"
            )
        inside = head[self._support]
        y = logs(volume[self._support])
        taken = np.flatnonzero(inside)
        taken = taken[:: max(1, len(taken) // _TAKEN)]
        mixture = fit(y[taken], self._shares[:, taken], self._basis[taken])
        _require_contrast(mixture)
        lost = float(mixture.shares[0] - self._shares[0, taken].mean())
        if lost > _LOST:
            raise EvaluationError(
                f"{lost:.0%} of the head are like no tissue of the anatomy priors, {_LOST:.0%} is "
                "the most; strip the skull and register the volume to the priors' space"
            )
        likely = mixture.likelihoods(y, self._basis)
        total = np.einsum("kv,kv->v", likely, self._shares)
        return likely * (inside / np.maximum(total, np.float32(1e-12))), mixture

    def _sizes(self, priors: Priors, weights: Float[np.ndarray, "c v"]) -> list[float]:
        """Voxels of each region (its prior times how likely its tissue is, summed), then totals."""
        pairs = zip(self._maps, self._rows, strict=True)
        own = [float(share @ weights[row]) for share, row in pairs]
        groups = ["grey" if tissue == "deep" else tissue for tissue in priors.tissues]
        totals = [
            sum(size for size, group in zip(own, groups, strict=True) if name.endswith(group))
            for name in TOTALS
        ]
        return [*own, *totals]


def asymmetry(
    names: Sequence[str], volumes: Float[np.ndarray, "n r"]
) -> tuple[list[str], Float[np.ndarray, "n p"]]:
    """The paired regions and 2 (left - right) / (left + right) of each; 0 where both are empty."""
    both = [
        own.removeprefix("left ")
        for own in names
        if own.startswith("left ") and own.replace("left", "right", 1) in names
    ]
    left, right = (
        volumes[:, [names.index(f"{side} {name}") for name in both]] for side in ("left", "right")
    )
    sums = left + right
    return both, 2 * (left - right) / np.where(sums > 0, sums, 1)


def _unlocated(
    volume: Float[np.ndarray, "i j k"],
) -> tuple[Float[np.ndarray, "c v"], Mixture, np.ndarray]:
    """The posterior of outside, CSF, grey, white in each voxel of the head, and the head."""
    head = volume > EDGE
    if int(head.sum()) < FEW:
        raise EvaluationError(
            f"{int(head.sum())} voxels are above {EDGE}, {FEW} are needed; is this a brain in 0..1?"
        )
    y = logs(volume[head])
    basis = polynomials(np.argwhere(head).T.astype(float), 2)
    shares = np.broadcast_to(np.array(_SHARES, dtype=np.float32)[:, None], (len(_SHARES), y.size))
    means = np.quantile(y, _QUANTILES)
    step = max(1, y.size // _TAKEN)
    mixture = fit(y[::step], shares[:, ::step], basis[::step], means=means)
    _require_contrast(mixture)
    joint = mixture.likelihoods(y, basis) * mixture.shares.astype(np.float32)[:, None]
    return joint / joint.sum(axis=0), mixture, head


def _require_finite(volume: Float[np.ndarray, "i j k"]) -> None:
    if not np.isfinite(volume).all():
        raise EvaluationError("a volume holds NaN or infinity; repair it or leave it out")


def _require_contrast(mixture: Mixture) -> None:
    """Refuses a mixture whose tissues cannot be told apart."""
    if not mixture.contrast >= _CONTRAST:
        raise EvaluationError(
            f"CSF, grey and white matter differ by {mixture.contrast:.2f} standard deviations, "
            f"{_CONTRAST} is the least; this is no brain, or blurred or noisy beyond measuring"
        )
