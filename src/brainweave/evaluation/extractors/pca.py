"""Principal components of low-resolution brains, fitted on volumes that are not judged."""

import hashlib
from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np
from jaxtyping import Float

from brainweave.data.grid import Spacing
from brainweave.errors import EvaluationError
from brainweave.evaluation.extractors.base import Array, Arrays, Extractor, Vector

EDGE_MM = 4.0  # of a block
COMPONENTS = 40
FEWEST = 4
MOST = 500  # volumes that are fitted; the first ones of more
HEAD = 0.05  # mean intensity of the blocks that count


class Components(Extractor):
    """Scores on the first principal components of 4 mm block means inside the mean brain.

    As many as half the fitted volumes and at most 40. Not whitened: distances are root mean
    squares of intensity over the brain, so what varies most in real brains weighs most. It sees
    shape and brightness and is blind to noise and texture.
    """

    name = "pca"

    def __init__(self, state: dict[str, Arrays] | None = None) -> None:
        self._state = state or {}
        self.ready = bool(self._state)
        self.dimension = len(self._state["axes"]) if self._state else 0
        self.content = _hash(self._state) if self._state else ""
        self.preprocessing: dict[str, Any] = {
            "version": 1,
            "block_mm": EDGE_MM,
            "head": HEAD,
            "components": f"min({COMPONENTS}, fitted // 2)",
            "fitted_at_most": MOST,
            "whitened": False,
        }

    def __call__(self, volume: Array, spacing: Spacing) -> Vector:
        """The features; a grid other than the fitted one is an EvaluationError."""
        if not self._state:
            raise EvaluationError("pca must be fitted on volumes before it describes any")
        blocks, inside = _blocks(volume, spacing), self._state["inside"] > 0
        if blocks.shape != inside.shape:
            raise EvaluationError(
                f"pca was fitted on {inside.shape} blocks of {EDGE_MM:g} mm, this volume has "
                f"{blocks.shape}; bring all volumes onto one grid"
            )
        centred = blocks[inside] - self._state["mean"]
        return self._state["axes"] @ centred / centred.size**0.5

    def fitted(self, volumes: Iterable[Array], spacing: Spacing) -> "Components":
        """The mean and the components of these volumes; EvaluationError for fewer than four."""
        blocks = [_blocks(volume, spacing) for volume in islice(volumes, MOST)]
        if len(blocks) < FEWEST:
            raise EvaluationError(
                f"pca needs {FEWEST} volumes to be fitted on, got {len(blocks)}; add some"
            )
        if len(shapes := {block.shape for block in blocks}) > 1:
            raise EvaluationError(
                f"pca is fitted on volumes of one grid, got {' and '.join(map(str, shapes))} "
                f"blocks of {EDGE_MM:g} mm"
            )
        inside = np.sum(blocks, axis=0) > HEAD * len(blocks)
        if not inside.any():
            raise EvaluationError(f"the mean of the volumes is nowhere above {HEAD}: no brain")
        rows = np.array([block[inside] for block in blocks])
        mean = rows.mean(axis=0)
        axes = _axes(rows - mean, min(COMPONENTS, len(rows) // 2))
        return Components({"mean": mean, "axes": axes, "inside": inside.astype(np.float64)})

    def state(self) -> dict[str, Arrays]:
        return self._state

    def restored(self, state: dict[str, Arrays]) -> "Components":
        return Components(state)


def _blocks(volume: Array, spacing: Spacing) -> Float[np.ndarray, "_ _ _"]:
    """Means of blocks of whole voxels, about EDGE_MM wide; what is missing at the end is 0."""
    size = [max(1, round(EDGE_MM / mm)) for mm in spacing]
    edges = zip(volume.shape, size, strict=True)
    padded = np.pad(volume, [(0, -voxels % step) for voxels, step in edges])
    i, j, k = (voxels // step for voxels, step in zip(padded.shape, size, strict=True))
    split = padded.reshape(i, size[0], j, size[1], k, size[2])
    return split.mean(axis=(1, 3, 5), dtype=np.float64)


def _axes(rows: Float[np.ndarray, "n m"], count: int) -> Float[np.ndarray, "d m"]:
    """Orthonormal directions of most variance; the largest entry of each is positive."""
    values, vectors = np.linalg.eigh(rows @ rows.T)  # n x n: there are more blocks than volumes
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    real = values > 1e-9 * values[0]
    if not real.any():
        raise EvaluationError("all volumes that pca is fitted on are the same; give different ones")
    axes = (vectors[:, real] / values[real] ** 0.5).T @ rows
    largest = np.abs(axes).argmax(axis=1)
    return axes * np.sign(axes[np.arange(len(axes)), largest])[:, None]


def _hash(state: dict[str, Arrays]) -> str:
    total = hashlib.sha256()
    for name in sorted(state):
        total.update(f"{name} {state[name].shape}".encode() + state[name].tobytes())
    return total.hexdigest()
