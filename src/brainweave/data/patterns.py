"""What is known of whom: patterns of missing values, and how to keep them from telling a site."""

import logging
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from brainweave.data.cohort import Subject
from brainweave.data.seeds import generator
from brainweave.data.table import missing, written
from brainweave.errors import CohortError
from brainweave.part import Part

Values = Mapping[str, Tensor]  # of one volume, NaN where not known

_LOOKED_AT = 50  # volumes, to say how much is heard

_log = logging.getLogger(__name__)


class Swap(Part):
    """Training hides some of what is known, so that what is left is as often known in every group;
    also of fields that are else never hidden.

    by: the covariate whose values are the groups. share: of the volumes it is done to; what remains
    of the difference between two groups is 1 - share of it, in total variation.
    """

    by: str = "site"
    share: float = Field(default=1.0, gt=0, le=1)

    def of(self, values: Sequence[Values], subjects: Sequence[Subject]) -> "Patterns":
        """For the volumes of a training cohort; logs how much of what is known is heard. Raises
        CohortError where nobody has a group."""
        groups = [written(subject.covariates.get(self.by)) for subject in subjects]
        if all(missing(group) for group in groups):
            raise CohortError(f"nobody has a {self.by!r}, which training.swap is by; name another")
        patterns = Patterns(values, groups, self.share)
        some = range(0, len(values), -(-len(values) // _LOOKED_AT))
        known = sum(_count(values[index]) for index in some)
        heard = sum(_count(patterns.shown(index, index)) for index in some)
        _log.info(
            "training.swap: %.0f %% of what is known of a volume is heard",
            100 * heard / (known or 1),
        )
        return patterns


class Patterns:
    """Draws, for one volume at a time, which of its values are heard.

    A value that is not known cannot be heard, so values are hidden where they are known more often:
    one after the other, in the order of `values`, each is heard of as many volumes of every group,
    given what is heard before it, as of the group that knows it least. What is heard then has
    one distribution in all groups. Groups that never know a value do not count for it, as else
    nobody would hear it; hearing it says that a volume is of none of them, which is logged.
    """

    def __init__(self, values: Sequence[Values], groups: Sequence[str], share: float = 1.0) -> None:
        self.values, self.share = values, share
        self.names = list(values[0])
        names = sorted(set(groups))
        columns = [torch.stack([each[name] for each in values]) for name in self.names]
        known = torch.stack([~column.isnan().any(1) for column in columns], dim=1)
        own = torch.tensor([names.index(group) for group in groups])
        rows, self._of, counts = torch.cat([own[:, None], known.long()], dim=1).unique(
            dim=0, return_inverse=True, return_counts=True
        )
        self._groups, self._known, self._counts = rows[:, 0], rows[:, 1:].bool(), counts.double()
        self._ever = torch.stack([self._per_group(column.double()) for column in self._known.T]) > 0
        for name, ever in zip(self.names, self._ever.tolist(), strict=True):
            never = [group for group, knows in zip(names, ever, strict=True) if not knows]
            if 0 < len(never) < len(names):
                _log.warning("%s is never known of %s: hearing it tells so", name, ", ".join(never))

    def shown(self, index: int, seed: int) -> dict[str, Tensor]:
        """The values of a volume, those that are hidden by this seed as not known."""
        source = generator("swap", seed)
        values = dict(self.values[index])
        if float(torch.rand((), generator=source)) >= self.share:
            return values
        for name, heard in zip(self.names, self._heard(index, source).tolist(), strict=True):
            if not heard:
                values[name] = torch.full_like(values[name], torch.nan)
        return values

    def _heard(self, index: int, source: torch.Generator) -> Bool[Tensor, "k"]:
        """Column by column; weights: how often each pattern of each group is heard as so far."""
        own, weights = self._of[index], self._counts.clone()
        draws = torch.rand(len(self.names), generator=source, dtype=torch.float64)
        heard = torch.zeros(len(self.names), dtype=torch.bool)
        for column, draw in enumerate(draws):
            known, there = self._known[:, column], self._per_group(weights)
            share = self._per_group(weights * known) / there
            counts = self._ever[column] & (there > 0)  # else it is told by what is heard before
            least = torch.where(counts, share, torch.inf).min()
            chance = known * torch.where(share > 0, least / share, 0.0)[self._groups]
            heard[column] = draw < chance[own]
            weights *= chance if heard[column] else 1 - chance
        return heard

    def _per_group(self, weights: Tensor) -> Tensor:
        total = torch.zeros(int(self._groups.max()) + 1, dtype=weights.dtype)
        return total.index_add(0, self._groups, weights)


def _count(values: Values) -> int:
    """How many are known."""
    return sum(not bool(value.isnan().any()) for value in values.values())
