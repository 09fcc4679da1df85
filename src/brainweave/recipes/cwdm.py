"""cWDM, Fast-cWDM and WDM: DDPM on Haar wavelets, to complete and to generate brain tumour MRI.

A missing contrast from the other three (arXiv:2411.17203), the same with few steps, and whole
volumes from noise (arXiv:2402.19043), as their released code trains them.
"""

from typing import Literal

from brainweave.conditions.images import Images
from brainweave.data.cohort import canonical_modality
from brainweave.data.intensity import Percentiles
from brainweave.data.preprocess import Preprocess
from brainweave.errors import RecipeError
from brainweave.networks.unet import UNetConfig
from brainweave.part import hint
from brainweave.processes.paths import DDPM
from brainweave.processes.process import Process
from brainweave.recipe import Recipe, Sampling, Training
from brainweave.representations.haar import Haar

BRATS = ("t1w", "t1c", "t2w", "flair")  # t1n, t1c, t2w, t2f: the order of the conditions


def cwdm(target: str = "t1w") -> Recipe:
    """One missing BraTS contrast from the other three by 1000 steps (81.5 M parameters)."""
    target = canonical_modality(target)
    if target not in BRATS:
        raise RecipeError(f"target {target!r} is none of cWDM's four{hint(target, BRATS)}")
    return Recipe(
        name="cwdm",
        source="arXiv:2411.17203",
        target=target,
        preprocess=Preprocess(
            # 240 x 240 x 155 cropped by 8 voxels each in x and y; 5 empty slices are added above,
            # here 2 below and 3 above, which is a shift
            shape=(224, 224, 160),
            orientation="LPS",  # of BraTS's files; the released code takes voxels as they lie
            intensity=Percentiles(lower=0.1, upper=99.9, low=0, high=1, foreground=False),
        ),
        representation=Haar(levels=1, approximation_scale=3.0),
        process=Process(path=DDPM(steps=1000), prediction="data"),
        conditions=(
            Images(modalities=tuple(name for name in BRATS if name != target), required=True),
        ),
        network=_unet(),
        training=Training(
            steps=1_200_000,
            batch=1,
            lr=1e-5,
            lr_end=1e-5,  # constant
            grad_clip=None,
            ema=None,  # a rate is parsed and not used
            drop_conditions=0.0,
            validation=0.0,
            validate_every=5000,
            save_every=1000,
        ),
        # for few steps another sampler is needed, such as ddim: docs/how-to/import-cwdm.md
        sampling=Sampling(sampler="reference", steps=1000, clip=True, floor=0.04, masked=True),
    )


def fast_cwdm(
    target: str = "t1w", schedule: Literal["sampled", "direct"] = "sampled", steps: int = 10
) -> Recipe:
    """cWDM trained on `steps` time steps only, and sampled with the posterior's variance."""
    base = cwdm(target)
    if schedule == "sampled":  # every 111th of 1000, if 10; the network is told 0 ... 9
        path = DDPM(steps=steps, chain=1000)
    else:
        path = DDPM(steps=steps, beta_first=0.1 / steps, beta_last=20 / steps)
    return base.replace(
        name="fast_cwdm",
        source="arXiv:2411.17203 with the schedules of tsereda/fast-cwdm",
        process=base.process.replace(path=path),
        training=base.training.replace(
            steps=5000,
            batch=2,
            lr_end=0.0,  # to 0 along a line as released, along a cosine here
        ),
        # our repair: released is the larger variance ("reference"), whose last input is noisier
        # than its time says, by 35 times for 10 steps
        sampling=base.sampling.replace(sampler="ancestral", steps=steps),
    )


def wdm(size: Literal[128, 256] = 128) -> Recipe:
    """Whole T1w volumes of `size` voxels a side from noise (57.9 M parameters for 128, 83.2 M)."""
    base, large = cwdm("t1w"), size == 256
    return base.replace(
        name="wdm",
        source="arXiv:2402.19043",
        preprocess=base.preprocess.replace(
            # released: 240 x 240 x 155 padded to 256 x 256 x 256 and, for 128, means of 2 x 2 x 2
            # voxels; here linear interpolation: the same along x and y, every second slice along z
            shape=(size, size, size),
            spacing=None if large else (2.0, 2.0, 2.0),
            intensity=base.preprocess.intensity.replace(low=-1.0, high=1.0),
        ),
        conditions=(),
        network=base.network.replace(
            multipliers=(1, 2, 2, 4, 4, 4) if large else (1, 2, 2, 4, 4), skips="additive"
        ),
        training=base.training.replace(batch=1 if large else 10),
        sampling=base.sampling.replace(floor=0.0, masked=False),
    )


def _unet() -> UNetConfig:
    """The U-Net of all three: guided diffusion's without attention."""
    return UNetConfig(
        width=64,
        multipliers=(1, 2, 2, 4, 4),
        blocks=2,
        middle_attention=False,
        norm_eps=1e-5,
        condition_width=0,
        time_scale=1.0,  # the clock counts steps
        modulation="shift",
        resample_inside=True,
    )
