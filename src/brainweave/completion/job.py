"""Completion as a job: cases in, the volumes that they lack out, resumable case by case."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from brainweave.completion.cases import Case
from brainweave.completion.frame import Fit, frame_of
from brainweave.completion.matching import Histogram, matched
from brainweave.cost import calls_per_volume
from brainweave.data.files import atomic, sha256, sweep, write_json
from brainweave.data.fill import Copy
from brainweave.data.preprocess import Frame
from brainweave.data.seeds import derive
from brainweave.data.volume import Volume
from brainweave.device import Precision, computed
from brainweave.errors import OutputError, VolumeError
from brainweave.generator import Generator
from brainweave.part import Part, to_dict
from brainweave.provenance import DESCRIPTION, facts, provenance, sidecar
from brainweave.sampling import Sampling

_STD = "std"


class Completing(Part):
    """How cases are completed.

    samples: draws per volume; with several each is written, and their standard deviation in place
    of the volume. frame: what the network sees, see `frame_of`. precision: of its arithmetic,
    as far as the device does it (`computed`).
    with_inputs: copy what a case has beside what is made.
    """

    sampling: Sampling = Sampling()
    samples: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0)
    frame: Fit = "model"
    dtype: Literal["int16", "float32"] = "int16"
    precision: Precision = "float32"
    with_inputs: bool = False


@dataclass(frozen=True)
class Output:
    """A volume to make. draw: its number from 1 on; None for the standard deviation of all."""

    case: Case
    modality: str
    draw: int | None
    path: Path


class Job:
    """Makes what cases lack in a folder, as far as it is not there yet.

    Every volume has a JSON sidecar of the same name. likes: by modality, the histogram that its
    volumes get. Raises OutputError where a file in the folder is not this job's.
    """

    def __init__(
        self,
        generator: Generator,
        weights: str,
        cases: Sequence[Case],
        folder: Path,
        options: Completing,
        likes: Mapping[str, Histogram],
    ) -> None:
        self.generator, self.recipe, self.weights = generator, generator.recipe, weights
        self.folder, self.options, self.likes = folder, options, likes
        self.device = next(generator.parameters()).device
        self.precision = computed(options.precision, self.device)
        self.calls = calls_per_volume(self.recipe.replace(sampling=options.sampling))
        self.cases = [case for case in cases if case.missing]
        images = (path for case in self.cases for path in case.images.values())
        self.hashes = {path: sha256(path) for path in images}
        self.left = {case.id: self._left(case) for case in self.cases}

    @property
    def steps(self) -> int:
        """Sampler steps that are left."""
        each = self.options.sampling.steps * (2 if self.options.sampling.mirror else 1)
        return each * sum(o.draw is not None for left in self.left.values() for o in left)

    def outputs(self, case: Case) -> list[Output]:
        """All volumes of a case, the draws of each before their standard deviation."""
        return [
            Output(case, modality, draw, self._path(case, modality, draw))
            for modality in case.missing
            for draw in self._draws()
        ]

    def make(self, case: Case, step: Callable[[], None] | None = None) -> None:
        """Writes what is left of a case. step: called after every sampler step."""
        sweep(self.folder / case.home)
        if self.options.with_inputs:
            self._copy(case)
        left = self.left[case.id]
        if not left:
            return
        volumes = {name: Volume.load(path) for name, path in case.images.items()}
        seen = self._seen(volumes)
        if seen:
            frame = frame_of(seen, self.recipe.preprocess, self.recipe.factors, self.options.frame)
        else:  # a label map alone does not show the head
            frame = self.recipe.preprocess.middle(next(iter(volumes.values())).grid)
        values = self._values(volumes, frame)
        for output in left:
            if output.draw is None:
                volume = self._deviation(output)
            else:
                x = self._drawn(output, values, step)
                volume = self._restored(x, output, volumes, frame)
            # the sidecar first: a volume without one would not be known as ours
            write_json(sidecar(output.path), self._provenance(output))
            volume.save(output.path, dtype=self.options.dtype, description=DESCRIPTION)

    def _draws(self) -> list[int | None]:
        several = self.options.samples > 1
        return [*range(1, self.options.samples + 1), *([None] if several else [])]

    def _path(self, case: Case, modality: str, draw: int | None) -> Path:
        width = max(2, len(str(self.options.samples)))
        part = "" if self.options.samples == 1 else f"sample-{draw:0{width}d}" if draw else _STD
        return self.folder / case.file(modality, part)

    def _left(self, case: Case) -> list[Output]:
        """The volumes that are not there; what is there must be this job's."""
        if self.options.with_inputs:
            for path in case.images.values():
                copy = self.folder / case.home / path.name
                if copy.exists() and not Copy(path).same(copy):
                    raise OutputError(f"{copy} is not {path}; choose another --out")
        return [output for output in self.outputs(case) if not self._done(output)]

    def _done(self, output: Output) -> bool:
        path, known = output.path, facts(output.path)
        if known.get("identity") == self._provenance(output)["identity"]:
            return path.exists()
        if known:
            raise OutputError(
                f"{path} was made by another model, with other options or from other inputs; "
                "choose another --out"
            )
        for foreign in (path, sidecar(path)):
            if foreign.exists():
                raise OutputError(f"{foreign} is not brainweave's; choose another --out")
        return False

    def _copy(self, case: Case) -> None:
        for path in case.images.values():
            copy = self.folder / case.home / path.name
            if not copy.exists():
                with atomic(copy) as temporary:
                    Copy(path).write(temporary)

    def _values(self, volumes: Mapping[str, Volume], frame: Frame) -> dict[str, Tensor]:
        """What the network is given of the images."""
        preprocess, labels = self.recipe.preprocess, self.recipe.preprocess.of_labels()
        values = {}
        for name, volume in volumes.items():
            own = labels if name in self.recipe.labels else preprocess.of(name)
            values[name] = own(volume, frame)[0][None]
        return values

    def _drawn(
        self, output: Output, images: Mapping[str, Tensor], step: Callable[[], None] | None
    ) -> Float[Tensor, "1 i j k"]:
        covariates = self.recipe.read(output.case.subject, output.modality)
        values = {**images, **{name: value[None] for name, value in covariates.items()}}
        half = self.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            seeds = [self._seed(output)]
            x = self.generator.sample(values, seeds, self.options.sampling, progress=step)
        return x[0].float().cpu()

    def _seed(self, output: Output) -> int:
        """A volume's own, whatever else is made."""
        assert output.draw is not None
        return derive("complete", self.options.seed, output.case.id, output.modality, output.draw)

    def _restored(
        self,
        x: Float[Tensor, "1 i j k"],
        output: Output,
        volumes: Mapping[str, Volume],
        frame: Frame,
    ) -> Volume:
        """On the case's grid from 0 to 1 or in raw values that are given, or with the wanted
        histogram."""
        preprocess = self.recipe.preprocess.of(output.modality)
        placement = preprocess.place(next(iter(volumes.values())).grid, frame)
        volume = preprocess.restore(x, placement, frame)
        like = self.likes.get(output.modality)
        if not (like or self.options.sampling.masked):
            return volume
        outside = preprocess.intensity.background
        seen = [head.data > 0 for head in self._seen(volumes)] or [volume.data > outside]
        inside = torch.stack(seen).any(0)
        data = torch.where(inside, volume.data, outside)
        try:
            return Volume(data if like is None else matched(data, like), volume.affine)
        except VolumeError as error:
            raise VolumeError(f"{output.case.id}: the {output.modality} made: {error}") from None

    def _seen(self, volumes: Mapping[str, Volume]) -> list[Volume]:
        """Where each image shows something, label maps excepted."""
        heads = []
        for name, volume in volumes.items():
            if name not in self.recipe.labels:
                outside = self.recipe.preprocess.of(name).intensity.background
                heads.append(Volume((volume.data > outside).float(), volume.affine))
        return heads

    def _deviation(self, output: Output) -> Volume:
        """Voxel by voxel over the draws as they are written, by Welford's sums."""
        count, mean, squares = 0, torch.zeros(()), torch.zeros(())
        for draw in self._draws()[:-1]:
            volume = Volume.load(self._path(output.case, output.modality, draw))
            count += 1
            off = volume.data.double() - mean
            mean = mean + off / count
            squares = squares + off * (volume.data - mean)
        return Volume((squares / (count - 1)).sqrt().float(), volume.affine)

    def _provenance(self, output: Output) -> dict[str, Any]:
        case, like = output.case, self.likes.get(output.modality)
        options = self.options
        decided = {
            "case": case.id,
            "modality": output.modality,
            "kind": "volume" if output.draw else f"standard deviation of {options.samples} draws",
            "draw": output.draw,
            "seed": options.seed,
            "conditions": dict(self._conditions(output)),
            "inputs": {name: self.hashes[path] for name, path in case.images.items()},
            "sampling": to_dict(options.sampling),
            "frame": options.frame,
            "intensity": "0 to 1" if like is None else f"as {like.sha256}",
            "precision": self.precision,
            "dtype": options.dtype,
        }
        noted = {
            "files": {name: path.name for name, path in case.images.items()},
            "matched_to": None if like is None else like.path.name,
            "calls": self.calls,
        }
        return {**provenance(self.recipe, self.weights, decided), **noted}

    def _conditions(self, output: Output) -> Iterator[tuple[str, str | float | None]]:
        """What the model hears but images, in the user's words."""
        values = self.recipe.read(output.case.subject, output.modality)
        for condition in self.recipe.covariates:
            yield condition.name, condition.show(tuple(values[condition.name].tolist()))
