"""A first guess of a missing modality: voxel by voxel from the images that are there, in closed
form. What a network has to beat, and a place for it to start from."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from brainweave.data.seeds import derive
from brainweave.errors import RecipeError
from brainweave.part import Part

Volumes = Mapping[str, Tensor]  # by modality, [1 i j k] in [0, 1], NaN where missing
VOXELS = 30_000  # of a subject that are looked at, evenly over its head
EMPTY = 1e-3  # a mean over less head than this is none


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

    Regressors are a constant, the images, their means over the head around a voxel at `levels`
    scales (each twice as wide), the share of head around it at these scales, and all products of
    two of these. With `levels` 0 it is the quadratic regression that BraTS floors are told by.
    The head is where any of the images is above 0. ridge: of the mean square of each regressor.
    folds: a network that starts from the guess is trained on guesses that its subject had no part
        in, as it will see them later: persons are shared out over so many, by their ids (1: not).
    fits: None until `fit`.
    """

    levels: int = Field(default=4, ge=0, le=8)
    ridge: float = Field(default=1e-4, gt=0)
    folds: int = Field(default=4, ge=1)
    fits: tuple[Fit, ...] | None = None

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
        return self.replace(fits=tuple(fits))

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
            terms = self._terms(images).flatten(1)
            guess = _quadratic(terms, terms.new_tensor(fit.coefficients))
        head = (images > 0).any(0, keepdim=True)
        return torch.where(head, guess.reshape(head.shape).clamp(0, 1), 0.0)

    def unfitted(self) -> "Regression":
        """Without its fits."""
        return self.replace(fits=None)

    def _terms(self, images: Float[Tensor, "n i j k"]) -> Float[Tensor, "f i j k"]:
        """The images, then at every scale their means around each voxel and the share of head."""
        found, (i, j, k) = [images], images.shape[1:]
        head = (images > 0).any(0, keepdim=True).to(images)
        margins = [-edge % 2 ** max(self.levels - 1, 0) for edge in (i, j, k)]
        before = [margin // 2 for margin in margins]
        sides = zip(reversed(before), reversed(margins), strict=True)  # the last axis first
        padding = [width for low, margin in sides for width in (low, margin - low)]
        x = F.pad(torch.cat([images * head, head])[None], padding)
        size = x.shape[2:]
        inner = [slice(low, low + edge) for low, edge in zip(before, (i, j, k), strict=True)]
        for level in range(self.levels):
            x = _smoothed(x)
            full = F.interpolate(x, size=size, mode="trilinear")[0] if level else x[0]
            full = full[:, inner[0], inner[1], inner[2]]
            found += [full[:-1] / full[-1:].clamp(min=EMPTY), full[-1:]]
            halves = tuple(2 if edge > 1 else 1 for edge in x.shape[2:])
            x = F.avg_pool3d(x, halves, ceil_mode=True, count_include_pad=False)
        return torch.cat(found)

    def _moments(self, volumes: Volumes, names: Sequence[str], target: str) -> dict[str, Tensor]:
        """Mean products of all regressors over the head of a subject; which images it has.

        The head is that of all images but the target, which is not there to be looked at."""
        shown = torch.cat([volumes[name] for name in names]).float()
        there = ~shown.isnan().flatten(1).any(1)
        shown = shown.nan_to_num(0.0)
        others = [index for index, name in enumerate(names) if name != target]
        head = (shown[others] > 0).any(0)
        terms = self._terms(shown * head)[:, head]
        if not terms.shape[1]:
            there = torch.zeros_like(there)  # an empty head says nothing
        terms = terms[:, :: max(1, terms.shape[1] // VOXELS)].double()
        regressors = _products(terms)
        return {"mean": regressors @ regressors.T / max(1, terms.shape[1]), "there": there}

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
        own, wanted, fits = self._places(names, images), 1 + names.index(target), []
        for without in (None, *range(self.folds if self.folds > 1 else 0)):
            rest = [mean for fold, mean in usable if fold != without]
            if not rest or (without is not None and len(rest) == len(usable)):
                continue
            total = torch.stack(rest).mean(0)
            weights = self._solved(total[own][:, own], total[own, wanted])
            fits.append(Fit(without=without, target=target, images=images, coefficients=weights))
        return fits

    def _solved(self, left: Float[Tensor, "r r"], right: Float[Tensor, "r"]) -> tuple[float, ...]:
        """The coefficients, rounded so that they are short to write down."""
        penalty = (self.ridge * left.diagonal()).clamp(min=1e-12)
        penalty[0] = 0  # the constant
        weights = torch.linalg.solve(left + penalty.diag(), right)
        return tuple(float(f"{weight:.7g}") for weight in weights.tolist())

    def _places(self, names: Sequence[str], images: Sequence[str]) -> list[int]:
        """Where the regressors of `images` stand among those of `names`."""
        per = [names.index(name) for name in images]
        block = len(names) + 1
        terms = list(per)
        for level in range(self.levels):
            start = len(names) + level * block
            terms += [*(start + place for place in per), start + len(names)]
        count = len(names) + self.levels * block
        pairs = torch.triu_indices(count, count).T.tolist()
        place = {(i, j): index for index, (i, j) in enumerate(pairs)}
        products = [(terms[i], terms[j]) for i in range(len(terms)) for j in range(i, len(terms))]
        return [0, *(1 + t for t in terms), *(1 + count + place[min(p), max(p)] for p in products)]


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


def _smoothed(x: Float[Tensor, "1 c i j k"]) -> Float[Tensor, "1 c i j k"]:
    """Weights 1 2 1 along every axis; beyond the border is 0."""
    kernel = x.new_tensor([0.25, 0.5, 0.25])
    rows = x.transpose(0, 1)
    for axis in range(3):
        shape, padding = [1, 1, 1, 1, 1], [0, 0, 0]
        shape[2 + axis], padding[axis] = 3, 1
        rows = F.conv3d(rows, kernel.view(shape), padding=padding)
    return rows.transpose(0, 1)
