"""What a completed volume has to beat, by cross-validation. Run: python benchmarks/floors.py DATA

For every subset of the other modalities: a quadratic regression, voxel by voxel inside the brain,
fitted on the cases of the other folds (constant, linear terms, all products), the mean of the
subset, and, run alone, the guess from a voxel and its surroundings that complete_2mm starts from.
Every volume is divided by its own 99.5th percentile of voxels > 0. Prints PSNR (peak 1) and
SSIM inside the brain (any modality > 0) and the tumour (seg > 0); completion.py measures models so.
Usage: floors.py DATA [--folds 5] | --quick, with --quick on phantoms
"""

import argparse
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from brainweave.conditions.guess import Guess
from brainweave.data.brats import IMAGES
from brainweave.data.cohort import Cohort, Subject
from brainweave.data.phantom import write_phantoms
from brainweave.data.volume import Volume
from brainweave.errors import CohortError
from brainweave.evaluation.base import bootstrap
from brainweave.evaluation.similarity import ssim_map
from brainweave.recipes.complete import complete_2mm

PERCENTILE = 99.5
FLOORS = ("mean", "quadratic")
GUESS = "guess"
REGIONS = ("brain", "tumour")
_MARGIN = 5  # voxels that a window of 11 reaches beyond its middle

Row = dict[str, Any]  # case, target, inputs, method, then "psnr brain" and the like
Group = tuple[str, Sequence[Row]]  # title, rows


@dataclass(frozen=True)
class Scaled:
    """A case whose volumes have 1 at their 99.5th percentile."""

    id: str
    images: Mapping[str, Float[np.ndarray, "i j k"]]
    regions: Mapping[str, Bool[np.ndarray, "i j k"]]

    @classmethod
    def load(cls, subject: Subject, names: Sequence[str]) -> "Scaled":
        """Raises CohortError where a modality is missing."""
        if lacking := [name for name in names if name not in subject.images]:
            raise CohortError(f"{subject.id} has no {', '.join(lacking)}; every case needs all")
        raw = {name: Volume.load(subject.images[name]).data.numpy() for name in names}
        images = {name: x / np.percentile(x[x > 0], PERCENTILE) for name, x in raw.items()}
        regions = {"brain": np.stack([x > 0 for x in raw.values()]).any(0)}
        if "seg" in subject.images:
            regions["tumour"] = Volume.load(subject.images["seg"]).data.numpy() > 0
        return cls(subject.id, images, regions)


class Quadratic:
    """Regressions of every target on every subset: each is a system of some rows and columns of
    one matrix, the products of all terms over the training cases."""

    def __init__(self, cases: Iterable[Scaled], names: Sequence[str]) -> None:
        self.terms = [(), *((n,) for n in names), *combinations_with_replacement(names, 2)]
        columns = (self._columns(case, self.terms) for case in cases)
        self.products = sum(x.T @ x for x in columns)

    def __call__(self, case: Scaled, target: str, inputs: Sequence[str]) -> np.ndarray:
        """The target of a case; 0 outside the brain."""
        used = [i for i, term in enumerate(self.terms) if set(term) <= set(inputs)]
        wanted = self.products[used, self.terms.index((target,))]
        weights = np.linalg.solve(self.products[np.ix_(used, used)], wanted)
        volume = np.zeros(case.regions["brain"].shape)
        volume[case.regions["brain"]] = self._columns(case, [self.terms[i] for i in used]) @ weights
        return volume

    @staticmethod
    def _columns(case: Scaled, terms: Sequence[Sequence[str]]) -> Float[np.ndarray, "voxels terms"]:
        inside = {name: x[case.regions["brain"]].astype(float) for name, x in case.images.items()}
        one = np.ones(int(case.regions["brain"].sum()))
        return np.stack([np.prod([one, *(inside[n] for n in term)], axis=0) for term in terms], 1)


