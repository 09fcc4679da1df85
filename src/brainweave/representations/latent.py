"""The latents of an autoencoder, as one more place for a process to live in."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field, PrivateAttr
from torch import Tensor

from brainweave.data.files import digest
from brainweave.data.tensors import content_hash, load_tensors
from brainweave.errors import CheckpointError, RecipeError
from brainweave.part import to_dict
from brainweave.representations.autoencoders.base import (
    Autoencoder,
    AutoencoderConfig,
    Shape,
)
from brainweave.representations.base import Representation, exact, uncast

NEEDED = "train one (brainweave train wfvae_2mm) or import one, and give autoencoder=FOLDER"


class Latent(Representation):
    """Means of the latents of volumes, whitened per channel over the training cohort.

    What `prepare` gives, and what is kept, are means and logarithms of variances, never a draw:
    noise that is stored cannot be predicted by any network afterwards.

    autoencoder: its config. sha256: the content hash of its weights, which are no part of the
        recipe; a model's folder holds them beside it. modalities, low, high: contrasts and
        intensities that it was trained on.
    noise_limit: the largest share of a latent's variance that may be the posterior's noise, on
        average over channels: a decoder that was trained on noisier latents than the process makes
        does not know them.
    Raises CheckpointError where weights are needed and there are none or others.
    """

    invertible: ClassVar[bool] = False

    autoencoder: AutoencoderConfig
    sha256: str = ""
    modalities: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0
    whiten: float = Field(default=1.0, ge=0, le=1)
    noise_limit: float = Field(default=0.1, gt=0, le=1)
    _weights: Path | None = PrivateAttr(default=None)
    _memory: int = PrivateAttr(default=0)

    @property
    def channels(self) -> int:
        return self.autoencoder.latent_channels

    @property
    def factors(self) -> Shape:
        return self.autoencoder.factors

    @property
    def keeps(self) -> str:
        return digest([to_dict(self.autoencoder), self.sha256])

    @property
    def weights(self) -> Path:
        """The file of the autoencoder's weights."""
        if self._weights is None:
            raise CheckpointError(f"the recipe names no autoencoder; {NEEDED}")
        return self._weights

    def at(self, weights: Path) -> "Latent":
        """The same with its weights in this file."""
        same = self.replace()
        same._weights = weights
        return same

    def within(self, memory: int) -> "Latent":
        """The same with a bound in bytes for encoder and decoder, 0: none."""
        same = self.replace()
        same._memory = memory
        return same

    def replace(self, **changes: object) -> "Latent":
        """A validated copy with some fields changed; its weights and its bound stay."""
        changed = super().replace(**changes)
        changed._weights, changed._memory = self._weights, self._memory
        return changed

    def require(self) -> None:
        """Raises CheckpointError where its weights are not there, or another's."""
        if content_hash(self.weights) != self.sha256:
            raise CheckpointError(
                f"{self.weights} is not the autoencoder that the model was trained with; they "
                "belong together: restore the model's folder"
            )

    def require_fitting(self, modalities: Sequence[str], scale: tuple[float, float]) -> None:
        """Raises ValueError for modalities or a range of intensities that it does not know."""
        if self.modalities and (foreign := [n for n in modalities if n not in self.modalities]):
            raise ValueError(
                f"the autoencoder was trained on {', '.join(self.modalities)}, not on "
                f"{', '.join(foreign)}; set modalities, or train one on all of them"
            )
        if scale != (self.low, self.high):
            raise ValueError(
                f"the autoencoder knows intensities from {self.low:g} to {self.high:g}, "
                f"preprocess.intensity gives {scale}"
            )

    def prepare(self, volume: Float[Tensor, "b 1 i j k"]) -> Float[Tensor, "b two_c _ _ _"]:
        """Means, then logarithms of variances, on the device of the volume."""
        with torch.no_grad(), uncast(volume), _float32():
            mu, sigma = self._module(volume.device).encode(volume.float(), memory=self._memory)
            return torch.cat([mu, 2 * sigma.log()], dim=1)

    def transform(self, prepared: Float[Tensor, "b two_c i j k"]) -> Float[Tensor, "b c i j k"]:
        return exact(prepared[:, : self.channels])

    def invert(self, coefficients: Float[Tensor, "b c _ _ _"]) -> Float[Tensor, "b 1 _ _ _"]:
        with uncast(coefficients), _float32():
            module = self._module(coefficients.device)
            return module.decode(coefficients.float(), memory=self._memory)

    def fit(self, prepared: Iterable[Float[Tensor, "b two_c i j k"]]) -> "Latent":
        """As every representation; refuses latents that are mostly noise.

        Raises RecipeError where the posterior's noise is more than `noise_limit` of the variance.
        """
        seen = Moments(self.channels)
        fitted = super().fit(seen.watching(prepared))
        if not seen.count:  # nothing was to be measured
            for _ in seen.watching(prepared):
                pass
        if (share := float(seen.noise_share.mean())) > self.noise_limit:
            raise RecipeError(
                f"{share:.0%} of the variance of these latents is noise of the autoencoder, above "
                f"{self.noise_limit:.0%}: no model of them can predict it; train the autoencoder "
                "with less training.kl, or set representation.noise_limit"
            )
        assert isinstance(fitted, Latent)
        return fitted

    def _module(self, device: torch.device) -> Autoencoder:
        if device.type != "meta":
            self.require()
        return _loaded(self.autoencoder, self.weights, self.sha256, str(device))


