"""Cases on disk, and what was made of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brainweave.data.volume import Volume

FOUR = ("t1w", "t1c", "t2w", "flair")
OLD = {"t1w": "t1", "t1c": "t1ce", "t2w": "t2", "flair": "flair", "seg": "seg"}
NEW = {"t1w": "t1n", "t1c": "t1c", "t2w": "t2w", "flair": "t2f", "seg": "seg"}


def write_case(
    folder: Path,
    scans: Mapping[str, Volume],
    modalities: Sequence[str],
    suffixes: Mapping[str, str] = OLD,
) -> None:
    """These modalities of a head as a case of the folder's name, in BraTS names."""
    separator = "_" if suffixes is OLD else "-"
    for name in modalities:
        scans[name].save(folder / f"{folder.name}{separator}{suffixes[name]}.nii.gz")


def said(path: Path) -> dict[str, Any]:
    """The sidecar of a volume."""
    return json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its content and time."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in files
    }
