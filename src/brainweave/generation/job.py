"""Generation as a job: items in, NIfTI and provenance out, resumable and in shards."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from brainweave.conditions.hiding import Listen
from brainweave.data.files import sweep, write_json
from brainweave.data.montage import montage
from brainweave.data.table import write_table, written
from brainweave.data.volume import Volume
from brainweave.errors import OutputError, RecipeError
from brainweave.generation.plan import Item, describe
from brainweave.generator import Generator
from brainweave.part import to_dict
from brainweave.provenance import DESCRIPTION, facts, provenance, sidecar
from brainweave.recipe import Sampling

_log = logging.getLogger(__name__)
_SHOWN = 24  # volumes on the montage
_SUFFIXES = {"t1w": "T1w", "t2w": "T2w", "flair": "FLAIR", "t1c": "T1c"}

DType = Literal["int16", "float32"]
DTYPES: tuple[str, ...] = get_args(DType)
Progress = Callable[[int, int], None]  # (sampler steps done, sampler steps in all)


@dataclass(frozen=True)
class Options:
    """How to run a job. `batch` and `shard` change no volume, the others do."""

    sampling: Sampling
    listen: Listen = "both"
    batch: int = 1
    dtype: DType = "int16"
    shard: tuple[int, int] = (1, 1)


class Job:
    """Makes the volumes of a plan in a folder, those that are not there yet.

    Each volume is `<name>_<Suffix>.nii.gz` with a JSON sidecar of the same name. Raises RecipeError
    for a model without a template or an impossible option, OutputError where a file in the folder
    is not this job's.
    """

    def __init__(
        self,
        generator: Generator,
        weights: str,
        items: Sequence[Item],
        folder: Path,
        options: Options,
    ) -> None:
        recipe = generator.recipe
        if recipe.template is None:
            raise RecipeError(f"model {recipe.name} has no template grid; train or import it first")
        if options.listen not in ("both", "none") and not recipe.network.attends:
            raise RecipeError(
                f"--listen {options.listen}: {recipe.name} has no cross-attention; use both or none"
            )
        if options.listen in ("film", "attention") and not recipe.covariates:
            raise RecipeError(
                f"--listen {options.listen}: {recipe.name} has no conditions; use both or none"
            )
        index, of = options.shard
        if not 1 <= index <= of:
            raise RecipeError(f"--shard {index}/{of}: i/n with 1 <= i <= n is needed")
        self.generator, self.recipe, self.weights = generator, recipe, weights
        self.folder, self.options = folder, options
        own = {name: recipe.preprocess.of(name) for name in recipe.targets}
        self.places = {name: (each, each.place(recipe.template)) for name, each in own.items()}
        self.plan = list(items)
        self.items = self.plan[index - 1 :: of]

    def run(self, progress: Progress | None = None) -> list[Path]:
        """Makes what is missing, then participants.tsv and montage.png; returns all its volumes."""
        self._require_own_folder()
        missing = [item for item in self.items if not self._done(item)]
        if len(missing) < len(self.items):
            there = len(self.items) - len(missing)
            _log.info("%d of %d volumes are there already", there, len(self.items))
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.options.shard[1] == 1:  # else others may be writing
            sweep(self.folder)
        size = self.options.batch
        batches = [missing[at : at + size] for at in range(0, len(missing), size)]
        step = _counter(progress, len(batches) * self.options.sampling.steps)
        for batch in batches:
            self._make(batch, step)
        self._summarise()
        return [self.path(item) for item in self.items]

    def path(self, item: Item) -> Path:
        """Where an item's volume lies."""
        return self.folder / f"{item.name}{_ending(self._target(item))}"

    def _target(self, item: Item) -> str:
        """The modality that it is to be."""
        values = self._values([item])
        return self.recipe.asked(values)[0] if values else self.recipe.targets[0]

    def _stem(self, path: Path) -> str:
        """A volume's name without what the names of all end in."""
        targets = self.recipe.targets
        return path.name.removesuffix(_ending(targets[0]) if len(targets) == 1 else ".nii.gz")

    def _require_own_folder(self) -> None:
        """Raises OutputError where the summary of something else would be overwritten."""
        table, picture = self.folder / "participants.tsv", self.folder / "montage.png"
        if self.folder.exists() and not self.folder.is_dir():
            raise OutputError(f"{self.folder} is a file; --out needs a folder")
        ours = table.exists() and "synthetic" in _header(table)
        for path in (table, picture):
            if path.exists() and not ours:
                raise OutputError(f"{path} is not brainweave's; choose another --out")

    def _done(self, item: Item) -> bool:
        """Whether the volume is there and is this job's."""
        path, known = self.path(item), facts(self.path(item))
        if known.get("identity") == self._provenance(item)["identity"]:
            return path.exists()
        if known:
            raise OutputError(
                f"{path} was made by another model or with other options; choose another --out"
            )
        for foreign in (path, sidecar(path)):
            if foreign.exists():
                raise OutputError(f"{foreign} is not brainweave's; choose another --out")
        return False

    def _values(self, items: Sequence[Item]) -> dict[str, Tensor]:
        """What the generator is given of each condition."""
        return {
            c.name: torch.tensor([item.values.get(c.name, c.absent) for item in items])
            for c in self.recipe.covariates
        }

    def _make(self, batch: Sequence[Item], step: Callable[[], None]) -> None:
        volumes = self.generator.sample(
            self._values(batch),
            [item.seed for item in batch],
            self.options.sampling,
            listen=self.options.listen,
            progress=step,
        )
        for item, volume in zip(batch, volumes.cpu(), strict=True):
            preprocess, placement = self.places[self._target(item)]
            restored = preprocess.restore(volume, placement)
            # the sidecar first: a volume without one would not be known as ours
            write_json(sidecar(self.path(item)), self._provenance(item))
            restored.save(self.path(item), dtype=self.options.dtype, description=DESCRIPTION)

    def _provenance(self, item: Item) -> dict[str, Any]:
        decided = {
            "seed": item.seed,
            "conditions": describe(self.recipe, item),
            "sampling": to_dict(self.options.sampling),
            "listen": self.options.listen,
            "dtype": self.options.dtype,
        }
        return provenance(self.recipe, self.weights, decided)

    def _summarise(self) -> None:
        """participants.tsv over all of ours in the folder by now, montage.png over the plan's."""
        listed: dict[Path, dict[str, Any]] | None = None
        while listed != (there := self._there()):  # another shard may end while this one writes
            self._tabulate(there)
            listed = there
        shown = [path for item in self.plan if there.get(path := self.path(item))][:_SHOWN]
        if shown:
            montage(
                [Volume.load(path) for path in shown],
                self.folder / "montage.png",
                labels=[self._stem(path).replace("_", " ") for path in shown],
                title=f"SYNTHETIC  {self.recipe.name}",
                window=(0.0, 1.0),
            )

    def _there(self) -> dict[Path, dict[str, Any]]:
        """What the sidecar of every volume in the folder says."""
        return {path: facts(path) for path in sorted(self.folder.glob("*.nii.gz"))}

    def _tabulate(self, there: Mapping[Path, Mapping[str, Any]]) -> None:
        """participants.tsv of those that are ours."""
        conditions = [condition.name for condition in self.recipe.covariates]
        rows = [
            [self._stem(path), path.name, str(known["seed"]), "1"]
            + [written(known["conditions"].get(name)) for name in conditions]
            for path, known in there.items()
            if known
        ]
        columns = ["participant_id", "file", "seed", "synthetic", *conditions]
        write_table(self.folder / "participants.tsv", columns, rows)


def _ending(target: str) -> str:
    """What the names of volumes of a modality end in."""
    return f"_{_SUFFIXES.get(target, target)}.nii.gz"


def _header(table: Path) -> list[str]:
    """The names of a table's columns."""
    return table.read_text(errors="replace").partition("\n")[0].split("\t")


def _counter(progress: Progress | None, total: int) -> Callable[[], None]:
    """Called once per sampler step of a batch; tells how far the whole job is."""
    taken = 0

    def step() -> None:
        nonlocal taken
        taken += 1
        if progress is not None:
            progress(taken, total)

    return step