def floors(train: Sequence[Scaled], test: Sequence[Scaled], targets: Sequence[str]) -> list[Row]:
    """Both floors of every test case, target and subset of the other modalities."""
    names = list(train[0].images)
    quadratic, rows = Quadratic(train, names), []
    for case in test:
        for target in targets:
            for inputs in subsets([name for name in names if name != target]):
                mean = np.mean([case.images[name] for name in inputs], axis=0)
                made = {"mean": mean, "quadratic": quadratic(case, target, inputs)}
                rows += [scored(case, target, inputs, m, made[m]) for m in FLOORS]
    return rows


def guesses(train: Sequence[Scaled], test: Sequence[Scaled], targets: Sequence[str]) -> list[Row]:
    """The same of `Guess`, on volumes clipped at 1 as a model's are."""
    names, rows = list(train[0].images), []
    images = complete_2mm().images
    assert images is not None
    assert images.regression is not None
    guess = Guess(images.regression, targets, names)
    guess.fit([(case.id, _tensors(case)) for case in train])
    for case in test:
        known = _tensors(case)
        for target in targets:
            for inputs in subsets([name for name in names if name != target]):
                shown = {n: x if n in inputs else x * torch.nan for n, x in known.items()}
                made = guess(shown, target)[0].numpy()
                rows.append(scored(case, target, inputs, GUESS, made))
    return rows


def _tensors(case: Scaled) -> dict[str, torch.Tensor]:
    return {n: torch.from_numpy(x)[None].float().clamp(0, 1) for n, x in case.images.items()}


def scored(case: Scaled, target: str, inputs: Sequence[str], method: str, made: np.ndarray) -> Row:
    """PSNR and SSIM of a volume in each region; outside the brain it is taken to be 0, as it is of
    the floors. Windows of SSIM look beyond a region, its mean does not."""
    truth = case.images[target]
    made = np.where(case.regions["brain"], made, 0.0)
    similarity = ssim_map(np.pad(made, _MARGIN), np.pad(truth.astype(float), _MARGIN))
    row = {"case": case.id, "target": target, "inputs": list(inputs), "method": method}
    for name, region in case.regions.items():
        if region.any():
            row[f"psnr {name}"] = psnr(made, truth, region)
            row[f"ssim {name}"] = float(similarity[region].mean())
    return row


def psnr(made: np.ndarray, truth: np.ndarray, region: np.ndarray) -> float:
    """In dB, for a peak of 1."""
    error = np.square(made[region].astype(float) - truth[region]).mean()
    return float(-10 * np.log10(max(error, 1e-12)))


def subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """All but the empty one, the largest first."""
    return [c for size in range(len(names), 0, -1) for c in combinations(names, size)]


def fold(cases: Cohort, number: int, folds: int) -> tuple[Cohort, Cohort]:
    """Training and held-out cases; the i-th in order of ids is held out in fold i mod folds."""
    ordered = sorted(cases, key=lambda case: case.id)
    held = [case for i, case in enumerate(ordered) if i % folds == number]
    rest = [case for i, case in enumerate(ordered) if i % folds != number]
    return Cohort(rest, cases.source), Cohort(held, cases.source)


def phantoms(folder: Path, count: int) -> Cohort:
    """Small heads with lesions in all four contrasts, for --quick."""
    shape = (32, 40, 32)
    return Cohort.from_csv(write_phantoms(folder, count, shape=shape, modalities=(*IMAGES, "seg")))


def interval(values: Sequence[float], persons: Sequence[str], digits: int = 2) -> str:
    """A mean over cases with its 95 % bootstrap interval, signed."""
    array = np.array(values)
    mean, low, high = bootstrap(lambda i: float(array[i].mean()), persons)
    return f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def table(title: str, groups: Sequence[Group], methods: Sequence[str]) -> None:
    """PSNR and SSIM of every method in every region, one row per group; the gain is the last
    method's over the one before."""
    gain = f"{methods[-1]} - {methods[-2]}"
    each = [*methods, f"{gain} [95 %]"]
    header(title, "region", *(f"{score} {m}" for score in ("PSNR", "SSIM") for m in each))
    for name, rows in groups:
        for region in REGIONS:
            cells = [
                cell
                for kind, digits in (("psnr", 2), ("ssim", 3))
                for cell in _cells(rows, f"{kind} {region}", methods, digits)
            ]
            print(f"| {name} | {region} | {' | '.join(cells)} |", flush=True)


