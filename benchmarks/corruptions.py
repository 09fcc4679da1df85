"""Known damage to real brains: does evaluation notice, and does it say what it is?

Run: python benchmarks/corruptions.py COHORT [--out FOLDER] [--seed 0] [--size 60] [--only NAME]
COHORT: real volumes with label maps, such as participants.csv:split=train. Its persons are split
at random within sites: `size` real ones, as many others that are damaged, the rest for training.
Prints two tables, writes all reports below FOLDER; run again, and finished cases are read.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import (
    affine_transform,
    distance_transform_edt,
    gaussian_filter,
    map_coordinates,
    shift,
)

from brainweave import Cohort, Report, Score, Subject, Volume, evaluate
from brainweave.evaluation.priors import Priors, build_priors
from brainweave.evaluation.settings import Settings
from brainweave.progress import Reporter

Corruption = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # [i j k] raw, background 0
TOP = 250.0  # raw intensity of the brightest brain


def blur(volume: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """Gaussian of 0.8 voxel."""
    return gaussian_filter(volume, 0.8)


def noise(volume: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """0.03 of the brightest, inside the brain."""
    return np.where(
        volume > 0, np.maximum(volume + random.normal(0, 0.03 * TOP, volume.shape), 1), 0
    )


def brighter(volume: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """All intensities times 1.05."""
    return volume * 1.05


def jitter(volume: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Every axial slice moved in its plane by half a voxel of standard deviation."""
    moved = [
        shift(volume[..., k], random.normal(0, 0.5, 2), order=1) for k in range(volume.shape[2])
    ]
    return np.stack(moved, axis=2)


