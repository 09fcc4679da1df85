"""From a cohort to volumes with their values: decoded once, augmented by seed."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from brainweave.data.augment import Augment
from brainweave.data.cache import Cache, Entry, Keep
from brainweave.data.cohort import Cohort, Subject, canonical_modality
from brainweave.data.patterns import Swap
from brainweave.data.preprocess import Preprocess
from brainweave.errors import CohortError, RecipeError

Read = Callable[[Subject, str], Mapping[str, Tensor]]
Key = tuple[int, int]  # index of the subject, seed of its augmentation


@dataclass(frozen=True)
class Item:
    """One subject's volume, or what is kept in its place, values (NaN is missing) and id."""

    volume: Float[Tensor, "c i j k"]
    values: dict[str, Tensor]
    id: str


@dataclass(frozen=True)
class Batch:
    """Volumes in their declared intensity range, values and ids; images among values are 5-D.

    What is kept of volumes stands in their place, if something is. A missing value is NaN; so is
    every voxel of a missing image.
    """

    volume: Float[Tensor, "b c i j k"]
    values: dict[str, Float[Tensor, "b _ ..."]]
    ids: list[str]

    @classmethod
    def of(cls, items: list[Item]) -> "Batch":
        """Stacks items."""
        names = items[0].values
        values = {name: torch.stack([item.values[name] for item in items]) for name in names}
        volume = torch.stack([item.volume for item in items])
        return cls(volume, values, [item.id for item in items])

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on a device; from pinned memory the copy does not wait."""
        values = {name: value.to(device, non_blocking=True) for name, value in self.values.items()}
        return replace(self, volume=self.volume.to(device, non_blocking=True), values=values)

    def pin_memory(self) -> "Batch":
        """The batch in pinned memory; DataLoader calls it."""
        values = {name: value.pin_memory() for name, value in self.values.items()}
        return replace(self, volume=self.volume.pin_memory(), values=values)


class VolumeDataset(Dataset[Item]):
    """Every volume of the target modalities: dataset[index, seed] is one, augmented by that seed.

    read: the values of a subject whose volume of a modality is made, [1] each; called once per
    volume, here. cache: a folder for decoded volumes, None for memory. images: other modalities to
    give as values, moved alike; the one that is made is missing among them. labels: those of
    `images` that are label maps, which keep their numbers. keep: what is given in place of all
    volumes but these; there is no augmentation of it. swap: see `Swap`.
    Raises CohortError for an empty cohort or a subject without any of the targets.
    """

    def __init__(  # noqa: PLR0913 - `Recipe.dataset` gives them
        self,
        cohort: Cohort,
        targets: str | Iterable[str],
        preprocess: Preprocess,
        *,
        read: Read,
        cache: Path | None,
        augment: Augment | None,
        images: Iterable[str] = (),
        labels: Iterable[str] = (),
        keep: Keep | None = None,
        swap: Swap | None = None,
    ) -> None:
        named = (targets,) if isinstance(targets, str) else targets
        self.targets = tuple(canonical_modality(name) for name in named)
        self.images = tuple(canonical_modality(name) for name in images)
        self.augment = augment
        self.subjects = tuple(cohort)
        lacking = [s.id for s in self.subjects if not set(self.targets) & set(s.images)]
        if lacking or not self.subjects:
            who = (
                f"{len(lacking)} subjects, {lacking[0]!r} first, have" if lacking else "nobody has"
            )
            wanted = " nor ".join(map(repr, self.targets))
            raise CohortError(f"{cohort.source}: {who} {'no ' * bool(lacking)}{wanted}")
        self.volumes = [
            (s, name) for s in self.subjects for name in self.targets if name in s.images
        ]
        self.values = [dict(read(subject, name)) for subject, name in self.volumes]
        owners = [subject for subject, _ in self.volumes]
        self.patterns = None if swap is None else swap.of(self.values, owners)
        if keep is not None and augment is not None:
            raise RecipeError(
                "what is kept of volumes cannot be augmented; set training.augment=none"
            )
        self.labels = frozenset(canonical_modality(name) for name in labels)
        self._shape = (1, *preprocess.shape)
        maps = Cache(preprocess.of_labels(), cache)
        self._caches = {
            name: maps if name in self.labels else Cache(preprocess.of(name), cache, keep)
            for name in (*self.targets, *self.images)
        }

    def __len__(self) -> int:
        return len(self.volumes)

    def __getitem__(self, key: Key) -> Item:
        index, seed = key
        subject, target = self.volumes[index]
        wanted = dict.fromkeys((target, *self.images))
        there = [name for name in wanted if name in subject.images]
        found = self._augmented({n: self._entry(subject, n) for n in there}, seed)
        absent = set(self.images) - found.keys() | {target}
        others = {
            name: self._missing(name, found[target]) if name in absent else found[name]
            for name in self.images
        }
        shown = self.patterns
        values = self.values[index] if shown is None else shown.shown(index, seed)
        return Item(found[target], {**values, **others}, subject.id)

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Decodes and verifies every volume; `progress` is told (done, of how many).

        Raises VolumeError naming subject and file for one that is unreadable, NaN or constant.
        """
        files = self.files()
        for done, (owner, name, path) in enumerate(files, start=1):
            self._caches[name].get(owner, path)
            if progress:
                progress(done, len(files))

    def files(self) -> list[tuple[str, str, Path]]:
        """Id, modality and path of every volume that it reads."""
        wanted = dict.fromkeys((*self.targets, *self.images))
        return [(s.id, n, s.images[n]) for s in self.subjects for n in wanted if n in s.images]

    def plain(self) -> "VolumeDataset":
        """The same without augmentation."""
        same = copy.copy(self)
        same.augment = None
        return same

    def in_voxels(self) -> "VolumeDataset":
        """The same with volumes where something is kept in their place; these are not kept."""
        same = copy.copy(self)
        same._caches = {
            name: cache if cache.keep is None else Cache(cache.preprocess, None)
            for name, cache in self._caches.items()
        }
        return same

    def made(self) -> Iterator[Float[Tensor, "1 c i j k"]]:
        """Every volume of a target, one by one."""
        for subject, target in self.volumes:
            yield self._augmented({target: self._entry(subject, target)}, 0)[target][None]

    def persons(self) -> Iterator[tuple[str, dict[str, Float[Tensor, "c i j k"]]]]:
        """The person, targets and images of one subject after the other, label maps excepted, NaN
        where missing."""
        names = [n for n in dict.fromkeys((*self.targets, *self.images)) if n not in self.labels]
        for subject in self.subjects:
            there = {name: self._entry(subject, name) for name in names if name in subject.images}
            found = self._augmented(there, 0)
            missing = torch.full_like(next(iter(found.values())), torch.nan)
            yield subject.subject, {name: found.get(name, missing) for name in names}

    def _missing(self, name: str, like: Tensor) -> Tensor:
        """NaN where an image, or a label map, would be."""
        if name in self.labels:
            return torch.full(self._shape, torch.nan)
        return torch.full_like(like, torch.nan)

    def _entry(self, subject: Subject, modality: str) -> Entry:
        return self._caches[modality].get(subject.id, subject.images[modality])

    def _augmented(self, entries: Mapping[str, Entry], seed: int) -> dict[str, Tensor]:
        """The volumes of a subject by modality: all moved alike, each with intensities of its own.

        Together, as finding the places to interpolate at costs more than to interpolate."""
        found = {name: entry.read() for name, entry in entries.items()}
        if self.augment is None:
            return found
        outside = {name: self._outside(name, entry) for name, entry in entries.items()}
        for labels in (False, True):
            names = [name for name in found if (name in self.labels) == labels]
            if not names:
                continue
            background = torch.tensor([0.0 if labels else outside[name] for name in names])
            stacked = torch.cat([found[name] for name in names])
            moved = self.augment.moved(stacked, seed=seed, background=background, labels=labels)
            found.update(zip(names, moved.split(1), strict=True))
        for name in found.keys() - self.labels:
            low, high = self._caches[name].preprocess.intensity.range
            x = found[name].clamp(low, high)
            found[name] = self.augment.toned(
                x, low=low, high=high, seed=seed, background=outside[name], contrast=name
            )
        return found

    def _outside(self, name: str, entry: Entry) -> float:
        """What background became in a volume."""
        intensity = self._caches[name].preprocess.intensity
        return float(intensity.apply(torch.tensor(intensity.background), entry.window))
