"""Folders filled from another: what goes where is planned first, so a run resumes or refuses.

A new kind of file is one frozen `Planned`.
"""

import filecmp
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from brainweave.data.files import atomic, sweep
from brainweave.errors import OutputError
from brainweave.progress import Reporter


class Planned(ABC):
    """A file that is to be."""

    @abstractmethod
    def write(self, path: Path) -> None:
        """Writes it at a path of which it keeps the extension."""

    @abstractmethod
    def same(self, path: Path) -> bool:
        """Whether the file at `path` is it."""


@dataclass(frozen=True)
class Copy(Planned):
    """The bytes of another file, with its time."""

    source: Path

    def write(self, path: Path) -> None:
        shutil.copy2(self.source, path)

    def same(self, path: Path) -> bool:
        return filecmp.cmp(self.source, path)


def fill(out: Path, files: Mapping[Path, Planned], *, data: Path) -> int:
    """Writes in `out` the files that are not there yet, in order, each whole or not at all.

    files: by path within `out`. data: the folder they come from, in which nothing is ever written.
    Returns how many were written. Raises OutputError, before anything is, for an `out` in `data`
    and one that holds anything else than these files.
    """
    here, there = out.resolve(), data.resolve()
    if here == there or there in here.parents:
        raise OutputError(f"{out} is in {data}, which stays as it is; choose a folder elsewhere")
    left = _left(out, files)
    reporter = Reporter()
    reporter.start(f"writing {out}", len(left))
    try:
        for name in left:
            _write(out / name, files[name])
            reporter.advance()
    finally:
        reporter.stop()
    return len(left)


def _left(out: Path, files: Mapping[Path, Planned]) -> list[Path]:
    """The files that are not there; what is there must be theirs."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; a folder is needed")
    there = [path.relative_to(out) for path in sorted(out.rglob("*")) if not path.is_dir()]
    for folder in {(out / name).parent for name in files}:
        sweep(folder)
    for name in there:
        if name.name.startswith("."):
            continue
        if name not in files or not files[name].same(out / name):
            what = "is none of the files" if name not in files else "differs from the one"
            raise OutputError(
                f"{out / name} {what} that this command writes; choose an empty folder, or the "
                "same options and data as before"
            )
    return [name for name in files if name not in there]


def _write(path: Path, file: Planned) -> None:
    try:
        with atomic(path) as temporary:
            file.write(temporary)
    except OSError as error:
        raise OutputError(f"{path} is not written: {error}") from error
