"""Shapes and types of all of brainweave are checked while tests run, and the smallest models."""
# ruff: noqa: E402 - what is checked is imported after the hook is there

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch

from jaxtyping import install_import_hook

install_import_hook("brainweave", "beartype.beartype")

import io
import logging
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from brainweave.conditions import Category, Scalar
from brainweave.data.cohort import Cohort
from brainweave.data.files import write_json
from brainweave.data.grid import Grid
from brainweave.data.phantom import write_phantoms
from brainweave.data.preprocess import Preprocess
from brainweave.generator import Generator
from brainweave.networks import UNetConfig
from brainweave.part import to_dict
from brainweave.processes.process import Process
from brainweave.recipe import Recipe, Sampling, Training
from brainweave.representations import Haar

torch.set_num_threads(1)

LAS = ((-9.0, 0.0, 0.0, 70.0), (0.0, 8.5, 0.0, -100.0), (0.0, 0.5, 10.0, -60.0), (0, 0, 0, 1))


@pytest.fixture(scope="session")
def tiny_recipe() -> Recipe:
    """Milliseconds per network call; its template is LAS, oblique, anisotropic and not 16^3."""
    return Recipe(
        name="toy",
        preprocess=Preprocess(shape=(16, 16, 16)),
        template=Grid(shape=(18, 20, 15), affine=LAS),
        representation=Haar(levels=1),
        process=Process(),
        network=UNetConfig(width=8, multipliers=(1, 2), heads=2, groups=4, condition_width=16),
        conditions=(
            Scalar(name="age", low=20, high=80, tokens=2),
            Category(name="sex", values=("F", "M"), tokens=2),
        ),
        training=Training(steps=4, batch=2, validation=0.25, validate_every=4, save_every=2),
        sampling=Sampling(steps=3),
    )


@pytest.fixture(scope="session")
def randomised() -> Callable[[Recipe], Generator]:
    """Makes generators whose zero-initialised layers speak, as after training."""

    def make(recipe: Recipe) -> Generator:
        torch.manual_seed(0)
        generator = Generator(recipe).eval()
        for name, parameter in generator.named_parameters():
            if not parameter.any():
                scale = 0.05 if "head" in name else 0.3
                torch.nn.init.normal_(parameter, std=scale)
        return generator

    return make


@pytest.fixture(scope="session")
def generator(tiny_recipe: Recipe, randomised: Callable[[Recipe], Generator]) -> Generator:
    return randomised(tiny_recipe)


@pytest.fixture(scope="session")
def model(generator: Generator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder."""
    folder = tmp_path_factory.mktemp("models") / "toy"
    generator.save(folder)
    return folder


@pytest.fixture(scope="session")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of eight phantoms of 16^3 voxels."""
    folder = tmp_path_factory.mktemp("heads")
    return write_phantoms(folder, 8, shape=(16, 16, 16), spacing=10.0)


@pytest.fixture(scope="session")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of cohorts to compare, 32 x 40 x 32 voxels of 5 mm, everybody with an id of his
    own: real, made and train, 40 heads of 20 to 80 years each, and young, 40 of 20 to 35."""
    folder = tmp_path_factory.mktemp("sides")
    for seed, (name, oldest) in enumerate(
        {"real": 80, "made": 80, "train": 80, "young": 35}.items()
    ):
        ages = (20.0, float(oldest))
        table = write_phantoms(folder / name, 40, seed=seed, shape=(32, 40, 32), ages=ages)
        heads = [replace(s, id=f"{name}-{s.id[-2:]}", subject="") for s in Cohort.open(table)]
        Cohort(heads).to_csv(table)
    return folder


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where features stay between tests."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="session")
def recipe_file(tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny recipe as a file that `train` takes."""
    path = tmp_path_factory.mktemp("recipes") / "toy.json"
    write_json(path, to_dict(tiny_recipe.replace(template=None)))
    return path


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def cli() -> Callable[..., Outcome]:
    """Runs brainweave with these words as the installed command would, in this process."""
    from brainweave.cli import main

    def run(*words: object) -> Outcome:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "argv", ["brainweave", *map(str, words)])
            patch.setattr(logging.root, "handlers", [])  # pytest's; the command adds its own
            with pytest.raises(SystemExit) as ended:
                main()
        return Outcome(int(ended.value.code or 0), out.getvalue(), err.getvalue())

    return run
