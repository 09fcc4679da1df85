"""Metadata of a training cohort: refused where they cannot be, reported where they mean nothing."""

import logging
import math
from collections import Counter
from collections.abc import Iterator, Sequence

from brainweave.conditions.metadata import Metadatum
from brainweave.data.check import owner, refuse
from brainweave.data.cohort import Cohort
from brainweave.errors import ConditionError

_log = logging.getLogger(__name__)
_NAMED = 5  # words of a field that are told


def check_metadata(fields: Sequence[Metadatum], target: str, train: Cohort, val: Cohort) -> None:
    """Raises CohortError for numbers out of range, columns that contradict each other and a field
    that nobody who trains has. Words that mean nothing are counted and logged: not known."""
    for part in (train, val):
        refuse(part.source, _impossible(fields, target, part))
    refuse(train.source, _never_known(fields, train))
    for field in fields:
        odd = Counter(word for s in (*train, *val) for word in field.unknown(s.covariates))
        if odd:
            most = ", ".join(f"{word!r} ({count})" for word, count in odd.most_common(_NAMED))
            more = f" and {len(odd) - _NAMED} more" if len(odd) > _NAMED else ""
            _log.warning("%s: %s%s mean nothing to the model: not known", field.name, most, more)


def _impossible(fields: Sequence[Metadatum], target: str, cohort: Cohort) -> Iterator[str]:
    for subject in cohort:
        for field in fields:
            try:
                field.known(subject.covariates)
            except ConditionError as error:
                yield f"{owner(subject, target)}: {error}"


def _never_known(fields: Sequence[Metadatum], cohort: Cohort) -> Iterator[str]:
    for field in fields:
        if all(math.isnan(field.known(subject.covariates)[0]) for subject in cohort):
            columns = " or ".join(field.sources)
            yield f"nobody who trains has a value of {field.name} in {columns}; leave it out"
