"""Brain-extracted T1w at 2 mm by age, sex and site: small enough to ship and to run on a laptop."""

from brainweave.atlas import Atlas
from brainweave.conditions.covariates import Category, Scalar
from brainweave.data.augment import Augment
from brainweave.data.intensity import Percentiles
from brainweave.data.preprocess import Preprocess
from brainweave.networks.unet import UNetConfig
from brainweave.processes.process import Process
from brainweave.recipe import Recipe, Sampling, Training
from brainweave.representations.haar import Haar

GRID = (0.45, 0.505, 0.56, 0.615, 0.67, 0.725, 0.78, 0.835, 0.89, 0.945)  # of ten calls
SITES = ("IXI-HH Philips 3T", "ds002748")


def t1_2mm(sites: tuple[str, ...] = SITES) -> Recipe:
    """Two-level Haar on a 20 x 24 x 20 grid, less the mean head, begun from the cohort's modes."""
    return Recipe(
        name="t1_2mm",
        source="FlowLet (arXiv:2601.05212) on what differs from a mean head, begun from its modes",
        preprocess=Preprocess(
            shape=(80, 96, 80),
            spacing=(2.0, 2.0, 2.0),
            intensity=Percentiles(lower=0, upper=99.8, low=-1, high=1),
        ),
        representation=Haar(levels=2, whiten=0.25),
        # leading: the volume at 4 mm
        atlas=Atlas(leading=8, modes=20, local=3, common=0, detail=1, reach=2),
        process=Process(
            prediction="correction",
            times="stratified",
            weighting="velocity",
            weight_limit=5.0,
            begin=0.4,
        ),
        conditions=(
            Scalar(name="age", low=19, high=82, tokens=4),
            Category(name="sex", values=("F", "M")),
            Category(name="site", values=sites),
        ),
        network=UNetConfig(
            width=64,
            multipliers=(1, 1, 2),
            blocks=1,
            attention_levels=(1, 2),
            heads=4,
            groups=16,
            skips="additive",
            condition_width=128,
            positions=4,
            gain=True,
        ),
        training=Training(
            steps=2300,
            batch=2,
            lr=1e-3,
            lr_end=1e-5,
            warmup=50,
            ema=0.998,
            drop_conditions=0.1,
            precision="float32",
            save_every=200,
            validate_every=400,
            augment=Augment(flip=0.5),
        ),
        sampling=Sampling(sampler="euler", steps=10, floor=0.02, grids=(GRID,)),
        licence="weights: CC BY-SA 3.0 (IXI) with CC0 (ds002748)",
    )
