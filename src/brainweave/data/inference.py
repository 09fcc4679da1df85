"""What the columns of a cohort hold, inferred from its words and from a BIDS description."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from brainweave.data.cohort import Cohort, canonical_covariate
from brainweave.data.intervals import Interval, interval
from brainweave.data.schema import Column, Schema
from brainweave.data.table import missing, number, spelled, written
from brainweave.data.words import NONE, parted, yes_or_no
from brainweave.errors import CohortError

Described = Mapping[str, Mapping[str, Any]]  # "Description", "Units", "Levels" by column

_NO_FIELD = {"qc": "says who trains", "synthetic": "of made volumes", "seed": "of made volumes"}
_NUISANCE = re.compile(
    "site|scanner|manufacturer|vendor|field_?strength|tesla|cent(er|re)|dataset|study|protocol|coil"
    "|machine|software|station|institution"
)
_LOGARITHMIC = re.compile("field_?strength|tesla")
_NOT_KNOWN = frozenset({"missing", "unknown", "not available", "not reported", "not known"})
_ABSENT = "n/a"
_NUMERIC = 0.8  # share of the words of a number that are read as numbers
_FEW = 5  # different whole numbers without a unit are levels, not amounts
_MANY = 50  # more different words are no choice


def infer(cohort: Cohort, described: Described | None = None) -> Schema:
    """A column for each covariate of a cohort. described: see `description`."""
    said = {canonical_covariate(name): facts for name, facts in (described or {}).items()}
    columns = []
    for name in cohort.covariates:
        values = [subject.covariates.get(name) for subject in cohort]
        words = [spelled(name, written(value)) for value in values if not missing(value)]
        column = _named(_column(name, words, said.get(name, {})))
        columns.append(column.replace(missing=len(values) - len(words)))
    return Schema(source=cohort.source, columns=_joined(cohort, columns))


def description(path: Path) -> dict[str, Any]:
    """What a BIDS dataset says of its participants' columns: participants.json in its folder, or
    the JSON beside a table; {} where there is none. Raises CohortError for one that is not read."""
    file = path / "participants.json" if path.is_dir() else path.with_suffix(".json")
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CohortError(f"{file} is not JSON ({error})") from None
    if not isinstance(found, dict):
        raise CohortError(f"{file} describes no columns: a JSON object by column is needed")
    return {name: facts for name, facts in found.items() if isinstance(facts, dict)}


def _column(name: str, words: Sequence[str], said: Mapping[str, Any]) -> Column:
    """By the first of the kinds that its words are of."""
    levels = {str(key): _text(level) for key, level in (said.get("Levels") or {}).items()}
    base = Column(
        name=name,
        kind="ignored",
        description=str(said.get("Description") or said.get("LongName") or ""),
        unit=str(said.get("Units") or ""),
        nuisance=bool(_NUISANCE.search(name)),
        known=len(words),
    )
    if name in _NO_FIELD:
        return base.replace(note=_NO_FIELD[name])
    if len({word.lower() for word in words}) < 2:
        return base.replace(note=f"everybody has {words[0]}" if words else "nobody has a value")
    if any(len(parted(word)) > 1 for word in words):
        return _set(base, words, levels)
    if levels:
        return _levels(base, words, levels)
    spans = [interval(word) for word in words]
    numbers = [span for span in spans if span is not None]
    if len(numbers) >= _NUMERIC * len(words):
        return _numbers(base, words, numbers)
    return _names(base, words)


def _numbers(base: Column, words: Sequence[str], spans: Sequence[Interval]) -> Column:
    odd = len(words) - len(spans)
    base = base.replace(known=len(spans), unknown=odd)
    exact = {low for low, high in spans if low == high}
    whole = all(low == high and low.is_integer() for low, high in spans)
    if whole and not base.unit and exact == {0.0, 1.0}:
        return base.replace(kind="binary", note="0 is taken for no, 1 for yes")
    if whole and not base.unit and len(exact) <= _FEW:
        levels = tuple(written(value) for value in sorted(exact))
        return base.replace(kind="ordinal", values=levels, note="few whole numbers: an order")
    low, high, note = _range(spans)
    log = bool(_LOGARITHMIC.search(base.name)) and low > 0
    return base.replace(kind="continuous", low=low, high=high, log=log, note=note)


def _range(spans: Sequence[Interval]) -> tuple[float, float, str]:
    """The lowest and the highest number, with room for open ends."""
    ends = sorted(end for span in spans for end in span if math.isfinite(end))
    low, high = ends[0], ends[-1]
    bins = [b - a for a, b in spans if a < b and math.isfinite(b - a)]
    room = max([*bins, (high - low) / 10, 1.0 if high == low else 0.0])
    notes = []
    if count := sum(a < b for a, b in spans):
        notes.append(f"{count} intervals")
    if (high, math.inf) in spans:
        high += room
        notes.append(f"above is taken for up to {written(high)}")
    if (-math.inf, low) in spans:
        low -= room
        notes.append(f"below is taken for down to {written(low)}")
    return low, high, "; ".join(notes)


def _names(base: Column, words: Sequence[str]) -> Column:
    said = [yes_or_no(word) for word in words]
    if None not in said:
        return base.replace(kind="binary")
    names = _spellings(words)
    if len(names) > min(_MANY, max(2, len(words) // 2)):
        return base.replace(note=f"{len(names)} different texts in {len(words)} scans")
    return base.replace(kind="choice", values=names)


def _levels(base: Column, words: Sequence[str], levels: Mapping[str, str]) -> Column:
    """A choice among described levels, of those that there are."""
    names, aliases = _called(base.name, levels)
    meant = {word.lower(): name for word, name in aliases.items()}
    meant |= {name.lower(): name for name in names}
    found = Counter(meant.get(word.lower()) for word in words)
    unknown, absent = found.pop(None, 0), found.pop(_ABSENT, 0)
    seen = tuple(name for name in names if found[name])
    never = ", ".join(name for name in names if not found[name])
    note = f"never seen: {never}" if never else ""
    base = base.replace(known=len(words) - unknown - absent, unknown=unknown, note=note)
    if len(seen) < 2:
        return base.replace(note=f"everybody has {seen[0]}" if seen else "nobody has a known level")
    aliases = {word: name for word, name in aliases.items() if name in (*seen, _ABSENT)}
    if all(yes_or_no(name) is not None for name in seen):
        return base.replace(kind="binary", aliases=aliases)
    return base.replace(kind="choice", values=seen, aliases=aliases)


def _called(field: str, levels: Mapping[str, str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The names of described levels, and other words for them: codes that are numbers are called
    by their description."""
    codes = [code for code, text in levels.items() if text.lower() not in _NOT_KNOWN]
    numbered = all(number(code) is not None for code in codes)
    names, aliases = [], dict.fromkeys(levels.keys() - set(codes), _ABSENT)
    for code in codes:
        text = levels[code]
        name = spelled(field, text if numbered and text else code)
        names.append(name)
        others = (word for word in (code, text) if word.lower() not in ("", name.lower()))
        aliases |= dict.fromkeys(others, name)
    return tuple(dict.fromkeys(names)), aliases


