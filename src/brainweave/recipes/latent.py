"""Recipes in the latents of an autoencoder: flow matching on BraTS, MAISI, WFDM, and ours.

Each takes autoencoder=FOLDER, what `brainweave train wfvae` or `brainweave import` makes; without
one a recipe can be looked at, not trained. Its preprocessing is the autoencoder's, on the next grid
that the network can halve.
"""

from pathlib import Path
from typing import Any, Literal

from brainweave.conditions.base import Covariate
from brainweave.conditions.choices import Choice
from brainweave.conditions.continuous import Continuous
from brainweave.conditions.images import Images
from brainweave.conditions.schema import conditions_from
from brainweave.conditions.spacing import Spacing
from brainweave.data.intensity import Percentiles
from brainweave.data.preprocess import Preprocess
from brainweave.model_folder import latent, load_autoencoder_recipe
from brainweave.networks.base import NetworkConfig
from brainweave.networks.unet import UNetConfig
from brainweave.processes.process import Process
from brainweave.processes.sources import Informed
from brainweave.recipe import Recipe, Sampling, Training
from brainweave.recipes.cwdm import BRATS
from brainweave.representations.autoencoders import AutoencoderConfig
from brainweave.representations.autoencoders.kl import AutoencoderKLConfig
from brainweave.representations.autoencoders.wavelet_flow import WaveletFlowConfig
from brainweave.representations.autoencoders.wavelet_fusion import WaveletFusionConfig
from brainweave.representations.base import Representation
from brainweave.representations.latent import Latent

MAISI = AutoencoderKLConfig(widths=(64, 128, 256), upsample="trilinear")


def latent_flow(
    autoencoder: Path | None = None,
    prediction: Literal["velocity", "data", "noise"] = "velocity",
    modalities: tuple[str, ...] = BRATS,
) -> Recipe:
    """A U-Net with attention on its two lowest levels, x_t = t x_1 + (1 - t) x_0, 100k steps."""
    return _recipe(
        _space(autoencoder, MAISI),
        name="latent_flow",
        source="flow matching (arXiv:2210.02747) in latents of MAISI's kind (arXiv:2409.11169)",
        process=Process(prediction=prediction),
        conditions=(Choice(name="modality", values=modalities, hide=0.0),),
        network=UNetConfig(
            width=64,
            multipliers=(1, 2, 4, 8),
            blocks=2,
            attention_levels=(2, 3),
            condition_width=256,
        ),
        training=Training(
            steps=100_000, batch=1, lr=1e-4, warmup=1000, ema=0.9999, precision="bf16"
        ),
        sampling=Sampling(sampler="euler", steps=100),
    )


def maisi(autoencoder: Path | None = None, modalities: tuple[str, ...] = BRATS) -> Recipe:
    """MAISI's absolute error, modality, spacing and 30 steps, which end where they should."""
    base = latent_flow(autoencoder, modalities=modalities)
    return base.replace(
        name="maisi",
        source="MAISI (arXiv:2409.11169)",
        process=base.process.replace(error="absolute"),
        conditions=(*base.conditions, Spacing()),
        training=base.training.replace(lr_end=0.0, drop_conditions=0.0, ema=None),
        sampling=Sampling(sampler="euler", steps=30),
    )


def wfdm(
    autoencoder: Path | None = None,
    modalities: tuple[str, ...] = BRATS,
    schema: Path | None = None,
) -> Recipe:
    """Any modality of a person told by sparse metadata (`brainweave schema`; else age and sex)."""
    space = _space(autoencoder, WaveletFusionConfig())
    base = latent_flow(modalities=modalities)
    return _recipe(
        space,
        name="wfdm",
        source="WFDM (arXiv:2606.00689); its process and steps are not published",
        process=base.process.replace(error="absolute"),
        conditions=(*base.conditions, *_metadata(schema)),
        network=base.network,
        training=base.training.replace(drop_conditions=0.0, balance=0.7),  # nothing is hidden
        sampling=Sampling(sampler="euler", steps=30),
    )


def wfdm_plus(
    autoencoder: Path | None = None,
    modalities: tuple[str, ...] = BRATS,
    schema: Path | None = None,
) -> Recipe:
    """WFDM on our latents, with fields hidden as they are missing, a predicted gain, guidance."""
    base = wfdm(modalities=modalities, schema=schema)
    return _recipe(
        _space(autoencoder, WaveletFlowConfig()),
        name="wfdm_plus",
        source="after WFDM (arXiv:2606.00689) and WF-VAE (arXiv:2411.17459)",
        process=_corrected(),
        conditions=base.conditions,
        network=base.network.replace(gain=True),
        training=base.training.replace(drop_conditions=0.1),
        sampling=Sampling(sampler="heun", steps=20, guidance=1.5),
    )


