"""Benches of phantoms, and volumes changed on purpose."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainweave.data.cohort import Cohort, Subject
from brainweave.data.volume import Volume
from brainweave.evaluation.bench import Bench, Chapter
from brainweave.evaluation.scans import Scans
from brainweave.evaluation.settings import Settings
from brainweave.progress import Reporter

Array = np.ndarray
Change = Callable[[Array], Array]
QUIET = Reporter(quiet=True)


def remade(bench: Bench, kept: Path | None = None, **sides: Sequence[Subject] | None) -> Bench:
    """The bench with other subjects on some sides, None for no such side, described anew."""
    scans: dict[str, Scans] = dict(bench.sides)
    for name, subjects in sides.items():
        scans.pop(name, None)
        if subjects is not None:
            scans[name] = replace(bench.real, name=name, subjects=tuple(subjects))
    return Bench.of(scans, bench.settings, kept, QUIET)


def settled(bench: Bench, **changes: Any) -> Bench:
    """The bench with other settings and the same features."""
    settings: Settings = replace(bench.settings, **changes)
    return replace(bench, settings=settings)


def known(subjects: Sequence[Subject], **covariates: Any) -> list[Subject]:
    """The subjects with other covariates, one value for each subject; None is not known."""
    rows = []
    for index, subject in enumerate(subjects):
        new = {**subject.covariates, **{name: values[index] for name, values in covariates.items()}}
        rows.append(replace(subject, covariates={k: v for k, v in new.items() if v is not None}))
    return rows


def changed(subjects: Sequence[Subject], folder: Path, change: Change) -> list[Subject]:
    """The subjects with every volume changed, written as their table, cohort.csv, says."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for subject in subjects:
        volume, path = Volume.load(subject.images["t1w"]), folder / f"{subject.id}_T1w.nii.gz"
        data = torch.from_numpy(change(volume.data.numpy()).astype(np.float32))
        Volume(data, volume.affine).save(path, dtype="float32")
        rows.append(replace(subject, images={**subject.images, "t1w": path}))
    Cohort(rows).to_csv(folder / "cohort.csv")
    return rows


def snow(seed: int = 0) -> Change:
    """No brain at all: noise everywhere."""
    random = np.random.default_rng(seed)
    return lambda data: 1000 * random.random(data.shape)


def labelled(subjects: Sequence[Subject], folder: Path) -> list[Subject]:
    """The subjects with label maps in MUSE's numbers: CSF, grey and white matter by intensity."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for subject in subjects:
        volume, path = Volume.load(subject.images["t1w"]), folder / f"{subject.id}_labels.nii.gz"
        data = volume.data
        labels = torch.zeros_like(data)
        labels[(data > 20) & (data <= 500)] = 1
        labels[(data > 500) & (data <= 850)] = 100
        labels[data > 850] = 81
        labels[: len(labels) // 2][labels[: len(labels) // 2] > 1] += 1  # the left's numbers
        Volume(labels, volume.affine).save(path)
        rows.append(replace(subject, images={**subject.images, "labels": path}))
    Cohort(rows).to_csv(folder / "cohort.csv")
    return rows


def told(chapter: Chapter, topic: str = "") -> str:
    """What a chapter says, one finding a line."""
    found = [f for f in chapter.findings if topic in ("", f.topic)]
    return "\n".join(f"{finding.grade}: {finding.text}" for finding in found)
