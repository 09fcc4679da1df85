"""Analytic brain-extracted heads with age, sex and four contrasts: test data, demo without data.

The anatomy is `head`'s; here it is scanned. A new contrast is one row of `CONTRASTS`.
"""

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from brainweave.data.cohort import Cohort, Subject
from brainweave.data.files import digest, sha256, write_json
from brainweave.data.grid import Grid, Shape
from brainweave.data.head import TISSUES, Head, canonical, mask_depth, tissues
from brainweave.data.implicit import Depth, Points, ellipsoid, field, waves
from brainweave.data.seeds import derive, generator
from brainweave.data.volume import Volume
from brainweave.errors import CohortError

CENTRE = (0.0, -18.0, 6.0)  # mm; the middle of MNI152 as cropped to 80x96x80 voxels of 2 mm
EXTENT = (160.0, 192.0, 160.0)  # mm; what a head needs
LABELS = {"core": 1, "oedema": 2, "enhancing": 4}  # BraTS's
CONTRASTS = {  # raw intensities of TISSUES, then of LABELS
    "t1w": (190, 240, 660, 780, 880, 920, 1000, 930, 390, 730, 620),
    "t1c": (190, 1300, 680, 790, 880, 920, 1000, 930, 380, 740, 1450),
    "t2w": (1000, 260, 520, 450, 330, 370, 350, 430, 920, 780, 640),
    "flair": (110, 220, 640, 600, 480, 520, 520, 720, 380, 1000, 860),
}
MANIFEST = "phantoms.json"

_log = logging.getLogger(__name__)


def phantom(
    *,
    age: float,
    sex: str,
    seed: int,
    shape: Shape = (80, 96, 80),
    spacing: float | None = None,
    lesion: bool = False,
) -> dict[str, Volume]:
    """One subject as t1w, t1c, t2w, flair and seg on one RAS grid; 0 is outside the brain.

    Whole numbers of arbitrary unit, white matter near 1000 in t1w; seg has 1, 2, 4 in a lesion.
    age: years; anatomy changes from 2 to 98. spacing: mm; None is the one at which the head just
    fits into `shape`, 2 mm for the standard shape. The same seed at another age is the same person.
    Raises CohortError for a sex other than "F" and "M", an age that is not finite, no voxels.
    """
    if sex not in ("F", "M") or not math.isfinite(age):
        raise CohortError(f"no phantom has age {age!r} and sex {sex!r}; give years and 'F' or 'M'")
    if min(shape) < 1 or (spacing is not None and not 0 < spacing < math.inf):
        raise CohortError(f"no phantom has shape {shape} and spacing {spacing}; all are above 0")
    if spacing is None:
        spacing = max(extent / size for extent, size in zip(EXTENT, shape, strict=True))
    head = Head.draw(age=age, sex=sex, generator=generator("head", seed))
    points = canonical(head, _voxels(shape, spacing))
    inside = mask_depth(points) > 0
    points = points[:, inside]

    found = tissues(head, points, 1.2 * spacing)
    if lesion:
        found = _with_lesion(found, points, spacing, generator("lesion", seed))
    seen = {name: _scan(name, points, found, seed) for name in CONTRASTS}
    seen["seg"] = _labels(found, like=points[0])
    affine = _grid(shape, spacing).matrix
    return {name: Volume(_filled(values, inside, shape), affine) for name, values in seen.items()}


def write_phantoms(
    folder: Path,
    count: int,
    *,
    seed: int = 0,
    shape: Shape = (80, 96, 80),
    spacing: float | None = None,
    ages: tuple[float, float] = (20.0, 80.0),
    modalities: Sequence[str] = ("t1w",),
) -> Path:
    """Writes a cohort of phantoms as NIfTI, its cohort.csv last, and returns the CSV's path.

    Ages are spread evenly over the range, one drawn in each of `count` equal parts; sexes
    alternate. With "seg" among the modalities every subject has a lesion. Files that an earlier
    call wrote for the same subjects, and that still verify, are kept: a killed call resumes.
    Raises CohortError for a count below 1, no modality or an unknown one.
    """
    unknown = [name for name in modalities if name not in (*CONTRASTS, "seg")]
    if count < 1 or unknown or not modalities:
        known = ", ".join((*CONTRASTS, "seg"))
        raise CohortError(f"{count} phantoms of {list(modalities)}: need 1 or more of {known}")
    subjects = []
    for index in range(count):
        person = _person(index, count, ages, seed)
        settings = {
            **person,
            "shape": shape,
            "spacing": spacing,
            "lesion": "seg" in modalities,
        }
        name = f"sub-{index + 1:04d}"
        paths = {modality: folder / f"{name}_{modality}.nii.gz" for modality in modalities}
        _write(paths, settings)
        covariates = {"age": person["age"], "sex": person["sex"]}
        subjects.append(Subject(id=name, images=paths, covariates=covariates))
    table = folder / "cohort.csv"
    Cohort(subjects, source=str(table)).to_csv(table)
    return table


