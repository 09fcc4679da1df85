"""Brain-extracted T1w at 2 mm by age, sex and site: small enough to ship and to run on a laptop."""

from brainweave.conditions.covariates import Category, Scalar
from brainweave.data.augment import Augment
from brainweave.data.intensity import Percentiles
from brainweave.data.preprocess import Preprocess
from brainweave.networks.unet import UNetConfig
from brainweave.processes.process import Process
from brainweave.recipe import Recipe, Sampling, Training
from brainweave.representations.haar import Haar

SITES = ("IXI-HH Philips 3T", "ds002748")


def t1_2mm(sites: tuple[str, ...] = SITES) -> Recipe:
    """Half-whitened two-level Haar on a 20 x 24 x 20 grid; the network predicts a Wiener filter."""
    return Recipe(
        name="t1_2mm",
        source="FlowLet (arXiv:2601.05212) with half-whitened bands and a predicted gain",
        preprocess=Preprocess(
            shape=(80, 96, 80),
            spacing=(2.0, 2.0, 2.0),
            intensity=Percentiles(lower=0, upper=99.8, low=-1, high=1),
        ),
        representation=Haar(levels=2, whiten=0.5),
        process=Process(
            prediction="correction", times="stratified", weighting="velocity", weight_limit=20.0
        ),
        conditions=(
            Scalar(name="age", low=19, high=82, tokens=4),
            Category(name="sex", values=("F", "M")),
            Category(name="site", values=sites),
        ),
        network=UNetConfig(
            width=96,
            multipliers=(1, 1, 1),
            blocks=1,
            attention_levels=(2,),
            heads=4,
            groups=16,
            condition_width=128,
            positions=4,  # the cohort is in MNI space
            gain=True,
        ),
        training=Training(
            steps=2500,
            batch=4,
            lr=6e-4,
            lr_end=6e-6,
            warmup=100,
            ema=0.999,
            drop_conditions=0.1,
            precision="bf16",
            save_every=100,
            validate_every=1000,
            augment=Augment(flip=0.5),
        ),
        sampling=Sampling(sampler="euler", steps=20, guidance=1.5, floor=0.02),
        licence="weights: CC BY-SA 3.0 (IXI) with CC0 (ds002748)",
    )