def _set(base: Column, words: Sequence[str], levels: Mapping[str, str]) -> Column:
    """Lists of names; descriptions of levels are aliases."""
    names = _spellings([name for word in words for name in parted(word) if name.lower() != NONE])
    if len(names) > _MANY:
        return base.replace(note=f"lists of {len(names)} different texts")
    aliases = {text: key for key, text in levels.items() if text and key in names}
    return base.replace(kind="set", values=names, aliases=aliases)


def _spellings(words: Sequence[str]) -> tuple[str, ...]:
    """Different words, whatever the case, each as it is written most often, in order."""
    counts: dict[str, Counter[str]] = {}
    for word in words:
        counts.setdefault(word.lower(), Counter())[word] += 1
    return tuple(sorted((c.most_common(1)[0][0] for c in counts.values()), key=str.lower))


def _named(column: Column) -> Column:
    """Under a name that a condition may have."""
    name = column.name.replace(".", "_")
    name = f"{name}_" if hasattr(nn.ModuleDict(), name) else name
    return column if name == column.name else column.replace(name=name, columns=(column.name,))


def _joined(cohort: Cohort, columns: Sequence[Column]) -> tuple[Column, ...]:
    """Ages and age groups as one: a column of intervals named after another tells the same."""
    joined = {column.name: column for column in columns}
    for coarse in columns:
        fine = joined.get(re.split("[_-]", coarse.name)[0])
        if fine is None or fine.name == coarse.name or fine.kind != "continuous":
            continue
        texts = [written(s.covariates.get(coarse.name)) for s in cohort]
        spans = [interval(text) or (0.0, 0.0) for text in texts if not missing(text)]
        if coarse.kind == "continuous" and all(low < high for low, high in spans):
            joined[fine.name] = _with(fine, coarse, cohort)
            note = f"the same in intervals: tells {fine.name}"
            joined[coarse.name] = coarse.replace(kind="ignored", note=note)
    return tuple(joined.values())


def _with(fine: Column, coarse: Column, cohort: Cohort) -> Column:
    """A field with a second column that tells it."""
    columns = (*fine.columns, *(coarse.columns or (coarse.name,)))
    told = [[written(s.covariates.get(c)) for c in (fine.name, *columns)] for s in cohort]
    known = sum(any(map(interval, words)) for words in told)
    nothing = sum(all(map(missing, words)) for words in told)
    spans = [(c.low, c.high) for c in (fine, coarse) if c.low is not None and c.high is not None]
    return fine.replace(
        columns=columns,
        low=min(low for low, _ in spans),
        high=max(high for _, high in spans),
        known=known,
        missing=nothing,
        unknown=len(cohort) - known - nothing,
        note="; ".join(filter(None, [fine.note, f"{coarse.name} where it is missing"])),
    )


def _text(level: Any) -> str:
    """A level's description, in the old form of BIDS or the new."""
    return str(level.get("Description", "") if isinstance(level, dict) else level or "").strip()
