"""The maps that an atlas holds, fitted to a cohort, and what data are like by them."""

from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from brainweave.atlas import Atlas
from brainweave.colouring import colouring, fields, following
from brainweave.conditions.base import Covariate
from brainweave.conditions.hiding import Keep
from brainweave.errors import RecipeError
from brainweave.representations.base import uncast, whitening

Coefficients = Float[Tensor, "b c i j k"]
Shown = tuple[Tensor, Tensor]  # regressors of a volume and the coefficients of all its views
VOLUMES = 256  # at most, with all their views, are shown to the modes
COLOURING = 32  # of them to what colours the rest, which is alike everywhere
TINY = 1e-12


class Maps(nn.Module):
    """What an atlas holds: maps of coefficients for the mean and, of the leading channels, each
    regressor; what is left is divided by once the mean is gone, per channel or per voxel; the modes
    of what is left then, what makes the other channels follow, the standard deviation of what all
    this leaves, what colours it, and the root of the covariance of the regressors."""

    maps: Tensor
    mean: Tensor
    centre: Tensor
    scale: Tensor
    modes: Tensor
    rest: Tensor
    colour: Tensor
    detail: Tensor
    spread: Tensor

    def __init__(self, atlas: Atlas, covariates: Sequence[Covariate], shape: Sequence[int]) -> None:
        super().__init__()
        self.atlas = atlas
        self.covariates = covariates
        leading = min(atlas.leading or shape[0], shape[0])
        count = sum(c.regressors(torch.zeros(1, c.size)).shape[1] for c in covariates)
        self.register_buffer("maps", torch.zeros(1 + count, leading, *shape[1:]))
        if leading < shape[0]:
            self.register_buffer("mean", torch.zeros(shape[0] - leading, *shape[1:]))
        self.register_buffer("centre", torch.zeros(count))
        alike = (shape[0], 1, 1, 1) if atlas.scale == "channel" else shape
        self.register_buffer("scale", torch.ones(*alike))
        if atlas.modes:
            self.register_buffer("modes", torch.zeros(atlas.modes, leading, *shape[1:]))
            self.register_buffer("rest", torch.ones(*shape))
            self.register_buffer("spread", torch.zeros(count, count))
            if self._follows:
                kernel = (2 * (atlas.detail or 0) + 1,) * 3
                self.register_buffer("detail", torch.zeros(shape[0] - leading, leading, *kernel))
            if atlas.reach is not None:
                kernel = (2 * atlas.reach + 1,) * 3
                self.register_buffer("colour", torch.zeros(shape[0], shape[0], *kernel))

    def forward(self, values: Mapping[str, Tensor], keep: Keep) -> Coefficients:
        """The mean for every row of values, of which those that are kept are heard."""
        with uncast(self.maps):
            known = torch.tensordot(self._rows(values, keep), self.maps, 1)
            if not hasattr(self, "mean"):
                return known
            return torch.cat([known, self.mean.expand(len(known), *self.mean.shape)], dim=1)

    def begin(
        self,
        noise: Coefficients,
        alpha: Tensor,
        sigma: Tensor,
        *,
        sources: Sequence[torch.Generator],
        values: Mapping[str, Tensor],
        keep: Keep,
    ) -> Coefficients:
        """x_t = alpha x_1 + sigma noise of data drawn as from a normal distribution, one volume of
        each source; what is not known of it differs as in the cohort. The noise itself where there
        are no modes."""
        if not self.atlas.modes:
            return noise
        shapes = [(len(self.modes),), self.rest.shape, self.centre.shape]
        drawn = [[torch.randn(shape, generator=each) for shape in shapes] for each in sources]
        for row, source in zip(drawn, sources, strict=True):
            row[0] = self._weights(row[0], source)
        with uncast(self.modes):
            weights, rest, kinds = (torch.stack(d).to(noise) for d in zip(*drawn, strict=True))
            unknown = torch.where(self._known(values, keep)[1], 0.0, kinds @ self.spread)
            leading = self.modes.shape[1]
            if self.atlas.reach is not None:
                rest = F.conv3d(rest, self.colour, padding=self.atlas.reach)
            data = self.rest * rest
            data[:, :leading] += torch.einsum("bmijk,mcijk->bcijk", weights, self.modes)
            data[:, :leading] += torch.tensordot(unknown, self.maps[1:], 1) / self.scale[:leading]
            if self._follows:
                data[:, leading:] += self._followed(data[:, :leading])
            return alpha * data + sigma * noise

    @property
    def _follows(self) -> bool:
        """Whether other channels follow the leading ones."""
        return self.atlas.detail is not None and hasattr(self, "mean")

    def _followed(self, leading: Float[Tensor, "b a i j k"]) -> Coefficients:
        """What the leading channels say of the others."""
        kernel = self.detail.to(leading)
        return F.conv3d(leading, kernel, padding=self.atlas.detail or 0)

    def _weights(
        self, alike: Float[Tensor, "m"], source: torch.Generator
    ) -> Float[Tensor, "m i j k"]:
        """Of the modes of one volume everywhere, with variance 1, from those that it has as a
        whole."""
        local, common, shape = self.atlas.local, self.atlas.common, self.rest.shape[1:]
        whole = alike[:, None, None, None].expand(-1, *shape)
        if local is None:
            return whole
        return common**0.5 * whole + (1 - common) ** 0.5 * fields(len(alike), shape, local, source)

    @torch.no_grad()
    def fit(
        self,
        volumes: Iterable[Sequence[Coefficients]],
        values: Mapping[str, Tensor],
        *,
        count: int,
        divisors: Sequence[float],
        whiten: float,
    ) -> None:
        """On the coefficients of one volume after the other, [1 c i j k], or of several views of
        it, such as mirrored ones, that count once together.

        count: of volumes. values: [count size] of the covariates. divisors: what the representation
        divided channels by, `whiten`: the power of their standard deviation that this was, which
        `scale` makes it again for what is left. Modes beyond the number of views are 0. Raises
        RecipeError where nothing is left.
        """
        keep = {c.name: torch.ones(len(values[c.name]), dtype=torch.bool) for c in self.covariates}
        self.centre.zero_()
        columns, there = self._known(values, keep)
        self.centre.copy_(columns.sum(0) / there.sum(0).clamp(min=1))
        leading, channels = self.maps.shape[1], len(self.scale)
        left = torch.zeros(len(self.maps), len(self.maps), dtype=torch.float64)
        shape = (channels, *self.maps.shape[2:])
        square = torch.zeros(shape, dtype=torch.float64)
        right = torch.zeros(len(self.maps), *shape, dtype=torch.float64)
        shown, whole = list[Shown](), list[Shown]()
        closer = self._follows or self.atlas.reach is not None
        order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
        chosen = set(order[: VOLUMES if self.atlas.modes else 0].tolist())
        for index, views in enumerate(volumes):
            row = {n: v[index : index + 1] for n, v in values.items()}
            heard = {n: k[index : index + 1] for n, k in keep.items()}
            d = self._rows(row, heard).double().cpu()[0]
            seen = torch.cat(list(views)).double().cpu()
            left += torch.outer(d, d)
            right += torch.tensordot(d, seen.mean(0), 0)
            square += seen.square().mean(0)
            if index in chosen:
                shown.append((d, seen[:, :leading].float()))
                if closer and len(whole) < COLOURING:
                    whole.append((d, seen.float()))
        penalty = self.atlas.ridge * torch.eye(len(self.maps), dtype=torch.float64)
        penalty[0] = 0
        maps = torch.linalg.solve(left + penalty, right.flatten(1)).view_as(right)
        maps[:, leading:] = 0
        maps[0, leading:] = right[0, leading:] / count
        fitted = torch.tensordot(left, maps, 1)
        explained = (2 * maps * right - maps * fitted).sum(0)
        left_over = (square - explained) / count
        variance = left_over.mean((1, 2, 3), keepdim=True)
        if not bool((variance > 0).all()):
            raise RecipeError("the atlas leaves nothing of a channel: all volumes are alike")
        if self.atlas.scale == "voxel":
            around = _around(left_over) / _around(torch.ones_like(left_over))
            variance = torch.maximum(around, variance * self.atlas.least**2)
        divided = torch.tensor(divisors, dtype=torch.float64).view(-1, 1, 1, 1)
        self.maps.copy_(maps[:, :leading])
        if leading < channels:
            self.mean.copy_(maps[0, leading:])
        self.scale.copy_(whitening(variance.sqrt() * divided, whiten) / divided)
        if self.atlas.modes:
            powers, kinds = torch.linalg.eigh(left[1:, 1:] / count)
            self.spread.copy_(kinds * powers.clamp(min=0).sqrt() @ kinds.T)
            self._fit_modes(shown, left_over)
            if closer:
                self._fit_rest(whole)

    def _fit_modes(self, shown: Sequence[Shown], left_over: Tensor) -> None:
        """On the leading channels of some volumes, each with its regressors."""
        count, leading = sum(len(seen) for _, seen in shown), self.maps.shape[1]
        gram = torch.zeros(count, count, dtype=torch.float64)
        for c in range(leading):
            rows = self._residuals(shown, c).flatten(1)
            gram += rows @ rows.T / count
        vectors = torch.linalg.eigh(gram).eigenvectors[:, -self.atlas.modes :].flip(1)
        largest = vectors.gather(0, vectors.abs().argmax(0)[None])
        vectors = vectors * largest.sign() / count**0.5
        self.modes.zero_()
        for c in range(leading):
            modes = torch.tensordot(vectors.T, self._residuals(shown, c), 1)
            self.modes[: len(modes), c].copy_(modes)
        variance = left_over / self.scale.cpu().double() ** 2
        variance[:leading] -= self.modes.cpu().double().square().sum(0)
        self.rest.copy_(variance.clamp(min=0).sqrt())

    def _fit_rest(self, shown: Sequence[Shown]) -> None:
        """What makes other channels follow, and what colours the rest, of some volumes."""
        channels, leading = range(len(self.scale)), self.maps.shape[1]
        found = torch.stack([self._residuals(shown, c).float() for c in channels], dim=1)
        if self._follows:
            seen, told = found[:, :leading], found[:, leading:]
            self.detail.copy_(following(seen, told, self.atlas.detail or 0))
            before = _around(told.square().mean(0))
            told -= self._followed(seen)  # of `found`
            share = _around(told.square().mean(0)) / before.clamp(min=TINY)
            self.rest[leading:] *= share.clamp(max=1).sqrt().to(self.rest)
        if self.atlas.reach is not None:
            modes = self.modes.cpu()
            lengths = modes.square().flatten(1).sum(1).clamp(min=TINY)
            weights = found[:, :leading].flatten(1) @ modes.flatten(1).T / lengths
            found[:, :leading] -= torch.tensordot(weights, modes, 1)
            self.colour.copy_(colouring(found, self.rest.cpu(), self.atlas.reach))

    def _residuals(self, shown: Sequence[Shown], c: int) -> Float[Tensor, "n i j k"]:
        """A channel of every view of some volumes, less the mean and scaled."""
        leading, scale = self.maps.shape[1], self.scale[c].cpu().double()
        if c < leading:
            maps = self.maps[:, c].cpu().double()
            means = [torch.tensordot(d, maps, 1) for d, _ in shown]
        else:
            means = [self.mean[c - leading].cpu().double()] * len(shown)
        return torch.cat(
            [(seen[:, c] - m) / scale for (_, seen), m in zip(shown, means, strict=True)]
        )

    def _rows(self, values: Mapping[str, Tensor], keep: Keep) -> Float[Tensor, "b r"]:
        """1, then what is known, less the mean of the cohort."""
        known, _ = self._known(values, keep)
        return torch.cat([known.new_ones(len(known), 1), known], dim=1)

    def _known(
        self, values: Mapping[str, Tensor], keep: Keep
    ) -> tuple[Float[Tensor, "b r"], Bool[Tensor, "b r"]]:
        """Regressors less the mean of the cohort, 0 where one is not known or hidden, and where
        it is."""
        count = len(next(iter(keep.values()))) if keep else 1
        rows = [torch.zeros(count, 0, device=self.maps.device)]
        there = [rows[0].bool()]
        for c in self.covariates:
            found, sure = self._columns(c, values[c.name], keep[c.name])
            rows.append(found)
            there.append(sure.expand_as(found))
        known = torch.cat(there, dim=1)
        return torch.where(known, torch.cat(rows, dim=1) - self.centre, 0.0), known

    def _columns(
        self, covariate: Covariate, value: Float[Tensor, "b _"], keep: Bool[Tensor, "b"]
    ) -> tuple[Float[Tensor, "b r"], Bool[Tensor, "b 1"]]:
        """Regressors, 0 where a value is not known or hidden, and where it is."""
        device = self.maps.device
        sure = (keep.to(device) & ~value.to(device).isnan().any(1))[:, None]
        found = covariate.regressors(value.to(device))
        return torch.where(sure, found, 0.0), sure


def _around(x: Float[Tensor, "c i j k"]) -> Float[Tensor, "c i j k"]:
    """The mean of every voxel and its neighbours, which are 0 outside of the grid."""
    return F.avg_pool3d(F.pad(x, (1,) * 6), 3, 1)
