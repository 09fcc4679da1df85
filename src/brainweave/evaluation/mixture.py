"""Tissue Gaussians of one volume inside probability maps, with the field that shades it, by EM.

On a log scale a shading field is additive and a polynomial can be taken off (Van Leemput et al.,
IEEE Trans Med Imaging 18:885, 1999). All tissues share one variance: with one each, the Gaussian of
CSF widens until it takes the voxels that CSF shares with its neighbours.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from brainweave.errors import EvaluationError

DARKEST = 0.05  # intensity below which nothing is head; the least that enters the logarithm
FEW = 1000  # head voxels below which no mixture is fitted
_OUTSIDE = float(1 / np.log(1 / DARKEST))  # density of vessels, dura, noise: any intensity
_VARIANCE = 1e-4  # the least, of log intensity
_STEPS, _SETTLED = 200, 1e-5  # of EM; the gain of log likelihood per voxel that ends it
_SHADING = 2  # steps before the field is first fitted
# steps, where shares say where tissues are, in which the deviation is at most a quarter of the
# range of the means and outside has its share: else EM stays at one wide Gaussian of all, or takes
# CSF for outside
_NARROW = 6


@dataclass(frozen=True)
class Mixture:
    """What was fitted. means, variance: of tissues' log intensities, the field taken off.

    field: coefficients of the basis. shares: of outside and each tissue in the voxels fitted to.
    converged: whether EM settled.
    """

    means: Float[np.ndarray, "k"]
    variance: float
    field: Float[np.ndarray, "f"]
    shares: Float[np.ndarray, "c"]
    converged: bool

    @property
    def contrast(self) -> float:
        """Standard deviations between the nearest two of the first three tissues."""
        gaps = np.diff(np.sort(self.means[:3]))
        return float(gaps.min() / np.sqrt(self.variance))

    def likelihoods(
        self, y: Float[np.ndarray, "v"], basis: Float[np.ndarray, "v f"]
    ) -> Float[np.ndarray, "c v"]:
        """How likely each log intensity is outside (first) and in each tissue."""
        return _densities(y - basis @ self.field.astype(np.float32), self.means, self.variance)


def logs(intensities: Float[np.ndarray, "*v"]) -> Float[np.ndarray, "*v"]:
    """Log intensities, float32."""
    return np.log(np.maximum(intensities, DARKEST)).astype(np.float32)


def polynomials(places: Float[np.ndarray, "3 v"], order: int) -> Float[np.ndarray, "v f"]:
    """All products of powers of three coordinates up to a total order; the first is 1.

    places: coordinates, which are brought to -1..1.
    """
    low, high = places.min(axis=1, keepdims=True), places.max(axis=1, keepdims=True)
    x, y, z = (2 * (places - low) / np.maximum(high - low, 1e-6) - 1).astype(np.float32)
    powers = [
        (a, b, c)
        for a in range(order + 1)
        for b in range(order + 1 - a)
        for c in range(order + 1 - a - b)
    ]
    return np.stack([x**a * y**b * z**c for a, b, c in powers], axis=1)


def fit(
    y: Float[np.ndarray, "v"],
    shares: Float[np.ndarray, "c v"],
    basis: Float[np.ndarray, "v f"],
    *,
    means: Float[np.ndarray, "k"] | None = None,
) -> Mixture:
    """EM on log intensities; shares: how likely each voxel is outside (first) and each tissue.

    means: where to begin where the shares know nothing; then they are one number per tissue for
    the whole volume, estimated too. Raises EvaluationError for under FEW voxels.
    """
    if y.size < FEW:
        raise EvaluationError(
            f"{y.size} voxels can be seen as head, {FEW} are needed; is this a brain, in 0..1?"
        )
    posterior, field = shares, np.zeros(basis.shape[1])
    if means is not None:
        spread = float(np.diff(np.sort(means)).min() / 2) ** 2 + _VARIANCE
        posterior, _ = _expected(y, shares, means, spread)
    located, before, converged = means is None, -np.inf, False
    for step in range(_STEPS):
        careful = located and step < _NARROW
        means, variance = _moments(y - basis @ field.astype(np.float32), posterior[1:])
        if careful:
            variance = min(variance, max(float(np.ptp(means)) / 4, 0.05) ** 2)
        if step >= _SHADING:
            field = _shading(y, posterior[1:], means, basis)
        if not located:
            shares = np.broadcast_to(posterior.mean(axis=1, keepdims=True), shares.shape)
        flat = y - basis @ field.astype(np.float32)
        posterior, likelihood = _expected(flat, shares, means, variance)
        if careful:
            posterior = _kept_outside(posterior, shares)
        if step > _NARROW + 1 and abs(likelihood - before) < _SETTLED:
            converged = True
            break
        before = likelihood
    assert means is not None
    return Mixture(means, variance, field, posterior.mean(axis=1, dtype=float), converged)


def _densities(
    flat: Float[np.ndarray, "v"], means: Float[np.ndarray, "k"], variance: float
) -> Float[np.ndarray, "c v"]:
    """Outside, where any intensity is as likely, and the Gaussian of each tissue."""
    found = np.empty((len(means) + 1, flat.size), dtype=np.float32)
    found[0] = _OUTSIDE
    distance = flat[None] - means.astype(np.float32)[:, None]
    np.exp(distance**2 * np.float32(-0.5 / variance), out=found[1:])
    found[1:] /= np.float32(np.sqrt(2 * np.pi * variance))
    return found


def _expected(
    flat: Float[np.ndarray, "v"],
    shares: Float[np.ndarray, "c v"],
    means: Float[np.ndarray, "k"],
    variance: float,
) -> tuple[Float[np.ndarray, "c v"], float]:
    """The posterior of each class and the mean log likelihood of a voxel."""
    joint = _densities(flat, means, variance) * shares
    total = joint.sum(axis=0) + np.float32(1e-12)
    return joint / total, float(np.log(total).mean(dtype=float))


def _kept_outside(
    posterior: Float[np.ndarray, "c v"], shares: Float[np.ndarray, "c v"]
) -> Float[np.ndarray, "c v"]:
    """The posterior in which outside has its share, whatever the intensity."""
    tissues = posterior[1:] + np.float32(1e-6) * shares[1:]
    tissues *= (1 - shares[0]) / tissues.sum(axis=0)
    return np.concatenate([shares[:1], tissues])


def _moments(
    flat: Float[np.ndarray, "v"], posterior: Float[np.ndarray, "k v"]
) -> tuple[Float[np.ndarray, "k"], float]:
    """The mean of each tissue and the variance that all share."""
    mass = posterior.sum(axis=1, dtype=float) + 1e-6
    means = (posterior @ flat).astype(float) / mass
    squares = float(((flat[None] - means.astype(np.float32)[:, None]) ** 2 * posterior).sum())
    return means, max(squares / float(mass.sum()), _VARIANCE)


def _shading(
    y: Float[np.ndarray, "v"],
    posterior: Float[np.ndarray, "k v"],
    means: Float[np.ndarray, "k"],
    basis: Float[np.ndarray, "v f"],
) -> Float[np.ndarray, "f"]:
    """The field that weighted least squares finds in what the tissues' means leave over."""
    weight = posterior.sum(axis=0)
    left = weight * y - means.astype(np.float32) @ posterior
    normal = ((basis * weight[:, None]).T @ basis).astype(float)
    normal[np.diag_indices_from(normal)] += 1e-6 * np.trace(normal) + 1e-9
    field = np.linalg.solve(normal, (basis.T @ left).astype(float))
    field[0] = 0  # the means have the constant
    return field
