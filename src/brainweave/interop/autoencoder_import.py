"""Checkpoints of MAISI's, MONAI's and brainmint's autoencoders as autoencoder folders."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from brainweave.compression import AutoencoderRecipe
from brainweave.data.intensity import Percentiles
from brainweave.data.preprocess import Preprocess
from brainweave.errors import CheckpointError, RecipeError
from brainweave.interop import autoencoder_kl, maisi, wfvae
from brainweave.interop.checkpoints import read_checkpoint, read_json, require_new
from brainweave.model_folder import save_autoencoder
from brainweave.part import from_dict
from brainweave.recipes.autoencoders import maisi_vae
from brainweave.representations.autoencoders import Autoencoder

_LOAD = {
    "maisi": maisi.autoencoder,
    "monai": autoencoder_kl.autoencoder,
    "wfvae": wfvae.autoencoder,
}
_PLACES = ("unet_state_dict", "autoencoder_state_dict", "autoencoder", "state_dict")
_PREFIX = "autoencoder."  # beside other networks in brainmint's checkpoints
_SECTION = "autoencoder_def"  # of MAISI's configuration, where "@name" stands for another entry
_PREPROCESS = "preprocess"  # ours


def import_autoencoder(
    kind: Literal["maisi", "monai", "wfvae"],
    checkpoint: Path,
    *,
    out: Path,
    target: str = "t1w",
    config: Path | None = None,
    licence: str = "unspecified",
) -> Autoencoder:
    """A checkpoint as an autoencoder folder `out`; the module in it.

    target: the modalities that it compresses, as t1w,t2w. config: a JSON file with keywords of the
    class, or MAISI's whole configuration; its entry "preprocess" says what volumes are to be, such
    as {"shape": [96, 112, 96], "spacing": [2, 2, 2]}, where they are not to be as published.

    Raises CheckpointError where weights and configuration do not match and for an autoencoder of
    more than one channel, OutputError where `out` is not empty.
    """
    require_new(out)
    found = read_checkpoint(checkpoint, _PLACES)
    settings = (found.config or {}) if config is None else read_json(config)
    own = {name: tensor for name, tensor in found.weights.items() if name.startswith(_PREFIX)}
    module = _LOAD[kind](own or found.weights, _keywords(settings))
    given, made = module.config.in_channels, module.config.coming_back
    if (given, made) != (1, 1):
        raise CheckpointError(
            f"the autoencoder takes {given} channels and gives {made}; only one of single volumes "
            "can be a model here"
        )
    recipe = _recipe(kind)
    try:
        preprocess = _preprocess(recipe.preprocess, settings, module.config.factors)
        recipe = recipe.replace(
            targets=target,
            preprocess=preprocess,
            autoencoder=module.config,
            training=recipe.training.replace(patch=None),  # that of the weights is not known
            licence=licence,
        )
    except RecipeError as error:
        raise CheckpointError(f"the autoencoder and its volumes do not fit: {error}") from None
    save_autoencoder(out, recipe, module)
    return module


def _recipe(kind: str) -> AutoencoderRecipe:
    """What its volumes are, and how training would go on."""
    recipe = maisi_vae()
    if kind == "monai":
        return recipe.replace(name="autoencoder_kl", source="MONAI's AutoencoderKL")
    if kind == "wfvae":
        return recipe.replace(
            name="wavelet_fusion",
            source="WFDM (arXiv:2606.00689), brainmint's WaveletFusionAutoencoder",
            preprocess=Preprocess(
                shape=(180, 200, 156),  # 155 slices there, which 4 does not divide
                spacing=(1.0, 1.0, 1.0),
                intensity=Percentiles(lower=0.2, upper=99.6, low=0, high=1),
            ),
        )
    return recipe


def _keywords(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords of the class."""
    section = settings.get(_SECTION, settings)
    if not isinstance(section, Mapping):
        raise CheckpointError(f"{_SECTION} is {section!r}; keywords of the class are needed")
    keywords = {}
    for name, value in section.items():
        if isinstance(value, str) and value.startswith("@"):
            if value[1:] not in settings:
                raise CheckpointError(f"{name} is {value}, and there is no {value[1:]} beside it")
            value = settings[value[1:]]
        keywords[name] = value
    return keywords


def _preprocess(
    base: Preprocess, settings: Mapping[str, Any], factors: tuple[int, int, int]
) -> Preprocess:
    """What is said of volumes, else as it is done elsewhere, padded to multiples of factors."""
    edges = zip(base.shape, factors, strict=True)
    padded = base.replace(shape=tuple(-(-edge // factor) * factor for edge, factor in edges))
    said = settings.get(_PREPROCESS, {})
    if not isinstance(said, dict):
        raise CheckpointError(f"{_PREPROCESS} is {said!r}; fields with their values are needed")
    return padded.replace(**from_dict(said))
