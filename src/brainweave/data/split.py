"""Splits of persons: who trains, who validates, who tests."""

import math
import random
from collections.abc import Mapping, Sequence
from statistics import fmean

from brainweave.errors import CohortError


def allot(
    persons: Mapping[str, Sequence[float | str]], fractions: Mapping[str, float], seed: int
) -> dict[str, str]:
    """A split for every person, each split spread over the whole range of the values.

    persons: who, and the values known of them (none where missing). Persons are sorted by value,
    the missing last; a split of n persons then draws one place in each n-th of that order.
    Raises CohortError for fractions that are not positive or do not sum to 1, or too few persons.
    """
    order = sorted(persons, key=lambda name: (*_rank(persons[name]), name))
    counts = _counts(len(order), fractions)
    draw = random.Random(seed)
    places = [
        ((index + draw.random()) / counts[name], name)
        for name in sorted(counts)
        for index in range(counts[name])
    ]
    return {person: name for person, (_, name) in zip(order, sorted(places), strict=True)}


def _rank(values: Sequence[float | str]) -> tuple[int, float, str]:
    """Numbers before texts before nothing; several scans have their mean or their first text."""
    numbers = [value for value in values if not isinstance(value, str)]
    if numbers:
        return 0, fmean(sorted(numbers)), ""
    return (1, 0.0, min(map(str, values))) if values else (2, 0.0, "")


def _counts(total: int, fractions: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers of persons by the largest remainder."""
    wanted = ", ".join(f"{name} {fraction:g}" for name, fraction in fractions.items())
    shares = fractions.values()
    if not all(share > 0 for share in shares) or not abs(sum(shares) - 1) <= 1e-6:
        raise CohortError(f"fractions must be positive and sum to 1, not {wanted or 'empty'}")
    counts = {name: int(total * fraction + 1e-9) for name, fraction in fractions.items()}
    remainders = {name: total * fraction - counts[name] for name, fraction in fractions.items()}
    largest = sorted(fractions, key=lambda name: (-remainders[name], name))
    for name in largest[: total - sum(counts.values())]:
        counts[name] += 1
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        enough = math.ceil(1 / min(shares) - 1e-9)
        raise CohortError(
            f"{total} persons leave {empty[0]!r} empty when split into {wanted}; {enough} suffice"
        )
    return counts
