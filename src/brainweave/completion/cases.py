"""Cases: who lies at a path, what each has of a model's images and what it lacks."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brainweave.completion.naming import Layout, home, name
from brainweave.data.brats import parse
from brainweave.data.cohort import Cohort, Subject, canonical_modality
from brainweave.data.folder import images_below
from brainweave.errors import CohortError, OutputError, RecipeError
from brainweave.part import hint
from brainweave.recipe import Recipe

_TABLES = ("cohort.csv", "participants.csv")


@dataclass(frozen=True)
class Case:
    """One scan of one person. images: those that it has and the model hears; missing: the
    modalities to make; layout: how its files are named."""

    subject: Subject
    images: Mapping[str, Path]
    missing: tuple[str, ...]
    layout: Layout

    @property
    def id(self) -> str:
        """Its name, in messages and seeds."""
        return self.subject.id

    @property
    def home(self) -> Path:
        """The folder of what is made, relative to the output's."""
        return home(self.layout, self.subject)

    def file(self, modality: str, part: str = "") -> Path:
        """A volume that is made, relative to the output's folder; part: see `naming.name`."""
        return self.home / name(self.layout, self.subject, modality, part)

    @property
    def source(self) -> Path:
        """The folder that all of its images lie below."""
        folders = [os.path.realpath(path.parent) for path in self.subject.images.values()]
        return Path(os.path.commonpath(folders))


def find(path: Path) -> tuple[Cohort, Layout]:
    """The cases at a path and how their files are named.

    A folder of BraTS names at any depth, one case's included; a BIDS dataset or a subject's folder
    of one; a table with a column per modality. `cohort.csv:split=val` keeps the rows with a value.
    Raises CohortError for anything else.
    """
    whole, colon, words = str(path).rpartition(":")
    root = Path(whole) if colon and "=" in words and not path.exists() else path
    layout = _layout(root)
    if layout == "bids" and root.name.startswith("sub-"):
        return Cohort.from_bids(root.parent).select(subject=root.name), layout
    if layout == "brats" and root == path:
        return Cohort.from_brats(path), layout
    return Cohort.open(path), layout


def cases(cohort: Cohort, layout: Layout, recipe: Recipe, only: Sequence[str] = ()) -> list[Case]:
    """Every case with what it has and what it lacks of the model's targets, or of those in `only`.

    Raises RecipeError for a target that the model does not make.
    """
    wanted = tuple(dict.fromkeys(map(canonical_modality, only))) or recipe.targets
    for target in wanted:
        if target not in recipe.targets:
            raise RecipeError(f"{recipe.name} makes no {target!r}{hint(target, recipe.targets)}")
    return [
        Case(
            subject,
            {kind: subject.images[kind] for kind in recipe.inputs if kind in subject.images},
            tuple(target for target in wanted if target not in subject.images),
            layout,
        )
        for subject in cohort
    ]


def require_apart(out: Path, source: Path, found: Sequence[Case]) -> None:
    """Raises OutputError where a volume would be written among the inputs."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; --out needs a folder")
    images = [path for case in found for path in case.subject.images.values()]
    inputs = {Path(os.path.realpath(path.parent)) for path in images}
    if any(case.layout == "brats" for case in found):  # found at any depth: outputs would be, too
        inputs.add(Path(os.path.realpath(source)))
    for case in found:
        place = Path(os.path.realpath(out)) / case.home
        if inside := inputs & {place, *place.parents}:
            raise OutputError(
                f"--out {out} would put {case.id} into {min(inside)}, a folder of inputs; "
                "choose another"
            )


def _layout(root: Path) -> Layout:
    """How the files at a path are named, by what lies there."""
    if root.is_file() and root.name == "participants.tsv":
        return _layout(root.parent)
    if not root.is_dir() or any((root / table).is_file() for table in _TABLES):
        return "table"
    if (root / "participants.tsv").is_file() or any(p.is_dir() for p in root.glob("sub-*")):
        return "bids"
    if root.name.startswith("sub-") and any(root.glob("**/anat/sub-*")):
        return "bids"
    if any(map(parse, images_below(root))):
        return "brats"
    raise CohortError(
        f"{root}: no case found; it takes BraTS names such as CASE-t1n.nii.gz or CASE_t1.nii.gz, "
        "BIDS, or a table with a column per modality, which `brainweave catalog` writes"
    )
