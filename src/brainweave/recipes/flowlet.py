"""FlowLet: flow matching on Haar wavelets, conditioned on age (Danese et al., arXiv:2601.05212)."""

from brainweave.conditions.covariates import Scalar
from brainweave.data.augment import Augment
from brainweave.data.intensity import Percentiles
from brainweave.data.preprocess import Preprocess
from brainweave.networks.unet import UNetConfig
from brainweave.processes.paths import path_named
from brainweave.processes.process import Process
from brainweave.recipe import Recipe, Sampling, Training
from brainweave.representations.haar import Haar


def flowlet(path: str = "rectified") -> Recipe:
    """The large network, as the launcher of the released code trains it (1.00 B parameters)."""
    return Recipe(
        name="flowlet",
        source="arXiv:2601.05212",
        preprocess=Preprocess(
            shape=(112, 112, 112),
            intensity=Percentiles(lower=0.5, upper=99.5, low=-1, high=1, foreground=False),
            pad="edge",
        ),
        representation=Haar(levels=1),
        process=Process(
            path=path_named(path),
            prediction="velocity",
            times="stratified" if path.startswith("vp") else "uniform",
            # half LLL, half details: 0.5/0.5 as the class defaults and the paper by its docstring;
            # the command line's default is 1/1
            channel_weights=(0.5, *[0.5 / 7] * 7),
        ),
        conditions=(Scalar(name="age", low=5.90, high=95.46, learned_null=False),),
        network=UNetConfig(
            width=128,
            multipliers=(1, 2, 4, 8),
            attention_levels=(2, 3),
            condition_width=512,
            pooled_context=True,
            time_scale=1.0,  # t is embedded unscaled, as released
            skip_kernel=3,
            post_norm=True,
            resample_inside=True,
            checkpointing=True,
        ),
        training=Training(
            epochs=200,
            batch=4,
            lr=3e-6,
            lr_end=1e-7,
            weight_decay=1e-5,
            grad_clip=1.0,
            ema=None,
            drop_conditions=0.0,
            precision="bf16",  # float16 with a loss scaler as released
            validation=0.2,
            seed=42,
            augment=Augment(  # released: axes turn one by one, gain moves the background too
                flip=0.0,
                affine=0.4,
                rotation=5.0,
                scale=0.0,
                shift=0.0,
                intensity=0.2,
                gain=0.2,
                gamma=0.0,
                noise=0.2,
                sd=0.005,  # of the range: the mean of U(0, 0.02) in units of [-1, 1]
            ),
        ),
        sampling=Sampling(sampler="euler", steps=100),
    )


def flowlet_base(path: str = "rectified") -> Recipe:
    """The base network and batch, the released command line's defaults (356 M parameters)."""
    large = flowlet(path)
    network = large.network.replace(multipliers=(1, 2, 3, 4), attention_levels=(3,), dropout=0.1)
    training = large.training.replace(batch=16)
    return large.replace(name="flowlet_base", network=network, training=training)
