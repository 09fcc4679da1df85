"""A run of seconds on phantoms, as a module and as the script that tests start and kill:

python tiny.py COHORT.csv FOLDER [training.steps=30 ...]   prints the digest of the weights
"""

import sys
from pathlib import Path

import torch

from brainweave.conditions.covariates import Category, Scalar
from brainweave.data.cohort import Cohort
from brainweave.data.preprocess import Preprocess
from brainweave.data.tensors import content_hash
from brainweave.errors import BrainweaveError
from brainweave.networks.unet import UNetConfig
from brainweave.part import override
from brainweave.processes.process import Process
from brainweave.recipe import Recipe, Sampling, Training
from brainweave.representations.haar import Haar
from brainweave.training.run import train

STEPS = 30


def recipe(*assignments: str) -> Recipe:
    """Dropout, conditions, whitening and averaging all have a part in it."""
    tiny = Recipe(
        name="tiny",
        preprocess=Preprocess(shape=(16, 16, 16)),
        representation=Haar(whiten=True),
        process=Process(),
        network=UNetConfig(
            width=8, multipliers=(1, 2), heads=2, groups=4, condition_width=16, dropout=0.1
        ),
        conditions=(
            Scalar(name="age", low=20, high=80),
            Category(name="sex", values=("F", "M")),
        ),
        training=Training(
            steps=STEPS, batch=2, lr=3e-3, warmup=5, validation=0.2, validate_every=15, save_every=5
        ),
        sampling=Sampling(steps=2),
    )
    for assignment in assignments:
        tiny = override(tiny, assignment)
    return tiny


def digest(folder: Path) -> str:
    """The content hash of the weights that a run keeps."""
    return content_hash(folder / "weights.safetensors")


def main(table: str, folder: str, *assignments: str) -> int:
    torch.set_num_threads(1)
    try:
        train(recipe(*assignments), Cohort.from_csv(Path(table)), Path(folder), device="cpu")
    except BrainweaveError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(digest(Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
