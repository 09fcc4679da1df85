"""Volumes at low resolution, as means over blocks: what brain age, sex and copies are seen in."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32

from brainweave.errors import ShapeError
from brainweave.evaluation.scans import Scans
from brainweave.progress import Reporter

AGE, COPY = 8.0, 4.0  # mm: edges of blocks in which age and in which persons are told apart
Edges = tuple[int, int, int]


def blocks(scans: Scans, mm: float, reporter: Reporter | None = None) -> Float32[np.ndarray, "n f"]:
    """Block means of every scan as rows of features; see `shrunk`."""
    volumes = shrunk(scans, mm, reporter)
    return volumes.reshape(len(volumes), -1)


def shrunk(
    scans: Scans, mm: float, reporter: Reporter | None = None
) -> Float32[np.ndarray, "n i j k"]:
    """Every scan as means over cubes of about `mm`, of a whole number of voxels.

    What an edge has beyond a multiple of the cubes is cropped on both sides alike; that, and cubes
    that are not of `mm`, are said. Raises ShapeError for volumes smaller than one cube.
    """
    edges = cubes(scans.spacing, mm)
    reporter = reporter or Reporter(quiet=True)
    if said := _uneven(scans, mm, edges):
        reporter.say(said)
    reporter.start(f"{scans.name}: {mm:g} mm blocks", len(scans))
    rows = []
    for volume in scans.volumes():
        rows.append(means(volume, edges))
        reporter.advance()
    reporter.stop()
    return np.stack(rows).astype(np.float32)


def cubes(spacing: Sequence[float], mm: float) -> Edges:
    """The edges in voxels of cubes nearest to `mm`, at least one voxel."""
    i, j, k = (max(1, round(mm / step)) for step in spacing)
    return i, j, k


def means(volume: Float[np.ndarray, "i j k"], edges: Edges) -> Float[np.ndarray, "_ _ _"]:
    """Means over blocks of `edges` voxels about the middle of a volume, float64."""
    counts = [size // edge for size, edge in zip(volume.shape, edges, strict=True)]
    if min(counts) < 1:
        raise ShapeError(
            f"a volume of {volume.shape} voxels has no block of {edges}; give larger volumes"
        )
    for axis, (count, edge) in enumerate(zip(counts, edges, strict=True)):
        start = (volume.shape[axis] - count * edge) // 2
        volume = volume.take(range(start, start + count * edge), axis)
    split = [part for pair in zip(counts, edges, strict=True) for part in pair]
    mean: np.ndarray = volume.reshape(split).mean(axis=(1, 3, 5), dtype=np.float64)
    return mean


def _uneven(scans: Scans, mm: float, edges: Edges) -> str:
    """What does not fit, in words."""
    words = []
    real = [edge * step for edge, step in zip(edges, scans.spacing, strict=True)]
    if max(abs(size - mm) for size in real) > 0.01 * mm:
        words.append(f"blocks are {' x '.join(f'{size:.3g}' for size in real)} mm, not {mm:g}")
    rest = [size % edge for size, edge in zip(scans.grid.shape, edges, strict=True)]
    if any(rest):
        words.append(f"{' x '.join(map(str, rest))} voxels at the edges are in no block")
    return f"{scans.name}, {mm:g} mm blocks: {'; '.join(words)}" if words else ""
