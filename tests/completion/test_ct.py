"""MR to CT: another modality, in Hounsfield units, by the same command."""

from pathlib import Path

import numpy as np
import torch

from brainweave.completion import Completion, complete
from brainweave.data.cohort import Cohort
from brainweave.data.intensity import Fixed
from brainweave.data.phantom import write_phantoms
from brainweave.data.volume import Volume
from brainweave.recipe import Recipe
from brainweave.recipes.complete import complete_2mm, complete_tiny
from brainweave.training.run import train

AIR, WATER = -1000.0, 0.0
HOUNSFIELD = Fixed(source_low=AIR, source_high=2000, low=0, high=1)


def cohort(folder: Path) -> Cohort:
    """Phantoms with a CT: brain at 0 to 100, air at -1000."""
    table = write_phantoms(folder, 3, shape=(32, 40, 32), spacing=5.0)
    rows = table.read_text().splitlines()
    rows[0] += ",ct"
    for index, subject in enumerate(Cohort.open(table), start=1):
        head = Volume.load(subject.images["t1w"])
        path = folder / f"{subject.id}_ct.nii.gz"
        inside = head.data > 0
        units = torch.where(inside, 100 * head.data / head.data.max() + WATER, AIR)
        Volume(units, head.affine).save(path, dtype="float32")
        rows[index] += f",{path.name}"
    table.write_text("\n".join(rows) + "\n")
    return Cohort.open(table)


def recipe() -> Recipe:
    base = complete_tiny(steps=8)
    whole = complete_2mm(("t1w", "ct"))
    preprocess = base.preprocess.replace(intensities={"ct": HOUNSFIELD})
    return base.replace(conditions=whole.conditions, preprocess=preprocess)


def test_ct_is_made_from_mr_in_hounsfield_units(tmp_path: Path) -> None:
    subjects = cohort(tmp_path / "heads")
    train(recipe(), subjects, tmp_path / "run", show=False)
    case = tmp_path / "cases" / "P"
    case.mkdir(parents=True)
    source = subjects[0].images["t1w"]
    table = tmp_path / "cases.csv"
    table.write_text(f"id,t1w\nP,{source}\n")
    (path,) = complete(Completion(model=tmp_path / "run", input=table, out=tmp_path / "out"))
    made, seen = Volume.load(path), Volume.load(source)
    assert np.array_equal(made.affine, seen.affine)
    assert bool((made.data[seen.data <= 0] == AIR).all())
    brain = made.data[seen.data > 0]
    assert float(brain.min()) > AIR
    assert abs(float(brain.mean()) - 50) < 100  # units, of 3,000 that there are


def test_mr_is_made_from_ct_whose_brain_is_above_air(tmp_path: Path) -> None:
    subjects = cohort(tmp_path / "heads")
    train(recipe(), subjects, tmp_path / "run", show=False)
    table = tmp_path / "cases.csv"
    table.write_text(f"id,ct\nP,{subjects[0].images['ct']}\n")
    (path,) = complete(Completion(model=tmp_path / "run", input=table, out=tmp_path / "out"))
    made, seen = Volume.load(path), Volume.load(subjects[0].images["ct"])
    assert bool((made.data[seen.data <= AIR] == 0).all())
    assert 0 < float(made.data[seen.data > AIR].mean()) <= 1