def latent_complete(autoencoder: Path | None = None, modalities: tuple[str, ...] = BRATS) -> Recipe:
    """Any modality from any others, from the mean of their latents, in two calls."""
    base = latent_flow(modalities=modalities)
    return _recipe(
        _space(autoencoder, WaveletFlowConfig()),
        name="latent_complete",
        source="after WFM (arXiv:2604.21146) in latents of WF-VAE's kind (arXiv:2411.17459)",
        process=Process(source=Informed(noise=0.1), at_start=0.5),
        conditions=(*base.conditions, Images(modalities=modalities, keep=0.75)),
        network=base.network,
        training=base.training.replace(drop_conditions=0.0),
        sampling=Sampling(sampler="euler", steps=2, masked=True),
    )


def latent_flow_2mm(
    autoencoder: Path | None = None,
    prediction: Literal["velocity", "data", "noise"] = "velocity",
    modalities: tuple[str, ...] = ("t1w",),
) -> Recipe:
    """`latent_flow` for 2 mm and a CPU."""
    return _small(autoencoder, latent_flow(autoencoder, prediction, modalities))


def maisi_2mm(autoencoder: Path | None = None, modalities: tuple[str, ...] = ("t1w",)) -> Recipe:
    """`maisi` for 2 mm and a CPU."""
    return _small(autoencoder, maisi(autoencoder, modalities))


def wfdm_2mm(
    autoencoder: Path | None = None,
    modalities: tuple[str, ...] = ("t1w",),
    schema: Path | None = None,
) -> Recipe:
    """`wfdm` for 2 mm and a CPU."""
    return _small(autoencoder, wfdm(autoencoder, modalities, schema))


def wfdm_plus_2mm(
    autoencoder: Path | None = None,
    modalities: tuple[str, ...] = ("t1w",),
    schema: Path | None = None,
) -> Recipe:
    """`wfdm_plus` for 2 mm and a CPU."""
    return _small(autoencoder, wfdm_plus(autoencoder, modalities, schema))


def latent_complete_2mm(
    autoencoder: Path | None = None, modalities: tuple[str, ...] = BRATS
) -> Recipe:
    """`latent_complete` for 2 mm and a CPU."""
    return _small(autoencoder, latent_complete(autoencoder, modalities))


def _space(folder: Path | None, default: AutoencoderConfig) -> tuple[Latent, Preprocess]:
    """The latents of the autoencoder in a folder, and what it takes; without one, of a config."""
    if folder is None:
        whole = Preprocess(shape=(160, 192, 160), intensity=Percentiles(lower=0, low=0, high=1))
        return Latent(autoencoder=default), whole
    return latent(folder), load_autoencoder_recipe(folder).preprocess


def _recipe(
    space: tuple[Representation, Preprocess], *, network: NetworkConfig, **values: Any
) -> Recipe:
    """On the autoencoder's grid, or the next that the network can halve."""
    (representation, preprocess), halved = space, network.factor
    factors = [factor * halved for factor in representation.factors]
    edges = zip(preprocess.shape, factors, strict=True)
    i, j, k = (-(-edge // factor) * factor for edge, factor in edges)
    return Recipe(
        preprocess=preprocess.replace(shape=(i, j, k)),
        representation=representation,
        target="modality",
        network=network,
        **values,
    )


def _corrected() -> Process:
    """The network corrects the best linear estimate."""
    return Process(
        prediction="correction", times="stratified", weighting="velocity", weight_limit=20.0
    )


def _metadata(schema: Path | None) -> tuple[Covariate, ...]:
    if schema is not None:
        return conditions_from(schema)
    return (
        Continuous(name="age", unit="years", low=0, high=100),
        Choice(name="sex", values=("F", "M")),
    )


def _small(autoencoder: Path | None, recipe: Recipe) -> Recipe:
    """A network and a training for latents of some 20 x 24 x 20 on a CPU."""
    network = recipe.network.replace(
        width=64,
        multipliers=(1, 2, 2),
        attention_levels=(2,),
        blocks=1,
        heads=4,
        groups=16,
        positions=4,  # cohorts at 2 mm are in a standard space
    )
    training = recipe.training.replace(
        steps=6000, batch=4, lr=5e-4, lr_end=5e-6, warmup=100, ema=0.999, save_every=250
    )
    if autoencoder is None:
        preprocess = recipe.preprocess.replace(shape=(80, 96, 80), spacing=(2.0, 2.0, 2.0))
    else:
        preprocess = load_autoencoder_recipe(autoencoder).preprocess
    space = (recipe.representation, preprocess)
    values = {n: getattr(recipe, n) for n in ("source", "process", "sampling", "licence")}
    values["conditions"] = tuple(
        c for c in recipe.conditions if not (preprocess.spacing and isinstance(c, Spacing))
    )
    return _recipe(space, name=f"{recipe.name}_2mm", network=network, training=training, **values)