def _voxels(shape: Shape, spacing: float) -> Points:
    """The centres of all voxels in mm."""
    axes = [
        (torch.arange(size, dtype=torch.float32) - (size - 1) / 2) * spacing + middle
        for size, middle in zip(shape, CENTRE, strict=True)
    ]
    return torch.stack([axis.reshape(-1) for axis in torch.meshgrid(*axes, indexing="ij")])


def _grid(shape: Shape, spacing: float) -> Grid:
    x, y, z = (c - spacing * (n - 1) / 2 for n, c in zip(shape, CENTRE, strict=True))
    rows = ((spacing, 0.0, 0.0, x), (0.0, spacing, 0.0, y), (0.0, 0.0, spacing, z))
    return Grid(shape=shape, affine=(*rows, (0.0, 0.0, 0.0, 1.0)))


def _filled(values: Depth, inside: Bool[Tensor, " m"], shape: Shape) -> Float[Tensor, "i j k"]:
    whole = torch.zeros(inside.shape)
    whole[inside] = values
    return whole.reshape(shape)


def _with_lesion(
    found: dict[str, Depth], p: Points, softness: float, generator: torch.Generator
) -> dict[str, Depth]:
    """A ragged tumour in deep white matter: core, enhancing rim, oedema along white matter."""
    side, x, y, z, size, rim = torch.rand(6, generator=generator).tolist()
    centre = ((26 + 8 * x) * (1 if side < 0.5 else -1), -48 + 76 * y, 12 + 20 * z)
    size, rim = 11 + 6 * size, 3 + 2 * rim
    tumour = ellipsoid(p, centre, (size, 1.15 * size, size))
    tumour = tumour + 1.8 * field(waves(8, 22.0, generator), p)
    swollen = ellipsoid(p, centre, (1.8 * size, 2.2 * size, 1.9 * size))
    swollen = swollen + 4 * field(waves(8, 30.0, generator), p)

    whole, core, swelling = (
        (0.5 + depth / softness).clamp(0, 1) for depth in (tumour, tumour - rim, swollen)
    )
    spared = 1 - found["csf"]
    whole, core = whole * spared, core * spared
    oedema = swelling * (found["white"] + found["halo"] + 0.25 * found["grey"]) * (1 - whole)
    healthy = (1 - whole - oedema).clamp_min(0)
    left = {name: fraction * healthy for name, fraction in found.items()}
    return left | {"core": core, "oedema": oedema, "enhancing": whole - core}


def _scan(contrast: str, p: Points, found: dict[str, Depth], seed: int) -> Depth:
    """The signal of all tissues with texture, bias field and noise; above 0 everywhere."""
    random = generator("scan", contrast, seed)
    names = (*TISSUES, *LABELS)
    wobble = (1 + 0.015 * torch.randn(len(names), generator=random)).tolist()
    signal = torch.zeros_like(p[0])
    for name, level, factor in zip(names, CONTRASTS[contrast], wobble, strict=True):
        if name in found:
            signal.add_(found[name], alpha=level * factor)
    bias = torch.exp(0.05 * field(waves(3, 220.0, random), p))
    texture = 1 + 0.02 * field(waves(8, 14.0, random), p)
    noise = 14 * torch.randn(p.shape[1], generator=random)
    return (signal * bias * texture + noise).round_().clamp_min_(20)


def _labels(found: dict[str, Depth], like: Depth) -> Depth:
    """BraTS's label where a part of the lesion is most of the voxel, else 0."""
    labels = torch.zeros_like(like)
    for name, label in LABELS.items():
        if name in found:
            labels[found[name] > 0.5] = label
    return labels


def _person(index: int, count: int, ages: tuple[float, float], seed: int) -> dict[str, Any]:
    jitter = torch.rand(1, generator=generator("age", seed, index)).item()
    age = ages[0] + (ages[1] - ages[0]) * (index + jitter) / count
    return {"age": round(age, 2), "sex": "FM"[index % 2], "seed": derive("person", seed, index)}


def _write(paths: dict[str, Path], settings: dict[str, Any]) -> None:
    """Writes those files of one person that are absent or not what `settings` would give."""
    folder = next(iter(paths.values())).parent
    manifest = _read_manifest(folder / MANIFEST)
    stale = {
        modality: path
        for modality, path in paths.items()
        if not _verifies(path, settings, manifest.get(path.name))
    }
    if not stale:
        return
    volumes = phantom(**settings)
    for modality, path in stale.items():
        description = f"synthetic phantom, age {settings['age']}, sex {settings['sex']}"
        volumes[modality].save(path, description=description)
        manifest[path.name] = {"settings": digest(settings), "sha256": sha256(path)}
    write_json(folder / MANIFEST, manifest)


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        _log.warning("%s is not JSON: all phantoms beside it are written again", path)
        return {}
    return content if isinstance(content, dict) else {}


def _verifies(path: Path, settings: dict[str, Any], entry: Any) -> bool:
    known = isinstance(entry, dict) and entry.get("settings") == digest(settings)
    return known and path.is_file() and sha256(path) == entry.get("sha256")
