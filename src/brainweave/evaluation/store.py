"""Features on disk, by what a file holds, how it is read and who described it: computed once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError

from brainweave.data.files import digest
from brainweave.data.tensors import load_tensors, save_tensors
from brainweave.errors import CheckpointError, EvaluationError
from brainweave.evaluation.base import Vectors
from brainweave.evaluation.extractors.base import Array, Arrays, Extractor, Vector
from brainweave.evaluation.scans import Scans
from brainweave.progress import Reporter


def features(
    extractor: Extractor, scans: Scans, *, folder: Path | None, reporter: Reporter
) -> Vectors:
    """One row of float64 features per scan; only volumes that `folder` does not know are read.

    folder: kept between runs; None keeps nothing. Files of equal content are described once.
    Raises EvaluationError, naming the subject, for features that are not finite or not as many as
    those of the other volumes.
    """
    if not len(scans):
        raise EvaluationError(f"{scans.name}: there are no scans to describe")
    hashes = scans.hashes
    keys = {content: _key(content, scans, extractor) for content in hashes}
    found = {} if folder is None else _kept(folder, keys, extractor.dimension)
    reporter.start(f"{extractor.name} features, {scans.name}", len(keys), len(found))
    try:
        for index, content in enumerate(hashes):
            if content not in found:
                found[content] = _described(extractor, scans, index)
                if folder is not None:
                    kept = {"features": found[content]}
                    folder = _keep(folder, keys[content], kept, reporter)
                reporter.advance()
    finally:
        reporter.stop()
    _require_equal_lengths(found, hashes, extractor, scans)
    return np.stack([found[content] for content in hashes])


def fitted(
    extractor: Extractor, scans: Scans, *, folder: Path | None, reporter: Reporter
) -> Extractor:
    """The extractor fitted on these scans, or as it is where it needs no fit; kept likewise."""
    if extractor.ready:
        return extractor
    key = _key(digest(scans.hashes), scans, extractor)
    if folder is not None and (state := _read(_path(folder, key))):
        return extractor.restored(state)
    reporter.start(f"fitting {extractor.name}, {scans.name}", len(scans))
    try:
        made = extractor.fitted(_told(scans, reporter), scans.spacing)
    finally:
        reporter.stop()
    if folder is not None and (state := made.state()):
        _keep(folder, key, state, reporter)
    return made


def _kept(folder: Path, keys: dict[str, str], dimension: int) -> dict[str, Vector]:
    """What the folder has, verified; a file that is broken or of another length is left out."""
    found = {}
    for content, key in keys.items():
        vector = _read(_path(folder, key)).get("features", np.empty(0))
        whole = vector.ndim == 1 and vector.size and dimension in (0, vector.size)
        if whole and np.isfinite(vector).all():
            found[content] = vector
    return found


def _described(extractor: Extractor, scans: Scans, index: int) -> Vector:
    """The features of one scan."""
    who = f"{scans.name}, subject {scans[index].id!r} ({scans.paths[index]})"
    volume = scans.load(index)
    try:
        vector = extractor(volume, scans.spacing)
    except EvaluationError as error:
        raise EvaluationError(f"{who}: {error}") from error
    if not (finite := np.isfinite(vector)).all():
        raise EvaluationError(
            f"{who}: {np.count_nonzero(~finite)} of {vector.size} {extractor.name} features are "
            "not finite; look at the volume and leave it out if it is no brain"
        )
    if extractor.dimension not in (0, vector.size):
        raise EvaluationError(
            f"{who}: {vector.size} {extractor.name} features instead of {extractor.dimension}"
        )
    return vector


def _require_equal_lengths(
    found: dict[str, Vector], hashes: list[str], extractor: Extractor, scans: Scans
) -> None:
    length = found[hashes[0]].size
    for index, content in enumerate(hashes):
        if found[content].size != length:
            raise EvaluationError(
                f"{extractor.name} returned {found[content].size} features for {scans.name}, "
                f"subject {scans[index].id!r}, and {length} for {scans[0].id!r}; all need as many"
            )


def _told(scans: Scans, reporter: Reporter) -> Iterator[Array]:
    for volume in scans.volumes():
        yield volume
        reporter.advance()


def _key(content: str, scans: Scans, extractor: Extractor) -> str:
    """What decides features: what is in the file, how it is read and sampled, who describes it."""
    spacing = [round(mm, 3) for mm in scans.spacing]
    return digest([content, scans.digest, spacing, extractor.digest])


def _path(folder: Path, key: str) -> Path:
    return folder / key[:2] / f"{key}.safetensors"


def _read(path: Path) -> dict[str, Arrays]:
    """The arrays of a file; none where it is absent or damaged."""
    try:
        return {name: tensor.numpy() for name, tensor in load_tensors(path)[0].items()}
    except CheckpointError:
        return {}


def _keep(folder: Path, key: str, arrays: dict[str, Arrays], reporter: Reporter) -> Path | None:
    """Writes arrays; None, once said, where the folder cannot be written: it only saves time."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}
    try:
        save_tensors(_path(folder, key), tensors, {})
    except (OSError, SafetensorError) as error:
        reporter.say(f"{folder} cannot be written ({error}): features are computed again next time")
        return None
    return folder
