"""What every chapter of a report reads, and what it gives back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from brainweave.errors import EvaluationError
from brainweave.evaluation.base import Indices, Score, Vectors, halves
from brainweave.evaluation.comparison import compare
from brainweave.evaluation.extractors import Extractor, extractor
from brainweave.evaluation.nulls import FEWEST
from brainweave.evaluation.report import Figure, Finding, Table
from brainweave.evaluation.scans import Scans
from brainweave.evaluation.settings import Settings
from brainweave.evaluation.store import features, fitted
from brainweave.progress import Reporter


@dataclass
class Chapter:
    """A part of a report; chapters add up."""

    findings: list[Finding] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


_FITTED = 500  # volumes that extractors are fitted on, evenly taken of more


@dataclass(frozen=True)
class Space:
    """The feature vectors of every side by one extractor.

    apart: the real scans that it was not fitted on, the only ones to compare with. fits: whether
    it was fitted on volumes of a side.
    """

    extractor: Extractor
    vectors: Mapping[str, Vectors]
    apart: Indices
    fits: bool

    @property
    def name(self) -> str:
        """The extractor's."""
        return self.extractor.name

    @property
    def digest(self) -> str:
        """The extractor's."""
        return self.extractor.digest


@dataclass(frozen=True)
class Bench:
    """The sides and their features: "real" and "made", where they are known also "train", those
    that the maker was trained on, and "recon", reconstructions of the real ones. left: features
    that these volumes do not allow, and why."""

    settings: Settings
    sides: Mapping[str, Scans]
    spaces: tuple[Space, ...]
    cache: Path | None
    reporter: Reporter
    left: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, sides: Mapping[str, Scans], settings: Settings, cache: Path | None, reporter: Reporter
    ) -> "Bench":
        """Describes all sides by all extractors; features that a volume does not allow are left out
        and said. Raises EvaluationError for unknown ones, and where none could be computed."""
        bench = cls(settings, sides, (), cache, reporter)
        known = {name: bench.extractor(name) for name in settings.features}
        spaces, left = [], {}
        for name, raw in known.items():
            try:
                spaces.append(bench.described(raw))
            except EvaluationError as error:
                left[name] = str(error)
                reporter.say(f"{name} features are left out: {error}")
        if left and not spaces:
            raise EvaluationError(next(iter(left.values())))
        return replace(bench, spaces=tuple(spaces), left=left)

    @property
    def real(self) -> Scans:
        """What all is held against."""
        return self.sides["real"]

    @property
    def made(self) -> Scans:
        """What is judged."""
        return self.sides["made"]

    @property
    def train(self) -> Scans | None:
        """What trained the maker, where that is known."""
        return self.sides.get("train")

    def extractor(self, name: str) -> Extractor:
        """The extractor of that name with the settings' options and priors."""
        options = dict(self.settings.options.get(name, {}))
        if name == "regions" and self.settings.priors is not None:
            options.setdefault("priors", self.settings.priors.on(self.real.grid))
        return extractor(name, **options)

    def described(self, raw: Extractor) -> Space:
        """The features of all sides. What must be fitted is fitted on the training volumes, or
        without them on half of the real persons. Real scans of persons it was fitted on are not
        compared with."""
        apart = np.arange(len(self.real))
        basis = self.real if self.train is None else self.train
        others = self._others() if self.train is not None else apart[:0]
        if not raw.ready and len({self.real.persons[i] for i in others}) >= FEWEST:
            apart = others
        elif not raw.ready:
            ((fit, apart),) = halves(self.real.persons, draws=1, seed=self.settings.seed)
            basis = self.real.take(fit)
            if (left := len({self.real.persons[i] for i in apart})) < FEWEST:
                raise EvaluationError(
                    f"fitted on half of {len(set(self.real.persons))} real persons, {left} are "
                    f"left to compare with and {FEWEST} are needed; give more, or --train"
                )
        if len(basis) > _FITTED:
            basis = basis.take(np.linspace(0, len(basis) - 1, _FITTED).round().astype(int))
        ready = fitted(raw, basis, folder=self.cache, reporter=self.reporter)
        vectors = {
            side: features(ready, scans, folder=self.cache, reporter=self.reporter)
            for side, scans in self.sides.items()
        }
        return Space(ready, vectors, np.sort(apart), not raw.ready)

    def _others(self) -> Indices:
        """The real scans whose persons and files did not train."""
        train = self.sides["train"]
        persons, files = set(train.persons), set(train.hashes)
        scans = zip(self.real.persons, self.real.hashes, strict=True)
        own = [person in persons or content in files for person, content in scans]
        return np.flatnonzero(~np.array(own))

    def beside_null(
        self,
        name: str,
        vectors: Mapping[str, Vectors],
        *,
        metrics: Sequence[str] | None = None,
        digest: str = "",
        rows: Mapping[str, Indices] | None = None,
    ) -> list[Score]:
        """`compare` of some rows of both sides with the settings' draws and seed."""
        taken = {side: (rows or {}).get(side, np.arange(len(vectors[side]))) for side in vectors}
        persons = {"real": self.real.persons, "made": self.made.persons}
        real, made = ([persons[side][i] for i in taken[side]] for side in ("real", "made"))
        return compare(
            vectors["real"][taken["real"]],
            vectors["made"][taken["made"]],
            real_persons=real,
            made_persons=made,
            name=name,
            digest=digest,
            metrics=metrics,
            draws=self.settings.draws,
            seed=self.settings.seed,
        )
