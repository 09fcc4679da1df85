"""A first guess of a missing modality: a voxel-wise polynomial of the images that are there."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from brainweave.errors import RecipeError
from brainweave.part import Part

Volumes = Mapping[str, Tensor]  # by modality, [... i j k] in [0, 1], NaN where missing
RIDGE = 1e-9  # of the mean square of each feature: two images may be one


class Fit(Part):
    """The coefficients of one target from one set of images: constant, images, then products."""

    target: str
    images: tuple[str, ...] = Field(min_length=1)
    coefficients: tuple[float, ...]


class Regression(Part):
    """Least squares of degree 2 inside the head, for every target and every subset of images.

    What a model that has learnt something must beat, and where `Informed` may start. The head is
    where any of the images used is above 0. fits: None until `fit`.
    """

    fits: tuple[Fit, ...] | None = None

    def fit(
        self, subjects: Iterable[Volumes], targets: Sequence[str], modalities: Sequence[str]
    ) -> "Regression":
        """On whole subjects, each counted by its voxels; a subject serves every fit that it has
        all images of. Raises RecipeError for a target and subset that nobody has."""
        names = tuple(dict.fromkeys((*targets, *modalities)))
        grams = [_gram(volumes, names) for volumes in subjects]
        fits = []
        for target in targets:
            others = [name for name in modalities if name != target]
            for size in range(1, len(others) + 1):
                for images in combinations(others, size):
                    weights = _solved(grams, names, target, images)
                    fits.append(Fit(target=target, images=images, coefficients=weights))
        return Regression(fits=tuple(fits))

    def __call__(self, volumes: Volumes, target: str) -> Float[Tensor, "..."]:
        """The guess of one subject's `target` from its images that are there, in [0, 1], 0 outside
        the head. Raises RecipeError where there is no fit for them."""
        if self.fits is None:
            raise RecipeError("the regression has not been fitted; training does it before step 1")
        there = {name: v for name, v in volumes.items() if not bool(v.isnan().any())}
        for fit in self.fits:
            if fit.target == target and set(fit.images) == there.keys() - {target}:
                images = torch.stack([there[name] for name in fit.images])
                guess = images.new_tensor(fit.coefficients) @ _features(images).flatten(1)
                head = (images > 0).any(0)
                return torch.where(head, guess.reshape(images.shape[1:]).clamp(0, 1), 0.0)
        raise RecipeError(f"no fit of {target} from {', '.join(there) or 'nothing'}")


def _features(images: Float[Tensor, "n *space"]) -> Float[Tensor, "f *space"]:
    """1, the images, their products of two in order."""
    count = len(images)
    products = [images[i] * images[j] for i in range(count) for j in range(i, count)]
    return torch.stack([torch.ones_like(images[0]), *images, *products])


def _places(names: Sequence[str], images: Sequence[str]) -> list[int]:
    """Where the features of `images` stand among those of `names`."""
    count, at = len(names), [names.index(name) for name in images]
    pairs = [(i, j) for i in range(count) for j in range(i, count)]
    products = [(at[i], at[j]) for i in range(len(at)) for j in range(i, len(at))]
    found = [pairs.index((min(pair), max(pair))) for pair in products]
    return [0, *(1 + place for place in at), *(1 + count + place for place in found)]


def _gram(volumes: Volumes, names: Sequence[str]) -> dict[str, Tensor]:
    """Sums of products of the features of a subject in its head; `there` says of which images."""
    shown = torch.stack([volumes[name].reshape(-1).double() for name in names])
    there = ~shown.isnan().any(1)
    shown = shown.nan_to_num(0.0)
    features = _features(shown[:, (shown > 0).any(0)])
    return {"gram": features @ features.T, "there": there}


def _solved(
    grams: Sequence[Mapping[str, Tensor]], names: Sequence[str], target: str, images: Sequence[str]
) -> tuple[float, ...]:
    """The coefficients of one fit over the subjects that have its images."""
    needed = [names.index(name) for name in (*images, target)]
    usable = [gram["gram"] for gram in grams if bool(gram["there"][needed].all())]
    if not usable:
        raise RecipeError(f"nobody has {target} beside {' and '.join(images)}: nothing to fit")
    total = torch.stack(usable).sum(0)
    places = _places(names, images)
    left = total[places][:, places]
    right = total[places, 1 + names.index(target)]
    left = left + RIDGE * left.diagonal().diag()
    return tuple(torch.linalg.solve(left, right).tolist())