class Moments:
    """What the latents of a cohort are like, per channel, float64."""

    def __init__(self, channels: int) -> None:
        self.count = 0
        self._sums = torch.zeros(4, channels, dtype=torch.float64)

    def add(self, prepared: Float[Tensor, "b two_c i j k"]) -> None:
        """Counts latents as `Latent.prepare` gives them."""
        mu, log_variance = prepared.double().transpose(0, 1).flatten(1).chunk(2)
        self._sums += torch.stack(
            [mu.sum(1), mu.square().sum(1), log_variance.exp().sum(1), log_variance.sum(1)]
        )
        self.count += mu.shape[1]

    def watching(self, prepared: Iterable[Tensor]) -> Iterator[Tensor]:
        """The same latents, counted as they pass."""
        for each in prepared:
            self.add(each)
            yield each

    @property
    def mean(self) -> Float[Tensor, "c"]:
        """Of mu."""
        return self._sums[0] / self.count

    @property
    def std(self) -> Float[Tensor, "c"]:
        """Of mu."""
        return (self._sums[1] / self.count - self.mean.square()).clamp(min=0).sqrt()

    @property
    def noise(self) -> Float[Tensor, "c"]:
        """The root mean square of sigma."""
        return (self._sums[2] / self.count).sqrt()

    @property
    def noise_share(self) -> Float[Tensor, "c"]:
        """Of the variance of a draw, that of the draw itself: sigma^2 / (sigma^2 + var mu)."""
        noise = self.noise.square()
        return noise / (noise + self.std.square())

    @property
    def kl(self) -> Float[Tensor, "c"]:
        """Mean divergence from N(0, 1) per number, in nats (arXiv:1312.6114, appendix B)."""
        _, square, variance, log_variance = self._sums / self.count
        return (square + variance - 1 - log_variance) / 2


@lru_cache(maxsize=2)
def _loaded(config: AutoencoderConfig, weights: Path, sha256: str, device: str) -> Autoencoder:
    """The module, frozen, once per process and device."""
    if device == "meta":
        with torch.device("meta"):
            return config.build().eval().requires_grad_(False)
    state, _ = load_tensors(weights)
    module = config.build()
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split()[:24])
        raise CheckpointError(f"{weights} does not fit the autoencoder: {reason}") from None
    module.blend = False  # what is kept must not depend on the memory that there was
    return module.to(device).eval().requires_grad_(False)


def _float32() -> AbstractContextManager[None]:
    """Convolutions without TF32, so that latents of a GPU are those of a CPU."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
