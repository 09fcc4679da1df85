"""Augmentation: seeded maps of one preprocessed volume that leave its background alone.

A new augmentation is a pair of fields (probability, size) and a step in `moved` or `toned`.
"""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from brainweave.data.seeds import generator
from brainweave.data.warp import BOUND, control_points, displacement
from brainweave.part import Part

Probability = Annotated[float, Field(ge=0, le=1)]
Size = Annotated[float, Field(ge=0)]


class Augment(Part):
    """What is done to a volume, each with its own probability; as it stands only a flip.

    flip: left and right, along i. affine: a rotation about each axis (up to `rotation` degrees), a
    zoom (up to a fraction of `scale`) and a shift (up to `shift` voxels), interpolated linearly.
    elastic: an invertible free-form deformation that leaves the border in place; control points
    `control_spacing` voxels apart or more move by up to `displacement` voxels along each axis, and
    what is between them by about a fifth of that (standard deviation). intensity: contrast times up
    to 1 + `gain` or its inverse, the power of up to 1 + `gamma` or its inverse. noise: Gaussian, of
    standard deviation `sd`, a fraction of the intensity range.
    """

    flip: Probability = 0.5
    affine: Probability = 0.0
    rotation: Size = 5.0
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.05
    shift: Size = 2.0
    elastic: Probability = 0.0
    displacement: Size = 4.0
    control_spacing: Annotated[float, Field(ge=2)] = 15.0
    intensity: Probability = 0.0
    gain: Size = 0.1
    gamma: Size = 0.1
    noise: Probability = 0.0
    sd: Size = 0.02

    @model_validator(mode="after")
    def _invertible(self) -> "Augment":
        largest = BOUND * self.control_spacing
        if self.displacement > largest * (1 + 1e-5):  # what the message allows must pass
            raise ValueError(
                f"a displacement of {self.displacement:g} voxels can fold what is between control "
                f"points {self.control_spacing:g} apart; set at most {largest:g}"
            )
        return self

    def __call__(
        self,
        x: Float[Tensor, "1 i j k"],
        *,
        low: float,
        high: float,
        seed: int,
        background: float | None = None,
        contrast: str = "",
    ) -> Float[Tensor, "1 i j k"]:
        """x with every step that `seed` draws; a pure function of its arguments.

        low, high: the declared range, which is not left. background: the value outside the head,
        `low` where not given; such voxels keep it but for what moves them. contrast: volumes of
        one subject share a seed and hence move alike; this name gives each its own intensity and
        noise.
        """
        background = low if background is None else background
        x = self.moved(x, seed=seed, background=x.new_tensor([background])).clamp(low, high)
        return self.toned(
            x, low=low, high=high, seed=seed, background=background, contrast=contrast
        )

    def moved(
        self,
        x: Float[Tensor, "n i j k"],
        *,
        seed: int,
        background: Float[Tensor, "n"],
        labels: bool = False,
    ) -> Float[Tensor, "n i j k"]:
        """Volumes of one subject, flipped and moved alike. labels: the nearest voxel is taken."""
        random = generator("augment", seed)
        flip, affine = torch.rand(2, generator=random).tolist()
        x = x.flip(1) if flip < self.flip else x
        matrix = self._matrix(random) if affine < self.affine else None
        control = self._control(x.shape[1:], generator("elastic", seed))
        if matrix is None and control is None:
            return x
        grid = _grid(x, matrix, control)
        outside = background[:, None, None, None]
        moved = _sample(x - outside, grid, "nearest" if labels else "bilinear") + outside
        if labels:
            return moved
        # interpolation would widen the head by a rim of faint voxels
        head = _sample((x != outside).to(x), grid, "nearest") > 0
        return torch.where(head, moved, outside)

    def toned(
        self,
        x: Float[Tensor, "1 i j k"],
        *,
        low: float,
        high: float,
        seed: int,
        background: float,
        contrast: str = "",
    ) -> Float[Tensor, "1 i j k"]:
        """One volume with its intensities changed."""
        random = generator("augment", seed, contrast)
        intensity, noise, gain, gamma = torch.rand(4, generator=random).tolist()
        head = x != background
        if intensity < self.intensity:
            power = (1 + self.gamma) ** (2 * gamma - 1)
            factor = (1 + self.gain) ** (2 * gain - 1)
            changed = low + (high - low) * factor * ((x - low) / (high - low)) ** power
            x = torch.where(head, changed.clamp(low, high), x)
        if noise < self.noise:
            drawn = torch.randn(x.shape, generator=random).to(x.device)
            x = torch.where(head, (x + self.sd * (high - low) * drawn).clamp(low, high), x)
        return x

    def _matrix(self, random: torch.Generator) -> Float[Tensor, "3 4"]:
        """From voxels of the result to voxels of the source, both counted from the middle."""
        drawn = 2 * torch.rand(7, generator=random, dtype=torch.float64) - 1
        angles = torch.deg2rad(self.rotation * drawn[:3])
        matrix = (1 + self.scale) ** drawn[3] * torch.eye(3, dtype=torch.float64)
        for axis, (cos, sin) in enumerate(zip(angles.cos(), angles.sin(), strict=True)):
            turn = torch.eye(3, dtype=torch.float64)
            a, b = (other for other in range(3) if other != axis)
            turn[a, a], turn[a, b], turn[b, a], turn[b, b] = cos, -sin, sin, cos
            matrix = turn @ matrix
        return torch.cat([matrix, self.shift * drawn[4:, None]], dim=1)

    def _control(
        self, shape: tuple[int, ...], random: torch.Generator
    ) -> Float[Tensor, "a b c 3"] | None:
        """Displacements of the control points, in voxels of the result, if they move."""
        drawn = float(torch.rand(1, generator=random))
        if drawn >= self.elastic or not self.displacement:
            return None
        return control_points(
            shape, spacing=self.control_spacing, largest=self.displacement, random=random
        )


def _grid(
    x: Float[Tensor, "n i j k"],
    matrix: Float[Tensor, "3 4"] | None,
    control: Float[Tensor, "a b c 3"] | None,
) -> Float[Tensor, "1 i j k 3"]:
    """Where voxels of the result come from: displaced, then transformed. Voxels are taken as
    cubes."""
    half = (torch.tensor(x.shape[1:], dtype=torch.float64) - 1).clamp_min(1) / 2
    matrix = torch.eye(3, 4, dtype=torch.float64) if matrix is None else matrix
    scaled = torch.cat([matrix[:, :3] * half, matrix[:, 3:]], dim=1) / half[:, None]
    order = [2, 1, 0]  # grid_sample counts axes from the last
    scaled = scaled[order][:, [*order, 3]].to(x)
    grid = functional.affine_grid(scaled[None], [1, *x.shape], align_corners=True)
    if control is None:
        return grid
    turned = (control @ matrix[:, :3].T / half)[..., order]  # few beside the voxels
    return grid + displacement(turned.to(x), x.shape[1:])


def _sample(
    x: Float[Tensor, "n i j k"], grid: Float[Tensor, "1 i j k 3"], mode: str
) -> Float[Tensor, "n i j k"]:
    """x at the positions of a grid, 0 beyond its border."""
    return functional.grid_sample(x[None], grid, mode=mode, align_corners=True)[0]
