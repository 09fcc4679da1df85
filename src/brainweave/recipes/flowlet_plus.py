"""FlowLet improved: bands of one scale, ages that are heard, cheap skips, averaged weights.

Each change answers a finding on the released code (arXiv:2601.05212), noted beside it.
"""

from brainweave.conditions.covariates import Scalar
from brainweave.data.augment import Augment
from brainweave.data.intensity import Percentiles
from brainweave.data.preprocess import Preprocess
from brainweave.networks.unet import UNetConfig
from brainweave.processes.process import Process
from brainweave.recipe import Recipe, Sampling, Training
from brainweave.representations.haar import Haar


def flowlet_plus(low: float = 5.90, high: float = 95.46) -> Recipe:
    """FlowLet's large network by age from `low` to `high`, improved (678 M parameters)."""
    return Recipe(
        name="flowlet_plus",
        source="after arXiv:2601.05212",
        preprocess=Preprocess(
            shape=(96, 112, 96),  # holds 91 x 109 x 91 with a quarter fewer voxels than 112^3
            spacing=(2.0, 2.0, 2.0),
            intensity=Percentiles(lower=0.5, upper=99.5, low=-1, high=1),
        ),
        representation=Haar(levels=1, whiten=True),  # LLL has 12 to 29 times the details' spread
        process=Process(
            prediction="correction", times="stratified", weighting="velocity", weight_limit=30.0
        ),
        conditions=(Scalar(name="age", low=low, high=high, tokens=4),),  # one token is a constant
        network=UNetConfig(
            width=128,
            multipliers=(1, 2, 4, 8),
            attention_levels=(2, 3),
            condition_width=512,
            time_scale=1000.0,  # unscaled, t moves few features
            skip_kernel=1,  # 3 x 3 x 3 skips were 23 % of the weights
            post_norm=False,
            resample_inside=False,  # convolve before up-sampling, not after
            checkpointing=True,
            positions=4,  # for cohorts in a common space
            gain=True,  # detail passes beside the network
        ),
        training=Training(
            steps=200_000,
            batch=4,
            lr=1e-4,
            lr_end=1e-6,
            warmup=1000,
            weight_decay=1e-2,
            ema=0.9999,
            drop_conditions=0.1,  # what classifier-free guidance needs (arXiv:2207.12598)
            precision="bf16",
            band_power=0.5,
            validate_every=2000,
            save_every=1000,
            augment=Augment(flip=0.5, affine=0.4, rotation=5.0, scale=0.0, shift=0.0),
        ),
        sampling=Sampling(sampler="heun", steps=20),
    )
