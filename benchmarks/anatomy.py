"""Anatomy against label maps: python benchmarks/anatomy.py DATA, with DATA the folder of t1_2mm.

Priors from the train split (or from three quarters of it, with --folds, to choose settings by), r
with the maps of the val split, time per volume, a cohort without maps, widened ventricles.
"""

import sys
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import map_coordinates

from brainweave.data.cohort import Cohort
from brainweave.data.volume import Volume
from brainweave.errors import EvaluationError
from brainweave.evaluation.anatomy import TOTALS, Anatomy, asymmetry
from brainweave.evaluation.priors import SCHEMES, Priors, build_priors
from brainweave.evaluation.scans import Scans, open_sides
from brainweave.progress import Reporter

MUSE = SCHEMES["muse"]


def truth(scans: Scans, priors: Priors) -> np.ndarray:
    """The ml of regions and tissues in the label maps."""
    rows = []
    for subject in scans:
        labels = Volume.load(subject.images["labels"]).oriented("RAS").data.numpy().astype(int)
        counts = np.bincount(labels.ravel(), minlength=256)
        own = [float(counts[list(MUSE[name][1])].sum()) for name in priors.names]
        pairs = [
            (MUSE[n][0].replace("deep", "grey"), v) for n, v in zip(priors.names, own, strict=True)
        ]
        rows.append(
            own + [sum(v for tissue, v in pairs if name.endswith(tissue)) for name in TOTALS]
        )
    return np.array(rows) * float(np.prod(scans.spacing)) / 1000


def measure(anatomy: Anatomy, scans: Scans) -> tuple[np.ndarray, float]:
    """The ml of all volumes and the median seconds that one took."""
    rows, seconds, moving = [], [], 0
    for volume in scans.volumes():
        began = time.perf_counter()
        found = anatomy.measure(volume, scans.spacing)
        seconds.append(time.perf_counter() - began)
        rows.append(found.vector)
        moving += not found.converged
    if moving:
        print(f"{moving} of {len(rows)} did not converge")
    return np.array(rows), float(np.median(seconds))


def joined(names: tuple[str, ...], table: np.ndarray) -> dict[str, np.ndarray]:
    """Both sides of a region added up."""
    sums: dict[str, np.ndarray] = {}
    for name, column in zip(names, table.T, strict=True):
        short = name.removeprefix("left ").removeprefix("right ")
        sums[short] = sums.get(short, 0) + column
    return sums


def compare(title: str, names: tuple[str, ...], found: np.ndarray, maps: np.ndarray) -> None:
    """One line per region: r, mean ml of both, error."""
    print(f"\n{title}: {len(found)} volumes\n{'region':26}{'r':>7}{'ml':>8}{'maps':>8}{'MAE':>7}")
    real = joined(names, maps)
    for name, ours in joined(names, found).items():
        r = np.corrcoef(ours, real[name])[0, 1]
        error = np.abs(ours - real[name]).mean()
        print(f"{name:26}{r:7.3f}{ours.mean():8.1f}{real[name].mean():8.1f}{error:7.1f}")


def widened(volume: np.ndarray, centres: list[np.ndarray], by: float, reach: float) -> np.ndarray:
    """A volume pushed away from centres (voxels), `by` of the distance there, less beyond reach."""
    at = np.indices(volume.shape, dtype=float)
    moved = at.copy()
    for centre in centres:
        away = at - centre.reshape(3, 1, 1, 1)
        moved -= by * away * np.exp(-(away**2).sum(0) / (2 * reach**2))
    return map_coordinates(volume, moved, order=1)


