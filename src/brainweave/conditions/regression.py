"""A first guess of a missing modality: voxel by voxel from the images that are there and what
surrounds it. What a network has to beat, and a place for it to start from."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from brainweave.conditions.perceptron import SMALLEST, Lesson, Perceptron, taught
from brainweave.conditions.surroundings import owners_of, terms_of
from brainweave.data.seeds import derive
from brainweave.errors import RecipeError
from brainweave.part import Part

Volumes = Mapping[str, Tensor]  # by modality, [1 i j k] in [0, 1], NaN where missing
Normal = tuple[Tensor, Tensor, Tensor]  # mean x x', x y and y y of a person
VOXELS = 12_000  # of a subject that are looked at, evenly over its head
EVERY = 2  # of these is one that a perceptron learns from


class Fit(Part):
    """The coefficients of one target from one set of images, in the order of `_products`.

    without: the fold whose persons had no part in it; None: all had.
    """

    without: int | None = None
    target: str
    images: tuple[str, ...] = Field(min_length=1)
    coefficients: tuple[float, ...]


class Regression(Part):
    """Least squares for every target and every subset of images, inside the head.

    Regressors are a constant, the images, their ranks in the head (the share of it that is
    darker), their means and standard deviations over the head around a voxel at `levels` scales
    (each twice as wide), the share of head around it at these scales, and all products of two of
    these. With `levels` 0, without `ranks` and `rounds` it is the quadratic regression that BraTS
    floors are told by. The head is where any of the images is above 0.

    rounds: least squares again so often, each person counted by the inverse of its squared error,
        so that the mean over persons of the error in dB falls.
    ridge: of the mean square of each regressor.
    hidden: width of a `Perceptron` on the same terms, taught by so many `lessons`, batches of
        voxels; the guess is then the mean of both (0: none).
    folds: a network that starts from the guess is trained on guesses that its subject had no part
        in, as it will see them later: persons are shared out over so many, by their ids (1: not).
    fits, perceptrons: None until `fit`.
    """

    levels: int = Field(default=4, ge=0, le=8)
    ranks: bool = True
    rounds: int = Field(default=1, ge=0)
    ridge: float = Field(default=2e-3, gt=0)
    hidden: int = Field(default=0, ge=0)
    lessons: int = Field(default=3000, ge=1)
    folds: int = Field(default=4, ge=1)
    fits: tuple[Fit, ...] | None = None
    perceptrons: tuple[Perceptron, ...] | None = None

    @model_validator(mode="after")
    def _fits_these_terms(self) -> "Regression":
        for fit in self.fits or ():
            count = len(self._owners(len(fit.images)))
            needed = (count + 1) * (count + 2) // 2
            if len(fit.coefficients) != needed:
                raise ValueError(
                    f"the fit of {fit.target} from {', '.join(fit.images)} has "
                    f"{len(fit.coefficients)} coefficients where {needed} are needed: it was made "
                    "with other regressors; train again"
                )
        for found in self.perceptrons or ():
            if len(found.centre) != (count := len(self._owners(len(found.names)))):
                raise ValueError(
                    f"a perceptron sees {len(found.centre)} terms where there are {count}: it was "
                    "taught with other regressors; train again"
                )
        return self

    def fold(self, person: str) -> int:
        """Of a person."""
        return derive("fold", person) % self.folds

    def fit(
        self,
        subjects: Iterable[tuple[str, Volumes]],
        targets: Sequence[str],
        modalities: Sequence[str],
    ) -> "Regression":
        """On persons and their volumes, each counted alike; everybody serves every fit that they
        have all images of. Raises RecipeError for a target that nobody has beside another image."""
        names = tuple(dict.fromkeys((*targets, *modalities)))
        moments = [
            (self.fold(person), {t: self._moments(volumes, names, t) for t in targets})
            for person, volumes in subjects
        ]
        fits: list[Fit] = []
        for target in targets:
            own, others = [(f, m[target]) for f, m in moments], set(modalities) - {target}
            wanted = [i for n in range(len(others)) for i in _chosen(names, others, n + 1)]
            found = [fit for images in wanted for fit in self._fitted(own, names, target, images)]
            if not found:
                raise RecipeError(
                    f"nobody has {target} beside {' or '.join(sorted(others))}: leave it out of "
                    "the modalities, or the regression out of the recipe (regression=none)"
                )
            fits += found
        return self.replace(fits=tuple(fits), perceptrons=self._taught(moments, names, targets))

    def __call__(
        self, volumes: Volumes, target: str, without: int | None = None
    ) -> Float[Tensor, "1 i j k"]:
        """The guess of one subject's `target` from its images that are there, in [0, 1], 0 outside
        the head; from the most of them that there is a fit for. without: a fold that had no part,
        if there are others. Raises RecipeError where there is no fit for any."""
        if self.fits is None:
            raise RecipeError("the regression has not been fitted; training does it before step 1")
        there = {n for n, v in volumes.items() if n != target and not bool(v.isnan().any())}
        own = [f for f in self.fits if f.target == target and set(f.images) <= there]
        if not own:
            raise RecipeError(f"no fit of {target} from {', '.join(sorted(there)) or 'nothing'}")
        most = max(own, key=lambda fit: len(fit.images)).images
        by_fold = {fit.without: fit for fit in own if fit.images == most}
        fit = by_fold.get(without, by_fold[None])
        images = torch.cat([volumes[name] for name in fit.images]).float()
        with torch.autocast(images.device.type, enabled=False):
            terms, head = terms_of(images, self.levels, self.ranks)
            made = _quadratic(terms, terms.new_tensor(fit.coefficients)).clamp(0, 1)
            if perceptron := self._perceptron(without):
                rows = self._rows(perceptron.names, fit.images)
                made = (made + perceptron(terms, rows, fit.images, target).clamp(0, 1)) / 2
            guess = torch.zeros_like(images[:1])
            guess[0, head] = made
        return guess

    def unfitted(self) -> "Regression":
        """Without its fits."""
        return self.replace(fits=None, perceptrons=None)

    def _perceptron(self, without: int | None) -> Perceptron | None:
        """The one that a fold had no part in, or the one of all."""
        by_fold = {found.without: found for found in self.perceptrons or ()}
        return by_fold.get(without, by_fold.get(None))

    def _taught(
        self,
        moments: Sequence[tuple[int, Mapping[str, Mapping[str, Tensor]]]],
        names: tuple[str, ...],
        targets: Sequence[str],
    ) -> tuple[Perceptron, ...] | None:
        """On everybody, then on all but each fold."""
        if not self.hidden:
            return None
        wanted = [(target, names.index(target)) for target in targets]
        lessons = [
            Lesson(fold, at, m[target]["there"], m[target]["terms"])
            for fold, m in moments
            for target, at in wanted
            if bool(m[target]["there"][at]) and int(m[target]["there"].sum()) > 1
        ]
        groups = [(w, [x for x in lessons if x.fold != w]) for w in self._withouts()]
        owners, width, steps = self._owners(len(names)), self.hidden, self.lessons
        return tuple(
            taught(group, names, owners, width=width, steps=steps, without=without)
            for without, group in groups
            if group and (without is None or len(group) < len(lessons))
        )

    def _withouts(self) -> list[int | None]:
        """Nobody is left out, then each fold is."""
        return [None, *range(self.folds if self.folds > 1 else 0)]

    def _moments(self, volumes: Volumes, names: Sequence[str], target: str) -> dict[str, Tensor]:
        """Mean products of all regressors over the head of a subject; which images it has.

        The head is that of all images but the target, which is not there to be looked at."""
        shown = torch.cat([volumes[name] for name in names]).float()
        there = ~shown.isnan().flatten(1).any(1)
        shown = shown.nan_to_num(0.0)
        others = [index for index, name in enumerate(names) if name != target]
        head = (shown[others] > 0).any(0)
        terms, _ = terms_of(shown * head, self.levels, self.ranks)
        if not terms.shape[1]:
            there = torch.zeros_like(there)  # an empty head says nothing
        terms = terms[:, :: max(1, terms.shape[1] // VOXELS)].double()
        regressors = _products(terms)
        mean = regressors @ regressors.T / max(1, terms.shape[1])
        kept = terms[:, ::EVERY] if self.hidden else terms[:, :0]
        return {"mean": mean, "there": there, "terms": kept.float()}

    def _fitted(
        self,
        moments: Sequence[tuple[int, Mapping[str, Tensor]]],
        names: Sequence[str],
        target: str,
        images: Sequence[str],
    ) -> list[Fit]:
        """One target from one set of images: on all that have them, then on all but each fold."""
        needed = [names.index(name) for name in (*images, target)]
        usable = [(fold, m["mean"]) for fold, m in moments if bool(m["there"][needed].all())]
        own, squared = self._places(names, images, names.index(target))
        wanted, fits = 1 + names.index(target), list[Fit]()
        for without in self._withouts():
            rest = [mean for fold, mean in usable if fold != without]
            if not rest or (without is not None and len(rest) == len(usable)):
                continue
            normal = [(m[own][:, own], m[own, wanted], m[0, squared]) for m in rest]
            weights = self._solved(normal)
            fits.append(Fit(without=without, target=target, images=images, coefficients=weights))
        return fits

    def _solved(self, normal: Sequence[Normal]) -> tuple[float, ...]:
        """The coefficients, rounded so that they are short to write down."""
        share = torch.ones(len(normal), dtype=torch.float64)
        left, right, square = (torch.stack(each) for each in zip(*normal, strict=True))
        for _ in range(1 + self.rounds):
            share = share / share.sum()
            total = torch.tensordot(share, left, 1)
            penalty = (self.ridge * total.diagonal()).clamp(min=1e-12)
            penalty[0] = 0  # the constant
            weights = torch.linalg.solve(total + penalty.diag(), share @ right)
            error = square - 2 * right @ weights + left @ weights @ weights
            share = 1 / error.clamp(min=SMALLEST)
        return tuple(float(f"{weight:.7g}") for weight in weights.tolist())

    def _rows(self, names: Sequence[str], images: Sequence[str]) -> list[int]:
        """Where the terms of `images` are among those of `names`."""
        own = {None, *(names.index(name) for name in images)}
        return [at for at, owner in enumerate(self._owners(len(names))) if owner in own]

    def _owners(self, count: int) -> list[int | None]:
        return owners_of(count, self.levels, self.ranks)

    def _places(
        self, names: Sequence[str], images: Sequence[str], target: int
    ) -> tuple[list[int], int]:
        """Where the regressors of `images` are among those of `names`, and the target's square."""
        terms, count = self._rows(names, images), len(self._owners(len(names)))
        pairs = torch.triu_indices(count, count).T.tolist()
        place = {(i, j): 1 + count + index for index, (i, j) in enumerate(pairs)}
        products = [place[i, j] for at, i in enumerate(terms) for j in terms[at:]]
        return [0, *(1 + term for term in terms), *products], place[target, target]


def _chosen(names: Sequence[str], some: set[str], size: int) -> list[tuple[str, ...]]:
    """Every set of so many of `some`, in the order of `names`."""
    return list(combinations([name for name in names if name in some], size))


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
