"""A toy for tests and the demo: phantoms at 5 mm by age and sex, learned in minutes on a laptop."""

from brainweave.conditions.covariates import Category, Scalar
from brainweave.data.augment import Augment
from brainweave.data.intensity import Percentiles
from brainweave.data.preprocess import Preprocess
from brainweave.networks.unet import UNetConfig
from brainweave.processes.process import Process
from brainweave.recipe import Recipe, Sampling, Training
from brainweave.representations.haar import Haar


def tiny(steps: int = 1100) -> Recipe:
    """Two-level Haar coefficients on an 8 x 10 x 8 grid; `steps` of training."""
    return Recipe(
        name="tiny",
        source="a toy after arXiv:2601.05212",
        preprocess=Preprocess(
            shape=(32, 40, 32),
            spacing=(5.0, 5.0, 5.0),
            intensity=Percentiles(lower=0, upper=99.8, low=-1, high=1),
        ),
        representation=Haar(levels=2, whiten=0.5),
        process=Process(
            prediction="correction", times="stratified", weighting="velocity", weight_limit=30.0
        ),
        conditions=(
            Scalar(name="age", low=20, high=80, tokens=2),
            Category(name="sex", values=("F", "M")),
        ),
        network=UNetConfig(
            width=32,
            multipliers=(1, 2),
            blocks=1,
            heads=2,
            groups=8,
            condition_width=32,
            positions=3,
            gain=True,
        ),
        training=Training(
            steps=steps,
            batch=8,
            lr=2e-3,
            lr_end=2e-5,
            warmup=20,
            ema=0.99,
            drop_conditions=0.1,
            validate_every=100,
            save_every=100,
            augment=Augment(flip=0.5),
        ),
        sampling=Sampling(sampler="euler", steps=12, guidance=4.0, floor=0.02),
        licence="CC0-1.0 (made of phantoms)",
    )