def enlarge(anatomy: Anatomy, scans: Scans, count: int = 8) -> None:
    """How much larger ventricles are measured when a warp makes them 30 % larger."""
    rows = []
    columns = [anatomy.names.index(f"{side} lateral ventricle") for side in ("left", "right")]
    for index in range(count):
        volume = scans.load(index)
        labels = Volume.load(scans[index].images["labels"]).oriented("RAS").data.numpy()
        masks = [np.isin(labels, MUSE[anatomy.names[column]][1]) for column in columns]
        centres = [np.argwhere(mask).mean(axis=0) for mask in masks]
        both = (masks[0] | masks[1]).astype(float)
        for by in np.arange(0.02, 0.5, 0.02):
            ratio = widened(both, centres, by, 10).sum() / both.sum()
            if ratio >= 1.3:
                break
        before, after = (
            anatomy.measure(v.astype(np.float32), scans.spacing).vector[columns].sum()
            for v in (volume, widened(volume, centres, by, 10))
        )
        rows.append((ratio, after / before))
    told = ", ".join(f"{after:.2f} of {ratio:.2f}" for ratio, after in rows)
    print(f"\nventricles widened by a warp, measured of true: {told}")


def sides(cohort: Cohort) -> Scans:
    """One cohort as it is read for evaluation."""
    return open_sides({"real": cohort})[0]["real"]


def main(folder: Path, *, folds: bool) -> None:
    cohort = Cohort.open(folder / "participants.csv")
    ixi = Cohort((s for s in cohort if "labels" in s.images), cohort.source)
    train, others = ixi.select(split="train"), cohort.select(dataset="ds002748", split="train")
    reporter = Reporter()
    if folds:
        found, maps = [], []
        for fold in range(4):
            rest = [s for i, s in enumerate(train) if i % 4 != fold]
            priors = build_priors(Cohort(rest), regions="muse", reporter=reporter)
            scans = sides(Cohort(s for i, s in enumerate(train) if i % 4 == fold))
            found.append(measure(Anatomy(priors.on(scans.grid)), scans)[0])
            maps.append(truth(scans, priors))
        names = (*priors.names, *TOTALS)
        compare("4 folds of train", names, np.concatenate(found), np.concatenate(maps))
        return
    began = time.perf_counter()
    priors = build_priors(train, regions="muse", reporter=reporter)
    print(f"priors from {priors.count} maps in {time.perf_counter() - began:.0f} s")
    val = sides(ixi.select(split="val"))
    anatomy = Anatomy(priors.on(val.grid))
    found, seconds = measure(anatomy, val)
    maps = truth(val, priors)
    compare("val", anatomy.names, found, maps)
    print(f"{seconds:.2f} s per volume")
    pairs, ours = asymmetry(anatomy.names, found)
    real = asymmetry(anatomy.names, maps)[1]
    for pair in ("lateral ventricle", "hippocampus"):
        column = pairs.index(pair)
        print(f"asymmetry of {pair}: r {np.corrcoef(ours[:, column], real[:, column])[0, 1]:.3f}")
    plain, seconds = measure(Anatomy(), val)
    ventricles = joined(anatomy.names, maps)["lateral ventricle"]
    central = np.corrcoef(plain[:, 0], ventricles)[0, 1]
    csf = np.corrcoef(plain[:, 1], maps[:, -3])[0, 1]
    print(f"without priors: r of central CSF with ventricles {central:.3f}, of CSF {csf:.3f}")
    print(f"{seconds:.2f} s per volume without priors")
    foreign = sides(others)
    table = joined(anatomy.names, measure(Anatomy(priors.on(foreign.grid)), foreign)[0])
    print(f"\nds002748, {len(foreign)} volumes: mean and range in ml, r with age")
    ages = foreign.numbers("age")
    known = np.isfinite(ages)
    for name, column in table.items():
        r = np.corrcoef(column[known], ages[known])[0, 1]
        print(f"{name:26}{column.mean():8.1f}{column.min():8.1f}{column.max():8.1f}{r:7.2f}")
    enlarge(anatomy, val)
    volume = val.load(0)
    noise = np.random.default_rng(0).random(volume.shape).astype(np.float32)
    for title, wrong in (
        ("noise", noise),
        ("upside down", volume[:, :, ::-1].copy()),
        ("noise in a brain", noise * (volume > 0)),
    ):
        try:
            print(f"{title}: {anatomy.measure(wrong, val.spacing)}")
        except EvaluationError as error:
            print(f"{title}: refused: {error}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), folds="--folds" in sys.argv)