def checkerboard(volume: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """0.02 of the brightest, its sign changing from voxel to voxel, inside the brain."""
    wave = 1 - 2 * (np.indices(volume.shape).sum(0) % 2)
    return np.where(volume > 0, np.maximum(volume + 0.02 * TOP * wave, 1), 0)


def ventricles(map_: np.ndarray, by: float = 1.0, reach: float = 6.0) -> Corruption:
    """Pushes tissue `by` voxels away from the lateral ventricles, whose probability map this is, as
    hydrocephalus would, less beyond `reach` voxels; cubic interpolation keeps it sharp."""
    inside = map_ > 0.3
    outward = distance_transform_edt(~inside) - distance_transform_edt(inside)
    outward = gaussian_filter(outward, 1.0)
    push = by * np.exp(-((np.maximum(outward, 0) / reach) ** 2))
    source = np.indices(map_.shape, dtype=float) - push * np.stack(np.gradient(outward))

    def warp(volume: np.ndarray, _: np.random.Generator) -> np.ndarray:
        return np.clip(map_coordinates(volume, source, order=3), 0, None)

    return warp


def larger(volume: np.ndarray, _: np.random.Generator, factor: float = 1.04) -> np.ndarray:
    """The head as a whole, about its middle."""
    middle = (np.array(volume.shape) - 1) / 2
    return affine_transform(volume, np.eye(3) / factor, offset=middle - middle / factor, order=1)


VOXELWISE: dict[str, Corruption] = {
    "blur 0.8 voxel": blur,
    "noise 0.03": noise,
    "intensity x1.05": brighter,
    "slice jitter": jitter,
    "checkerboard": checkerboard,
}
REPEATED, YOUNG = 20, 35  # volumes that are repeated; years below which one is young
CLEAR, NOTED = 3.0, 2.0  # |z|
SHOWN = ("frechet", "kid", "mmd", "precision@5", "recall@5", "density@5", "coverage@5")


def main() -> None:
    """Damages, evaluates, prints."""
    asked = arguments()
    real, other, train = split(Cohort.open(asked.cohort), asked.size, asked.seed)
    reporter = Reporter()
    priors = build_priors(train, regions="muse", reporter=reporter)
    settings = Settings(priors=priors, seed=asked.seed)
    found: dict[str, tuple[list[Score], list[str]]] = {}
    for name, made in cases(other, train, priors, asked.out, asked.seed).items():
        if asked.only and asked.only not in name:
            continue
        folder = asked.out / "reports" / name.replace(" ", "-")
        if not (folder / "scores.json").exists():
            reporter.say(f"== {name}")
            report = evaluate(
                real,
                made,
                train,
                settings=settings,
                cache=asked.out / "features",
                reporter=reporter,
            )
            report.save(folder)
        found[name] = list(Report.load_scores(folder)), words(folder)
    print(
        f"{len(real)} real volumes, {len(other)} others, {len(train)} training; seed {asked.seed}"
    )
    print(told(found), tabled(found), sep="\n\n")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out/corruptions"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=60)
    parser.add_argument("--only", default="")
    return parser.parse_args()


def split(cohort: Cohort, size: int, seed: int) -> tuple[Cohort, Cohort, Cohort]:
    """Real, other and training volumes, each with the cohort's share of every site: dealt out one
    by one from a list in random order by site."""
    random = np.random.default_rng(seed).permutation(len(cohort))
    order = sorted(random.tolist(), key=lambda i: str(cohort[i].covariates.get("site", "")))
    place = np.random.default_rng(seed).random() + np.arange(len(order)) * size / len(order)
    first = np.floor(place + size / len(order)) > np.floor(place)
    rest = np.flatnonzero(~first)
    share = size / len(rest)
    second = np.floor(np.arange(len(rest)) * share + share) > np.floor(np.arange(len(rest)) * share)
    parts = [np.flatnonzero(first)[:size], rest[second][:size], rest[~second]]
    names = ("real half", "other half", "training rest")
    real, other, train = (
        Cohort([cohort[order[i]] for i in part], name)
        for part, name in zip(parts, names, strict=True)
    )
    return real, other, train


def cases(other: Cohort, train: Cohort, priors: Priors, out: Path, seed: int) -> dict[str, Cohort]:
    """Every made cohort by name; damaged volumes are written once."""
    aged = [s for s in other if float(s.covariates.get("age", np.nan)) < YOUNG]
    repeats = [replace(other[i % REPEATED], id=f"copy-{i}", subject="") for i in range(len(other))]
    damage = VOXELWISE | {"enlarged ventricles": ventricles(lateral(priors))}
    return {
        "nothing": other,
        **{name: written(other, name, change, out, seed) for name, change in damage.items()},
        f"{REPEATED} volumes repeated": Cohort(repeats, "repeats"),
        f"only below {YOUNG} years": Cohort(aged, "young"),
        "copies of training volumes": Cohort(train, "copies"),
    }


def lateral(priors: Priors) -> np.ndarray:
    """The probability of the lateral ventricles."""
    left, right = (priors.names.index(f"{side} lateral ventricle") for side in ("left", "right"))
    return priors.maps[left] + priors.maps[right]


def written(cohort: Cohort, name: str, change: Corruption, out: Path, seed: int) -> Cohort:
    """The cohort with damaged images."""
    folder = out / "volumes" / name.replace(" ", "-")
    subjects: list[Subject] = []
    for index, subject in enumerate(cohort):
        path = folder / f"{subject.id}.nii.gz"
        if not path.exists():
            volume = Volume.load(subject.images["t1w"])
            random = np.random.default_rng([seed, index])
            data = change(volume.data.numpy().astype(np.float64), random).astype(np.float32)
            replace(volume, data=torch.from_numpy(data)).save(path)
        subjects.append(replace(subject, images={"t1w": path}))
    return Cohort(subjects, name)


def words(folder: Path) -> list[str]:
    """The findings of a saved report."""
    told = json.loads((folder / "findings.json").read_text())["findings"]
    return [f"{finding['topic']}: {finding['text']}" for finding in told]


def told(found: dict[str, tuple[list[Score], list[str]]]) -> str:
    """Per damage: how many scores notice it and what the report says."""
    lines = [
        "| damage | scores with a null | beyond 2 sd | beyond 3 sd "
        "| P(d_train < d_test), all of train | in words |",
        "|---|---|---|---|---|---|",
    ]
    for name, (scores, findings) in found.items():
        z = [abs(score.z) for score in scores if score.z is not None]
        p = next(s for s in scores if s.name.endswith("residual P(d_train < d_test), all of train"))
        said = [text.split(": ", 1)[1] for text in findings if named(text)]
        counts = f"{len(z)} | {sum(x > NOTED for x in z)} | {sum(x > CLEAR for x in z)}"
        share = f"{p.value:.2f} [{p.low:.2f}, {p.high:.2f}]"
        lines.append(f"| {name} | {counts} | {share} | {' '.join(said) or 'nothing'} |")
    return "\n".join(lines)


def named(text: str) -> bool:
    """Whether a finding names a difference: not the counts of comparisons, nor that all is well."""
    quiet = ("comparisons of features", "No sign", "Cannot tell")
    return text.startswith(("like: ", "copy: ")) and not any(word in text for word in quiet)


def tabled(found: dict[str, tuple[list[Score], list[str]]]) -> str:
    """z by score and damage."""
    tables = {name: {s.name: s.z for s in scores} for name, (scores, _) in found.items()}
    rows = [n for n in next(iter(tables.values())) if n.rpartition("/")[2] in SHOWN]
    every = next(iter(tables.values()))
    rows += [n for n in every if n.startswith(("appearance/", "ms_ssim diversity", "age seen"))]
    rows.remove("ms_ssim diversity [real]")
    rows += [f"anatomy/{side} lateral ventricle/effect" for side in ("left", "right")]
    rows += [n for n in every if n.startswith("copies/") and every[n] is not None]
    lines = [f"| z | {' | '.join(tables)} |", "|---" * (len(tables) + 1) + "|"]
    for row in rows:
        cells = [table.get(row) for table in tables.values()]
        shown = [
            "" if z is None else f"**{z:.1f}**" if abs(z) > CLEAR else f"{z:.1f}" for z in cells
        ]
        lines.append(f"| {row} | {' | '.join(shown)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
