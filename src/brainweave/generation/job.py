"""Generation as a job: items in, NIfTI and provenance out, resumable and in shards."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from brainweave.data.files import sweep, write_json
from brainweave.data.montage import montage
from brainweave.data.table import write_table, written
from brainweave.data.volume import Volume
from brainweave.errors import OutputError, RecipeError
from brainweave.generation.plan import Item, describe
from brainweave.generation.provenance import DESCRIPTION, provenance
from brainweave.generator import Generator, Listen
from brainweave.processes.samplers import calls
from brainweave.recipe import Sampling

_log = logging.getLogger(__name__)
_SHOWN = 24  # volumes on the montage

DType = Literal["int16", "float32"]
DTYPES: tuple[str, ...] = get_args(DType)
Progress = Callable[[int, int], None]  # (network calls done, network calls in all)


@dataclass(frozen=True)
class Options:
    """How to run a job. Only `sampling` and `listen` decide what the volumes are."""

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
        self.generator, self.weights, self.folder, self.options = (
            generator,
            weights,
            folder,
            options,
        )
        self.placement = recipe.preprocess.place(recipe.template)
        index, of = options.shard
        if not 1 <= index <= of:
            raise RecipeError(f"--shard {index}/{of}: i/n with 1 <= i <= n is needed")
        self.items = list(items)[index - 1 :: of]

    def run(self, progress: Progress | None = None) -> list[Path]:
        """Makes what is missing, then participants.tsv and montage.png; returns all its volumes."""
        if self.folder.exists() and not self.folder.is_dir():
            raise OutputError(f"{self.folder} is a file; --out needs a folder")
        table = self.folder / "participants.tsv"
        if table.exists() and "synthetic" not in table.read_text().partition("\n")[0].split("\t"):
            raise OutputError(f"{table} is not brainweave's; choose another --out")
        sweep(self.folder)
        missing = [item for item in self.items if not self._done(item)]
        if self.items and len(missing) < len(self.items):
            _log.info(
                "%d of %d volumes are there already",
                len(self.items) - len(missing),
                len(self.items),
            )
        steps = calls(self.options.sampling.sampler, self.options.sampling.steps)
        batches = [
            missing[at : at + self.options.batch]
            for at in range(0, len(missing), self.options.batch)
        ]
        for done, batch in enumerate(batches):
            self._make(
                batch, _counter(progress, done, len(batches), self.options.sampling.steps, steps)
            )
        self._summarise()
        return [self.path(item) for item in self.items]

    def path(self, item: Item) -> Path:
        """Where an item's volume lies."""
        target = self.generator.recipe.target
        suffix = {"t1w": "T1w", "t2w": "T2w", "flair": "FLAIR", "t1c": "T1c"}.get(target, target)
        return self.folder / f"{item.name}_{suffix}.nii.gz"

    def _done(self, item: Item) -> bool:
        """Whether the volume is there and is this job's."""
        path, sidecar = self.path(item), _sidecar(self.path(item))
        if not sidecar.exists():
            if path.exists():
                raise OutputError(f"{path} exists and is not brainweave's; choose another --out")
            return False
        if json.loads(sidecar.read_text()).get("identity") != self._facts(item)["identity"]:
            raise OutputError(
                f"{path} was made by another model or with other options; choose another --out"
            )
        return path.exists()

    def _make(self, batch: Sequence[Item], progress: Callable[[], None]) -> None:
        values = {
            condition.name: torch.tensor(
                [[item.values.get(condition.name, torch.nan)] for item in batch]
            )
            for condition in self.generator.recipe.conditions
        }
        volumes = self.generator.sample(
            values,
            [item.seed for item in batch],
            self.options.sampling,
            listen=self.options.listen,
            progress=progress,
        )
        for item, volume in zip(batch, volumes.cpu(), strict=True):
            restored = self.generator.recipe.preprocess.restore(volume, self.placement)
            write_json(_sidecar(self.path(item)), self._facts(item))
            restored.save(self.path(item), dtype=self.options.dtype, description=DESCRIPTION)

    def _facts(self, item: Item) -> dict[str, Any]:
        return provenance(
            self.generator.recipe,
            self.weights,
            seed=item.seed,
            conditions=describe(self.generator.recipe, item),
            sampling=self.options.sampling,
            listen=self.options.listen,
        )

    def _summarise(self) -> None:
        """participants.tsv and montage.png over everything that is in the folder by now."""
        conditions = [condition.name for condition in self.generator.recipe.conditions]
        there = sorted(path for path in self.folder.glob("*.nii.gz") if _sidecar(path).exists())
        facts = [json.loads(_sidecar(path).read_text()) for path in there]
        rows = [
            [path.name.rsplit("_", 1)[0], path.name, str(fact["seed"]), "1"]
            + [written(fact["conditions"].get(name)) for name in conditions]
            for path, fact in zip(there, facts, strict=True)
        ]
        columns = ["participant_id", "file", "seed", "synthetic", *conditions]
        write_table(self.folder / "participants.tsv", columns, rows)
        shown = [self.path(item) for item in self.items if self.path(item).exists()][:_SHOWN]
        if shown:
            montage(
                [Volume.load(path) for path in shown],
                self.folder / "montage.png",
                labels=[path.name.rsplit("_", 1)[0].replace("_", " ") for path in shown],
                title=f"SYNTHETIC  {self.generator.recipe.name}",
                window=(0.0, 1.0),
            )


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".nii.gz") + ".json")


def _counter(
    progress: Progress | None, done: int, batches: int, steps: int, calls_each: int
) -> Callable[[], None]:
    """Called once per sampler step; tells how far the whole job is."""
    taken = 0

    def step() -> None:
        nonlocal taken
        taken += 1
        if progress is not None:
            progress(done * calls_each + taken * calls_each // steps, batches * calls_each)

    return step
