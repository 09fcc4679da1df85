"""Cases with modalities taken away, to test completion: the BraSyn challenge's draw and others.

A new draw is one function of a cohort and a seed in `DRAWS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from brainweave.data.brats import IMAGES, from_brats, parse
from brainweave.data.cohort import Cohort, Subject
from brainweave.data.fill import Copy, Planned, fill
from brainweave.data.seeds import generator
from brainweave.data.table import read_table, write_table
from brainweave.errors import CohortError, RecipeError
from brainweave.part import hint

LIST = "dropped.csv"
OFFICIAL = ("t1c", "t1w", "flair", "t2w")  # t1c, t1n, t2f, t2w: the order that is drawn from

Dropped = Mapping[str, tuple[str, ...]]


def drop(
    data: Path, out: Path, *, seed: int = 123456, subsets: str = "official", with_seg: bool = False
) -> Dropped:
    """Copies every case of a BraTS folder to `out` but for the modalities drawn, its files' names
    kept; `dropped.csv` lists what is missing. Returns the canonical modalities dropped by case.

    subsets: one of `DRAWS`. with_seg: label maps are copied too. The same call goes on with a copy
    that was stopped. Raises CohortError for a case that lacks what a draw needs, RecipeError for
    an unknown draw or seed, OutputError as `fill` does.
    """
    if subsets not in DRAWS:
        raise RecipeError(f"--subsets {subsets} is unknown{hint(subsets, DRAWS)}")
    if not 0 <= seed < 2**32:
        raise RecipeError(f"--seed {seed}: a whole number from 0 to 4294967295 is needed")
    cohort = from_brats(data)
    dropped = DRAWS[subsets](cohort, seed)
    files: dict[Path, Planned] = {Path(LIST): _List(tuple(_row(s, dropped[s.id]) for s in cohort))}
    for subject in cohort:
        kept = [*IMAGES, "seg"] if with_seg else IMAGES
        for modality, path in subject.images.items():
            if modality in kept and modality not in dropped[subject.id]:
                files[Path(subject.id, path.name)] = Copy(path)
    fill(out, files, data=data)
    return dropped


def official(cohort: Cohort, seed: int) -> Dropped:
    """One modality per case as BraSyn draws it: numpy's legacy stream, one `randint(0, 4)` for
    each case in the order of names.

    The challenge's script takes the cases as the disk lists them; only sorted is it repeatable.
    Raises CohortError for a case without all four.
    """
    stream = np.random.RandomState(seed)
    dropped = {}
    for subject in sorted(cohort, key=lambda s: s.id):
        if lacking := [name for name in IMAGES if name not in subject.images]:
            raise CohortError(
                f"{cohort.source}: {subject.id} has no {', '.join(lacking)}; the official draw "
                "needs all four of every case, --subsets any takes what there is"
            )
        dropped[subject.id] = (OFFICIAL[stream.randint(0, 4)],)
    return dropped


def any_subset(cohort: Cohort, seed: int) -> Dropped:
    """Any modalities but all of a case and at least one, every subset as likely; by its name, so
    that other cases change nothing. Raises CohortError for a case with fewer than two."""
    dropped = {}
    for subject in cohort:
        images = [name for name in IMAGES if name in subject.images]
        if len(images) < 2:
            have = ", ".join(images) or "none"
            raise CohortError(
                f"{cohort.source}: {subject.id} has {have} of {', '.join(IMAGES)}; two are needed "
                "so that one can be dropped"
            )
        stream = generator("drop", seed, subject.id)
        chosen = int(torch.randint(1, 2 ** len(images) - 1, (), generator=stream))
        dropped[subject.id] = tuple(name for i, name in enumerate(images) if chosen >> i & 1)
    return dropped


DRAWS: dict[str, Callable[[Cohort, int], Dropped]] = {"official": official, "any": any_subset}


@dataclass(frozen=True)
class _List(Planned):
    """dropped.csv: a row per case."""

    rows: tuple[tuple[str, str], ...]

    def write(self, path: Path) -> None:
        write_table(path, ("case", "dropped"), self.rows)

    def same(self, path: Path) -> bool:
        return read_table(path).rows == self.rows


def _row(subject: Subject, dropped: tuple[str, ...]) -> tuple[str, str]:
    """A case and what it lacks, in the words of its files' names."""
    words = []
    for modality in dropped:
        file = parse(subject.images[modality])
        assert file is not None, "the cohort is one of BraTS names"
        words.append(file.naming.suffixes[modality])
    return subject.id, " ".join(words)
