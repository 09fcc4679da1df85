"""Where completed volumes lie and what they are called: as the case's own images are.

A new layout is one word of `Layout`, one branch in `home` and one in `name`.
"""

from pathlib import Path
from typing import Literal

from brainweave.data.brats import parse
from brainweave.data.cohort import Subject

Layout = Literal["brats", "bids", "table"]

_SUFFIXES = {"t1w": "T1w", "t1c": "T1w", "t2w": "T2w", "flair": "FLAIR", "pd": "PDw"}
_AGENT = "gadolinium"  # what tells t1c from t1w in BIDS
_ORDER = ("sub", "ses", "task", "acq", "ce", "rec", "dir", "run", "echo", "part", "space", "desc")


def home(layout: Layout, subject: Subject) -> Path:
    """The folder of a case's volumes, relative to the output's."""
    if layout == "bids":
        return Path(subject.subject, subject.session or "", "anat")
    return Path(subject.id)


def name(layout: Layout, subject: Subject, modality: str, part: str = "") -> str:
    """The file of a completed volume.

    BraTS-GLI-00000-000-t1n.nii.gz or x_t1ce.nii.gz as the case's other images are named; in BIDS
    sub-x_ce-gadolinium_desc-synthetic_T1w.nii.gz; of a table's case x_t1c.nii.gz.
    part: which of several it is, as "sample-01" or "std".
    """
    if layout == "bids":
        return _bids(subject, modality, part)
    ending = f"_{part}" if part else ""
    if layout == "table":
        return f"{subject.id}_{modality}{ending}.nii.gz"
    naming = next(file.naming for path in subject.images.values() if (file := parse(path)))
    suffix = naming.suffixes.get(modality, modality)
    return f"{subject.id}{naming.separator}{suffix}{ending}{naming.extension}"


def _bids(subject: Subject, modality: str, part: str) -> str:
    """With the entities that tell the case's scans from others of their session."""
    words = (word.partition("-") for word in subject.id.split("_"))
    entities = {key: value for key, _, value in words}
    if modality == "t1c":
        entities["ce"] = _AGENT
    own = entities.get("desc", "")
    entities["desc"] = f"{own}{'Synthetic' if own else 'synthetic'}{part.title().replace('-', '')}"
    order = sorted(entities, key=lambda key: _ORDER.index(key) if key in _ORDER else _LAST)
    suffix = _SUFFIXES.get(modality, modality)
    return "_".join([*(f"{key}-{entities[key]}" for key in order), f"{suffix}.nii.gz"])


_LAST = _ORDER.index("part")