def header(*cells: str) -> None:
    """The first lines of a table."""
    print(f"\n| {' | '.join(cells)} |\n{'|---' * len(cells)}|")


def paired(rows: Sequence[Row], score: str, methods: Sequence[str]) -> dict[tuple[str, ...], float]:
    """The gain of the last method over the one before by (case, target, *inputs)."""
    by = _by_method(rows, score)
    last, before = (by.get(method, {}) for method in (methods[-1], methods[-2]))
    return {key: value - before[key] for key, value in last.items()}


def least(rows: Sequence[Row], methods: Sequence[str]) -> None:
    """How many pairs of target and inputs the last method makes better than the one before, and
    where it gains least."""
    gains: dict[str, dict[str, float]] = {}
    for (case, target, *inputs), gain in paired(rows, "psnr brain", methods).items():
        gains.setdefault(f"{target} from {', '.join(inputs)}", {})[case] = gain
    means = {name: float(np.mean(list(each.values()))) for name, each in gains.items()}
    name = min(means, key=means.__getitem__)
    told = interval(list(gains[name].values()), list(gains[name]))
    print(
        f"\n{sum(mean > 0 for mean in means.values())} of {len(means)} pairs of target and inputs "
        f"are above their {methods[-2]} floor (mean PSNR in the brain); the least gain is "
        f"{name}: {told} dB"
    )


def _cells(rows: Sequence[Row], score: str, methods: Sequence[str], digits: int) -> list[str]:
    """The mean of each method and the gain, over what the last method has made."""
    by, gains = _by_method(rows, score), paired(rows, score, methods)
    if not gains:
        return ["n/a"] * (len(methods) + 1)
    means = [f"{np.mean([by[method][key] for key in gains]):.{digits}f}" for method in methods]
    return [*means, interval(list(gains.values()), [key[0] for key in gains], digits)]


def _by_method(rows: Sequence[Row], score: str) -> dict[str, dict[tuple[str, ...], float]]:
    by: dict[str, dict[tuple[str, ...], float]] = {}
    for row in rows:
        if score in row:
            key = (row["case"], row["target"], *row["inputs"])
            by.setdefault(row["method"], {})[key] = row[score]
    return by


def by_target(rows: Sequence[Row]) -> list[Group]:
    """Rows that have all other modalities, by target, and all of these together."""
    most = max(len(row["inputs"]) for row in rows)
    full = [row for row in rows if len(row["inputs"]) == most]
    groups = _grouped(full, lambda row: row["target"])
    return [*groups, ("all", full)] if len(groups) > 1 else groups


def by_count(rows: Sequence[Row]) -> list[Group]:
    """Rows by how many modalities were there, all targets and subsets together."""
    return _grouped(rows, lambda row: str(len(row["inputs"])))


def _grouped(rows: Sequence[Row], key: Callable[[Row], str]) -> list[Group]:
    names = dict.fromkeys(map(key, rows))
    return [(name, [row for row in rows if key(row) == name]) for name in names]


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    if not (asked.quick or asked.data):
        parser.error("give DATA or --quick")
    with tempfile.TemporaryDirectory() as name:
        cohort = phantoms(Path(name), 4) if asked.quick else Cohort.open(asked.data)
        rows = []
        for number in range(asked.folds):
            train, held = fold(cohort, number, asked.folds)
            sides = [[Scaled.load(case, IMAGES) for case in side] for side in (train, held)]
            rows += floors(*sides, IMAGES) + guesses(*sides, IMAGES)
    print(f"{len(cohort)} cases, {asked.folds} folds")
    methods = (*FLOORS, GUESS)
    table("3 -> 1", by_target(rows), methods)
    table("inputs", by_count(rows), methods)
    least(rows, methods)


if __name__ == "__main__":
    main()
