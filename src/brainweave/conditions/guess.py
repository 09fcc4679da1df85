"""What a `Regression` found in a training cohort, and the guesses that it makes of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from brainweave.conditions.perceptron import Perceptrons
from brainweave.conditions.regression import Regression
from brainweave.conditions.surroundings import places_of, terms_of
from brainweave.errors import RecipeError

Volumes = Mapping[str, Tensor]  # by modality, [1 i j k] in [0, 1], NaN where missing
Normal = tuple[Tensor, Tensor, Tensor]  # mean x x', x y and y y of a person
VOXELS = 12_000  # of a subject that are looked at, evenly over its head
SMALLEST = 1e-4  # of a person's squared error: 40 dB
PLACES = 3


class Seen(NamedTuple):
    """A person's voxels, where one target is not among what is looked at.

    mean: mean products of all regressors. terms: of the images by name, the target too, and the
    places. there: which images it has.
    """

    fold: int
    there: Bool[Tensor, "n"]
    mean: Float[Tensor, "r r"]
    terms: Float[Tensor, "f v"]


class Guess(nn.Module):
    """A fit of every target from every set of the other images that somebody has."""

    def __init__(
        self, regression: Regression, targets: Sequence[str], modalities: Sequence[str]
    ) -> None:
        super().__init__()
        self.regression = regression
        self.targets, self.modalities = tuple(targets), tuple(modalities)
        self.names = tuple(dict.fromkeys((*targets, *modalities)))
        self.ways = nn.ModuleList(
            Way(regression, self.names, target, images)
            for target in targets
            for images in _sets([n for n in self.names if n in modalities and n != target])
        )

    @torch.no_grad()
    def fit(
        self,
        persons: Iterable[tuple[str, Volumes]],
        advance: Callable[[], None] = lambda: None,
    ) -> "Guess":
        """On persons and their volumes, each counted alike; everybody serves every fit that they
        have all images of. advance: is called after each of them and each of `ways`. Returns
        itself. Raises RecipeError for a target that nobody has beside another image."""
        fold, seen = self.regression.fold, list[dict[str, Seen]]()
        for person, volumes in persons:
            seen.append({t: self._seen(fold(person), volumes, t) for t in self.targets})
            advance()
        for way in self._ways():
            way.fit([each[way.target] for each in seen])
            advance()
        for target in self.targets:
            if not any(way.known for way in self._ways() if way.target == target):
                others = sorted({n for w in self._ways() if w.target == target for n in w.images})
                raise RecipeError(
                    f"nobody has {target} beside {' or '.join(others)}: leave it out of the "
                    "modalities, or the regression out of the recipe (regression=none)"
                )
        return self

    @torch.no_grad()
    def forward(
        self, volumes: Volumes, target: str, without: int | None = None
    ) -> Float[Tensor, "1 i j k"]:
        """The guess of one subject's `target` from its images that are there, in [0, 1], 0 outside
        the head; from the most of them that there is a fit for. without: a fold that had no part,
        if there are others. Raises RecipeError where there is no fit for any."""
        there = {n for n, v in volumes.items() if n != target and not bool(v.isnan().any())}
        own = [w for w in self._ways() if w.target == target and set(w.images) <= there and w.known]
        if not own:
            raise RecipeError(f"no fit of {target} from {', '.join(sorted(there)) or 'nothing'}")
        way = max(own, key=lambda way: len(way.images))
        images = torch.cat([volumes[name] for name in way.images]).float()
        with torch.autocast(images.device.type, enabled=False):
            terms, head = terms_of(images, self.regression.levels, self.regression.ranks)
            guess = torch.zeros_like(images[:1])
            if terms.shape[1]:
                guess[0, head] = way(terms, places_of(head), without)
        return guess

    def batch(
        self,
        values: Mapping[str, Tensor],
        targets: Sequence[str],
        scale: tuple[float, float],
        without: Sequence[int | None] | None = None,
    ) -> Float[Tensor, "b 1 i j k"]:
        """The guess of each row's target from the images among values, [b 1 i j k]. scale: the
        lowest and highest intensity. without: the fold of each row's person, in training."""
        low, high = scale
        shown = {name: (values[name] - low) / (high - low) for name in self.modalities}
        folds = without or [None] * len(targets)
        rows = [
            self({name: volume[row] for name, volume in shown.items()}, target, fold)
            for row, (target, fold) in enumerate(zip(targets, folds, strict=True))
        ]
        return torch.stack(rows) * (high - low) + low

    def _ways(self) -> "list[Way]":
        return [way for way in self.ways if isinstance(way, Way)]

    def _seen(self, fold: int, volumes: Volumes, target: str) -> Seen:
        """The head is that of all images but the target, which is not there to be looked at."""
        shown = torch.cat([volumes[name] for name in self.names]).float()
        there = ~shown.isnan().flatten(1).any(1)
        shown = shown.nan_to_num(0.0)
        others = [index for index, name in enumerate(self.names) if name != target]
        head = (shown[others] > 0).any(0)
        terms, inside = terms_of(shown * head, self.regression.levels, self.regression.ranks)
        if not terms.shape[1]:
            there = torch.zeros_like(there)  # an empty head says nothing
            return Seen(fold, there, terms.new_zeros(0, 0), terms)
        every = slice(None, None, max(1, terms.shape[1] // VOXELS))
        regressors = _products(terms[:, every].double())
        mean = regressors @ regressors.T / regressors.shape[1]
        return Seen(fold, there, mean, torch.cat([terms, places_of(inside)])[:, every])


class Way(nn.Module):
    """One target from one set of images: of everybody, then of everybody but each fold.

    fitted: 1 where somebody was left to learn from. coefficients: in the order of `_products`.
    """

    fitted: Tensor
    coefficients: Tensor

    def __init__(
        self, regression: Regression, names: Sequence[str], target: str, images: Sequence[str]
    ) -> None:
        super().__init__()
        self.regression, self.names = regression, tuple(names)
        self.target, self.images = target, tuple(images)
        folds = regression.folds if regression.folds > 1 else 0
        self.groups: list[int | None] = [None, *range(folds)]
        terms, width = len(regression.owners(len(images))), regression.hidden
        self.register_buffer("fitted", torch.zeros(len(self.groups)))
        count = (terms + 1) * (terms + 2) // 2
        self.register_buffer("coefficients", torch.zeros(len(self.groups), count))
        members = max(1, folds)
        self.perceptrons = Perceptrons(members, terms + PLACES, width) if width else None

    @property
    def known(self) -> bool:
        """Whether anybody had it."""
        return bool(self.fitted[0])

    def forward(
        self, terms: Float[Tensor, "f v"], places: Float[Tensor, "3 v"], without: int | None
    ) -> Float[Tensor, "v"]:
        """The target of voxels, in [0, 1]."""
        group = self.groups.index(without) if without in self.groups else 0
        group = group if bool(self.fitted[group]) else 0
        made = _quadratic(terms, self.coefficients[group]).clamp(0, 1)
        if self.perceptrons is None:
            return made
        members = [group - 1] if group else range(max(1, len(self.groups) - 1))
        told = self.perceptrons(torch.cat([terms, places]), members)
        return (made + told.clamp(0, 1)) / 2

    def fit(self, seen: Sequence[Seen]) -> None:
        """On all who have its images."""
        needed = [self.names.index(name) for name in (*self.images, self.target)]
        usable = [each for each in seen if bool(each.there[needed].all())]
        normals = [self._normal(each.mean) for each in usable]
        errors = torch.full((len(self.groups), len(usable)), torch.inf, dtype=torch.float64)
        self.fitted.zero_()
        for row, group in enumerate(self.groups):
            chosen = [at for at, each in enumerate(usable) if each.fold != group]
            if not chosen or (group is not None and len(chosen) == len(usable)):
                continue
            coefficients, errors[row, chosen] = self._solved([normals[at] for at in chosen])
            self.coefficients[row], self.fitted[row] = coefficients.to(self.coefficients), 1.0
        if self.perceptrons is not None and usable:
            self._teach(usable, 1 / errors.clamp(min=SMALLEST))

    def _teach(self, usable: Sequence[Seen], shares: Float[Tensor, "g p"]) -> None:
        """The perceptrons, each by all but its fold; by all where nobody is in it, or all are."""
        assert self.perceptrons is not None
        rows = [*self._rows(), *range(-PLACES, 0)]
        owner = torch.cat([torch.full_like(x.terms[0], i).long() for i, x in enumerate(usable)])
        terms = torch.cat([each.terms[rows] for each in usable], 1).T.contiguous()
        wanted = torch.cat([each.terms[self.names.index(self.target)] for each in usable])
        taught = [g if bool(self.fitted[g]) else 0 for g in range(len(self.groups))][1:] or [0]
        weights = shares[taught][:, owner].float()
        self.perceptrons.fit(terms, wanted, weights, self.regression.lessons)

    def _solved(self, normal: Sequence[Normal]) -> tuple[Tensor, Tensor]:
        """The coefficients and everybody's squared error."""
        share = torch.ones(len(normal), dtype=torch.float64)
        left, right, square = (torch.stack(each) for each in zip(*normal, strict=True))
        for _ in range(1 + self.regression.rounds):
            share = share / share.sum()
            total = torch.tensordot(share, left, 1)
            penalty = (self.regression.ridge * total.diagonal()).clamp(min=1e-12)
            penalty[0] = 0  # the constant
            weights = torch.linalg.solve(total + penalty.diag(), share @ right)
            error = square - 2 * right @ weights + left @ weights @ weights
            share = 1 / error.clamp(min=SMALLEST)
        return weights, error

    def _normal(self, mean: Float[Tensor, "r r"]) -> Normal:
        """What least squares needs of a person."""
        terms, count = self._rows(), len(self.regression.owners(len(self.names)))
        pairs = torch.triu_indices(count, count).T.tolist()
        place = {(i, j): 1 + count + index for index, (i, j) in enumerate(pairs)}
        products = [place[i, j] for at, i in enumerate(terms) for j in terms[at:]]
        own, wanted = [0, *(1 + term for term in terms), *products], self.names.index(self.target)
        return mean[own][:, own], mean[own, 1 + wanted], mean[0, place[wanted, wanted]]

    def _rows(self) -> list[int]:
        """Where the terms of its images are among those of all."""
        own = {None, *(self.names.index(name) for name in self.images)}
        owners = self.regression.owners(len(self.names))
        return [at for at, owner in enumerate(owners) if owner in own]


def _sets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Every set of them but the empty one, the smallest first."""
    return [each for size in range(len(names)) for each in combinations(names, size + 1)]


def _products(terms: Float[Tensor, "f v"]) -> Float[Tensor, "r v"]:
    """1, the terms, their products of two in order."""
    i, j = torch.triu_indices(len(terms), len(terms))
    return torch.cat([torch.ones_like(terms[:1]), terms, terms[i] * terms[j]])


def _quadratic(terms: Float[Tensor, "f v"], weights: Float[Tensor, "r"]) -> Float[Tensor, "v"]:
    """weights @ _products(terms), without making the products."""
    count = len(terms)
    matrix = terms.new_zeros(count, count)
    i, j = torch.triu_indices(count, count)
    matrix[i, j] = weights[1 + count :]
    return weights[0] + ((weights[1 : 1 + count, None] + matrix @ terms) * terms).sum(0)
