"""Where regions of the brain lie: probability maps built from any cohort with label maps.

A new labelling is one dict in `SCHEMES`: name of a region to its tissue and labels. Names of paired
regions begin with "left" and "right".
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Integer
from scipy.ndimage import gaussian_filter, map_coordinates

from brainweave.data.cohort import Cohort
from brainweave.data.files import digest
from brainweave.data.grid import Grid
from brainweave.data.volume import Volume
from brainweave.errors import EvaluationError
from brainweave.part import from_dict, hint, to_dict
from brainweave.progress import Reporter

Tissue = Literal["csf", "grey", "deep", "white"]  # deep: grey matter as bright as white matter
Regions = Mapping[str, tuple[Tissue, tuple[int, ...]]]
BLUR = 1.4  # mm; borders are no sharper than people differ and few maps can tell
REACH, FAR = 6.0, 0.05  # mm; the share of a map that lies as far from it as in no map seen
_KIND = "brainweave anatomy priors"
_OVERLAP = 0.8  # share of the priors' brain that must lie in a grid
_STRAY = 0.2  # share of labelled voxels that may be of no region
_LABELS = 2**16  # what a label must be below


def _sided(tissue: Tissue, name: str, left: tuple[int, ...], right: tuple[int, ...]) -> Regions:
    return {f"left {name}": (tissue, left), f"right {name}": (tissue, right)}


# MUSE and DLMUSE: MUSE_mapping_derived_rois.csv of github.com/CBICA/NiChart_DLMUSE at f36a845.
# There white matter counts the ventral diencephalon, not the brainstem; 46 (cavities at the
# midline) is of an older list. Whether right is odd or even changes from block to block; all sides
# and sizes were checked on the maps of t1_2mm.
_MUSE: Regions = {
    "outer csf": ("csf", (1, 46)),
    **_sided("csf", "lateral ventricle", (50, 52), (49, 51)),
    "third ventricle": ("csf", (4,)),
    "fourth ventricle": ("csf", (11,)),
    **_sided("grey", "cortex", (*range(101, 208, 2), 75), (*range(100, 208, 2), 76)),
    **_sided("grey", "hippocampus", (48,), (47,)),
    **_sided("grey", "amygdala", (32,), (31,)),
    **_sided("grey", "caudate", (37, 30), (36, 23)),
    **_sided("deep", "putamen", (58,), (57,)),
    **_sided("deep", "pallidum", (56,), (55,)),
    **_sided("deep", "thalamus", (60,), (59,)),
    **_sided("white", "white matter", (*range(82, 95, 2),), (*range(81, 95, 2),)),
    "corpus callosum": ("white", (95,)),
    **_sided("grey", "cerebellar cortex", (39,), (38,)),
    "vermis": ("grey", (71, 72, 73)),
    **_sided("white", "cerebellar white matter", (41,), (40,)),
    "brainstem": ("white", (35, 61, 62)),
}
# FreeSurferColorLUT.txt, aseg with or without aparc's parcels, and SynthSeg, which follows it.
# The unsided hypointensities (77) are left out; the vermis is part of the cerebellar cortex.
_FREESURFER: Regions = {
    "outer csf": ("csf", (24,)),
    **_sided("csf", "lateral ventricle", (4, 5, 31), (43, 44, 63)),
    "third ventricle": ("csf", (14,)),
    "fourth ventricle": ("csf", (15,)),
    **_sided("grey", "cortex", (3, *range(1001, 1036)), (42, *range(2001, 2036))),
    **_sided("grey", "hippocampus", (17,), (53,)),
    **_sided("grey", "amygdala", (18,), (54,)),
    **_sided("grey", "caudate", (11, 26), (50, 58)),
    **_sided("deep", "putamen", (12,), (51,)),
    **_sided("deep", "pallidum", (13,), (52,)),
    **_sided("deep", "thalamus", (10,), (49,)),
    **_sided("white", "white matter", (2,), (41,)),
    "corpus callosum": ("white", (*range(251, 256),)),
    **_sided("grey", "cerebellar cortex", (8,), (47,)),
    **_sided("white", "cerebellar white matter", (7,), (46,)),
    "brainstem": ("white", (16, 28, 60)),
}
SCHEMES: Mapping[str, Regions] = {"muse": _MUSE, "freesurfer": _FREESURFER}


@dataclass(frozen=True)
class Priors:
    """How likely each voxel of a grid belongs to each region; what is left to 1 is outside.

    count: the label maps they were built from.
    """

    names: tuple[str, ...]
    tissues: tuple[Tissue, ...]
    maps: Float[np.ndarray, "r i j k"]
    grid: Grid
    count: int

    @property
    def brain(self) -> Float[np.ndarray, "i j k"]:
        """How likely each voxel belongs to any region."""
        return self.maps.sum(axis=0)

    @property
    def digest(self) -> str:
        """The SHA-256 of maps, names and grid."""
        content = hashlib.sha256(np.ascontiguousarray(self.maps).data).hexdigest()
        return digest([content, self._facts()])

    def save(self, path: Path) -> str:
        """Writes safetensors with its own hash, atomically, in float16; returns the hash."""
        import torch

        from brainweave.data.tensors import save_tensors

        maps = torch.from_numpy(self.maps).half()
        return save_tensors(path, {"maps": maps}, self._facts())

    @classmethod
    def load(cls, path: Path) -> "Priors":
        """What `save` wrote. Raises CheckpointError for a changed or foreign file,
        EvaluationError for one that holds something else."""
        from brainweave.data.tensors import load_tensors

        tensors, facts = load_tensors(path)
        if facts.get("kind") != _KIND:
            raise EvaluationError(
                f"{path} holds no anatomy priors; build them from label maps by build_priors"
            )
        names, tissues = tuple(facts["names"]), tuple(facts["tissues"])
        maps = tensors["maps"].float().numpy()
        return cls(names, tissues, maps, from_dict(facts["grid"]), facts["count"])

    def on(self, grid: Grid) -> "Priors":
        """The priors at the voxels of another grid, by position in mm, trilinear.

        Raises EvaluationError where under 80 % of the priors' brain lies in that grid.
        """
        if grid == self.grid:
            return self
        change = np.linalg.inv(self.grid.matrix) @ grid.matrix
        ijk = np.indices(grid.shape, dtype=np.float64).reshape(3, -1)
        at = (change[:3, :3] @ ijk + change[:3, 3:]).reshape(3, *grid.shape)
        maps = np.stack([map_coordinates(m, at, order=1, mode="grid-constant") for m in self.maps])
        seen = float(maps.sum() * _ml(grid)) / float(self.maps.sum() * _ml(self.grid))
        if seen < _OVERLAP:
            raise EvaluationError(
                f"{seen:.0%} of the brain of the anatomy priors lies in the volumes' grid of "
                f"{grid.shape} voxels; register the volumes to the space of the label maps, or "
                "build priors from maps in theirs"
            )
        return replace(self, maps=maps, grid=grid)

    def _facts(self) -> dict[str, object]:
        return {
            "kind": _KIND,
            "names": list(self.names),
            "tissues": list(self.tissues),
            "grid": to_dict(self.grid),
            "count": self.count,
        }


def build_priors(
    cohort: Cohort,
    *,
    regions: Regions | str,
    modality: str = "labels",
    reporter: Reporter | None = None,
) -> Priors:
    """The share of label maps with each region at each voxel, blurred by 1.4 mm, 5 % by 6 mm.

    regions: a dict as in SCHEMES or the name of one there. Scans without a label map are passed
    over. A region that is in no map is left out, and voxels whose label is of no region are not
    counted; both are said. Raises EvaluationError for no maps, maps on several grids, maps of
    another labelling and maps without CSF, grey or white matter.
    """
    reporter = reporter or Reporter(quiet=True)
    regions = _scheme(regions)
    labelled = Cohort((s for s in cohort if modality in s.images), cohort.source)
    grid = _common_grid(labelled, modality)
    region_of = _table(regions)
    counts = np.zeros((len(regions) + 1, *grid.shape), dtype=np.uint16)  # the first is outside
    unknown: set[int] = set()
    stray = total = 0
    reporter.start("label maps", len(labelled))
    for subject in labelled:
        labels = _labels(subject.images[modality])
        found = region_of[labels]
        stray += int((found == len(counts)).sum())
        total += int((labels > 0).sum())
        unknown |= set(np.unique(labels[found == len(counts)]).tolist())
        for region, count in enumerate(counts):
            count += found == region
        reporter.advance()
    reporter.stop()
    if stray > _STRAY * total:
        raise EvaluationError(
            f"{cohort.source}: {stray / total:.0%} of the labelled voxels are of no region; these "
            f"maps are of another labelling, and there are {', '.join(SCHEMES)}"
        )
    if unknown:
        reporter.say(f"labels of no region, not counted: {', '.join(map(str, sorted(unknown)))}")
    present = _present(regions, counts[1:], f"{cohort.source}, {modality}", reporter)
    maps = _blurred(counts[[0, *(index + 1 for index in present)]], grid)
    names = [list(regions)[index] for index in present]
    tissues = tuple(regions[name][0] for name in names)
    return Priors(tuple(names), tissues, maps, grid, len(labelled))


def _common_grid(cohort: Cohort, modality: str) -> Grid:
    """The one grid of all label maps, along R, A, S."""
    if not len(cohort):
        raise EvaluationError(f"{cohort.source}: no scan has an image {modality!r}; give the maps")
    grids = [grid.oriented("RAS") for grid in cohort.grids(modality).values()]
    for grid in grids:
        if not grid.matches(grids[0]):
            raise EvaluationError(
                f"{cohort.source}: the {modality} maps lie on several grids; resample them, by "
                "nearest neighbour, to one space"
            )
    return grids[0]


def _present(
    regions: Regions, counts: Integer[np.ndarray, "r i j k"], source: str, reporter: Reporter
) -> list[int]:
    """The indices of regions that are in any map; there must be every tissue."""
    present = [index for index, count in enumerate(counts) if count.any()]
    names = list(regions)
    absent = [name for index, name in enumerate(names) if index not in present]
    tissues = {regions[names[index]][0] for index in present}
    lacking = {"csf", "grey", "white"} - tissues
    if lacking:
        raise EvaluationError(
            f"{source}: no map has a label of {', '.join(sorted(lacking))}; give the regions that "
            f"these labels mean: a scheme of {', '.join(SCHEMES)}, or a dict"
        )
    if absent:
        reporter.say(f"in no label map, left out: {', '.join(absent)}")
    return present


def _scheme(regions: Regions | str) -> Regions:
    """A checked dict of regions."""
    if isinstance(regions, str):
        if regions not in SCHEMES:
            raise EvaluationError(f"no labelling {regions!r}{hint(regions, SCHEMES)}")
        return SCHEMES[regions]
    used = [label for _, labels in regions.values() for label in labels]
    wrong = [name for name, (tissue, _) in regions.items() if tissue not in get_args(Tissue)]
    if not regions or wrong or len(set(used)) < len(used) or not all(0 < x < _LABELS for x in used):
        raise EvaluationError(
            "regions need a tissue of csf, grey, deep, white and labels above 0 that no other "
            f"region has; look at {', '.join(wrong) or 'labels used twice or out of range'}"
        )
    return regions


def _table(regions: Regions) -> Integer[np.ndarray, "_"]:
    """Label to region: 0 is outside, 1 and up are regions, the last is any other label."""
    table = np.full(_LABELS, len(regions) + 1, dtype=np.uint16)
    table[0] = 0
    for region, (_, labels) in enumerate(regions.values(), start=1):
        table[list(labels)] = region
    return table


def _labels(path: Path) -> Integer[np.ndarray, "i j k"]:
    """A label map along R, A, S. Raises EvaluationError for values that are no labels."""
    values = Volume.load(path).oriented("RAS").data.numpy()
    labels = np.round(values).astype(np.int64)
    if np.abs(values - labels).max() > 1e-3 or labels.min() < 0 or labels.max() >= _LABELS:
        raise EvaluationError(
            f"{path} holds values from {values.min():g} to {values.max():g}, not whole labels "
            "from 0 to 65535; it is no label map or was interpolated"
        )
    return labels


def _blurred(counts: Integer[np.ndarray, "r i j k"], grid: Grid) -> Float[np.ndarray, "r-1 i j k"]:
    """Shares of counts over space, those of regions, rounded as they are saved."""
    near, far = ([mm / edge for edge in grid.spacing] for mm in (BLUR, REACH))
    total = np.zeros(grid.shape, dtype=np.float32)
    maps = np.empty(counts.shape, dtype=np.float32)
    for count, blurred in zip(counts, maps, strict=True):
        share = count.astype(np.float32)
        blurred[:] = (1 - FAR) * gaussian_filter(share, near) + FAR * gaussian_filter(share, far)
        total += blurred
    return (maps[1:] / np.maximum(total, 1e-6)).astype(np.float16).astype(np.float32)


def _ml(grid: Grid) -> float:
    """The volume of a voxel."""
    return float(abs(np.linalg.det(grid.matrix[:3, :3]))) / 1000
