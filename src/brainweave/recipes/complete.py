"""Missing modalities from whatever else there is, in one or two network calls.

cWDM's task (arXiv:2411.17203) with one model for every target and every subset, started from the
mean of the images that are there, as WFM does (arXiv:2604.21146), or a guess, instead of noise.
"""

from brainweave.conditions.covariates import Category
from brainweave.conditions.images import Images
from brainweave.conditions.regression import Regression
from brainweave.data.augment import Augment
from brainweave.data.intensity import Percentiles
from brainweave.data.preprocess import Preprocess
from brainweave.image_loss import ImageLoss
from brainweave.networks.unet import UNetConfig
from brainweave.processes.process import Process
from brainweave.processes.sources import Informed
from brainweave.recipe import Recipe, Sampling, Training
from brainweave.recipes.cwdm import BRATS, cwdm
from brainweave.representations.haar import Haar

HIDDEN = 48  # of the regression's perceptrons; 96 say no more


def bridge() -> Recipe:
    """cWDM's data and network, from the mean of the other images to any target, in two calls."""
    base = cwdm()
    return base.replace(
        name="bridge",
        source="after WFM (arXiv:2604.21146) on cWDM's network (arXiv:2411.17203)",
        target="modality",
        process=Process(source=Informed(noise=0.1), prediction="velocity"),
        conditions=(Category(name="modality", values=BRATS), Images(modalities=BRATS)),
        network=base.network.replace(condition_width=256, time_scale=1000.0),
        training=base.training.replace(steps=50_000, batch=4, ema=0.9999, precision="bf16"),
        sampling=Sampling(sampler="euler", steps=2, masked=True),
    )


def complete(modalities: tuple[str, ...] = BRATS, hidden: int = HIDDEN) -> Recipe:
    """Any of `modalities` from any others at full resolution, for a GPU and hundreds of cases.

    hidden: of `Regression`.
    """
    small = complete_2mm(modalities, hidden=hidden)
    return small.replace(
        name="complete",
        preprocess=small.preprocess.replace(shape=(160, 192, 160), spacing=None),
        representation=Haar(levels=2, whiten=1.0),
        network=UNetConfig(width=96, multipliers=(1, 2, 2), blocks=2, condition_width=256),
        training=small.training.replace(
            steps=50_000, minutes=None, lr=3e-4, lr_end=3e-6, warmup=500, ema=0.999, validation=0.1
        ),
        sampling=small.sampling.replace(strength=1.0),
    )


def complete_2mm(
    modalities: tuple[str, ...] = BRATS, steps: int = 2800, hidden: int = HIDDEN
) -> Recipe:
    """Any of `modalities` from any others at 2 mm, trained on two CPU cores within an hour.

    hidden: of `Regression`.
    """
    return Recipe(
        name="complete_2mm",
        source="after cWDM (arXiv:2411.17203) and WFM (arXiv:2604.21146)",
        target="modality",
        preprocess=Preprocess(
            shape=(80, 96, 80),
            spacing=(2.0, 2.0, 2.0),
            intensity=Percentiles(lower=0, upper=99.5, low=0, high=1),
        ),
        representation=Haar(levels=1, whiten=1.0),
        process=Process(source=Informed(noise=0.05), prediction="velocity", at_start=0.8),
        conditions=(
            Category(name="modality", values=modalities),
            Images(modalities=modalities, keep=0.75, regression=Regression(hidden=hidden)),
        ),
        network=UNetConfig(
            width=32, multipliers=(1, 2, 4), blocks=1, heads=4, groups=8, condition_width=64
        ),
        training=Training(
            steps=steps,
            minutes=56.0,
            batch=2,
            lr=3e-4,
            lr_end=3e-6,
            warmup=50,
            weight_decay=1e-2,
            grad_clip=10.0,
            ema=0.995,
            drop_conditions=0.0,
            precision="bf16",
            validation=0.0,
            validate_every=1000,
            save_every=200,
            band_power=2.0,  # errors count as in voxels
            image_loss=ImageLoss(free=0.5),
            augment=Augment(flip=0.5, affine=0.7, rotation=10.0, scale=0.1, shift=3.0),
        ),
        # a quarter of the way: half of it was as good as none on the fold that was measured, and
        # squared errors are a parabola, so that the best lies between
        sampling=Sampling(sampler="euler", steps=1, mirror=True, masked=True, strength=0.25),
    )


def complete_tiny(steps: int = 300, hidden: int = 0) -> Recipe:
    """A toy for tests and the demo: phantoms at 5 mm, learnt in under a minute."""
    base = complete_2mm(steps=steps, hidden=hidden)
    return base.replace(
        name="complete_tiny",
        preprocess=base.preprocess.replace(shape=(32, 40, 32), spacing=(5.0, 5.0, 5.0)),
        network=base.network.replace(width=16, multipliers=(1, 2)),
        training=base.training.replace(
            minutes=None, batch=4, lr=2e-3, validate_every=100, save_every=100
        ),
        sampling=base.sampling.replace(strength=0.5),
        licence="CC0-1.0 (made of phantoms)",
    )
