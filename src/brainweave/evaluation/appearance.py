"""What the eye would say of a volume, as numbers: bright, sharp, grainy, patterned, displaced.

A new sign is one entry of `SIGNS`: what is measured of a volume, and the words for more and less.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import binary_erosion, binary_fill_holes

from brainweave.evaluation.base import Score
from brainweave.evaluation.scans import EDGE

Measure = Callable[["Head"], float]
_TINY = 1e-12
_CORE = 0.25  # of the brightest: where the inside of the head begins, before three voxels are left
_AXES = ("left-right", "front-back", "up-down")
PARITIES = [parity for parity in product((0, 1), repeat=3) if any(parity)]


@dataclass(frozen=True)
class Head:
    """A volume in 0..1, its head, and the inside of the head, where no blur reaches its edge."""

    data: Float[np.ndarray, "i j k"]
    head: Bool[np.ndarray, "i j k"]
    inside: Bool[np.ndarray, "i j k"]

    @classmethod
    def of(cls, data: Float[np.ndarray, "i j k"]) -> "Head":
        """Finds the head: what is brighter than the edge, holes filled."""
        head = binary_fill_holes(data > EDGE)
        core = binary_fill_holes(data > _CORE * max(float(data.max()), EDGE))
        return cls(data.astype(np.float64), head, binary_erosion(core, iterations=3))


@dataclass(frozen=True)
class Sign:
    """One measure of a volume. more, less: the words when made volumes have more or less of it."""

    name: str
    measure: Measure
    more: str
    less: str


def brightness(head: Head) -> float:
    """The 95th percentile of the head: in T1-weighted volumes the level of white matter."""
    return float(np.percentile(head.data[head.head], 95)) if head.head.any() else 0.0


def contrast(head: Head) -> float:
    """The spread of intensities inside the head: 90th less 10th percentile."""
    values = head.data[head.inside]
    return float(np.subtract(*np.percentile(values, [90, 10]))) if values.size else 0.0


def sharpness(head: Head) -> float:
    """The logarithm of the mean squared difference of neighbours inside the head."""
    return float(np.mean([_along(head, axis) for axis in range(3)]))


def grain(head: Head) -> float:
    """The logarithm of the energy that alternates along all three axes at once: noise has as much
    of it as of anything, anatomy next to none."""
    data = head.data
    for axis in range(3):
        data = np.diff(data, axis=axis)
    inside = head.inside[1:, 1:, 1:]
    return float(np.log(_mean(data[inside] ** 2) / 8 + _TINY))


def background(head: Head) -> float:
    """The mean absolute intensity outside of the head."""
    return _mean(np.abs(head.data[~head.head]))


def pattern(head: Head) -> float:
    """How clearly a pattern repeats every two voxels along some of the axes: its amplitude over
    what detail of that energy has with random signs, so that noise alone gives 1 to 3."""
    planes: tuple[np.ndarray, ...] = np.indices(head.data.shape, sparse=True)
    flat = np.where(head.inside, head.data - _smooth(head.data), 0.0)
    random = float(np.sqrt((flat**2).sum())) + _TINY
    waves = (sum(p * axis for p, axis in zip(parity, planes, strict=True)) for parity in PARITIES)
    return max(abs(float((flat * (1 - 2 * (wave % 2))).sum())) / random for wave in waves)


def size(head: Head) -> float:
    """The share of the volume that is head."""
    return float(head.head.mean())


def unevenness(axis: int) -> Measure:
    """How much rougher the head is along one axis than along the other two, as a log ratio."""

    def measure(head: Head) -> float:
        along = [_along(head, a) for a in range(3)]
        return 1.5 * (along[axis] - float(np.mean(along)))

    return measure


SIGNS = (
    Sign("brightness", brightness, "brighter", "darker"),
    Sign("contrast", contrast, "higher in contrast", "lower in contrast"),
    Sign("sharpness", sharpness, "rougher or noisier", "blurred"),
    Sign("grain", grain, "noisy", "too smooth in fine detail"),
    Sign("background", background, "not clean in the background", "cleaner in the background"),
    Sign("pattern", pattern, "covered by a checkerboard pattern", "freer of regular patterns"),
    Sign("head size", size, "larger in the head", "smaller in the head"),
    *(
        Sign(
            f"unevenness {axis}",
            unevenness(index),
            f"uneven from slice to slice along the {axis} axis",
            f"smoother along the {axis} axis than along the others",
        )
        for index, axis in enumerate(_AXES)
    ),
)
_HIDES = {  # what rises (True) or falls, and the signs that this explains: they are not told
    ("unevenness", True): ("unevenness", "pattern", "grain", "sharpness", "contrast"),
    ("pattern", True): ("grain", "sharpness", "background", "contrast"),
    ("grain", True): ("sharpness", "background", "pattern"),
    ("sharpness", False): ("grain", "background", "head size", "pattern", "unevenness"),
}


def signs(volumes: Iterable[Float[np.ndarray, "i j k"]]) -> Float[np.ndarray, "n s"]:
    """Every sign of every volume, in the order of `SIGNS`."""
    heads = (Head.of(volume) for volume in volumes)
    return np.array([[sign.measure(head) for sign in SIGNS] for head in heads])


def told(scores: Sequence[Score], least: float = 3.0) -> list[str]:
    """The words for the signs of which |z| is at least so much, the clearest first.

    A sign that explains others silences them: a checkerboard is also rough.
    """
    clear = {s.name.rpartition("/")[2]: s.z for s in scores if s.z is not None}
    clear = {name: z for name, z in clear.items() if abs(z) >= least}
    order = sorted(clear, key=lambda name: -abs(clear[name]))
    kept: list[str] = []
    for name in sorted(order, key=lambda name: _rule(name, clear[name]) not in _HIDES):
        if not any(_kind(name) in _HIDES.get(_rule(k, clear[k]), ()) for k in kept):
            kept.append(name)
    words = {sign.name: sign for sign in SIGNS}
    kept.sort(key=order.index)
    return [words[name].more if clear[name] > 0 else words[name].less for name in kept]


def _rule(name: str, z: float) -> tuple[str, bool]:
    return _kind(name), z > 0


def _kind(name: str) -> str:
    return "unevenness" if name.startswith("unevenness") else name


def _along(head: Head, axis: int) -> float:
    """The logarithm of the mean squared difference of neighbours along an axis."""
    both = np.moveaxis(head.inside, axis, 0)
    both = both[1:] & both[:-1]
    steps = np.diff(np.moveaxis(head.data, axis, 0), axis=0)
    return float(np.log(_mean(steps[both] ** 2) + _TINY))


def _smooth(data: Float[np.ndarray, "i j k"]) -> Float[np.ndarray, "i j k"]:
    """Binomial [1 2 1] / 4 along each axis: what alternates every voxel is gone."""
    for axis in range(3):
        data = (np.roll(data, 1, axis) + 2 * data + np.roll(data, -1, axis)) / 4
    return data


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else 0.0
