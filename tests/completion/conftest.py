"""A small model of random weights that completes, and cases of phantoms that lack something."""

from collections.abc import Callable
from pathlib import Path

import pytest
from lacking import FOUR, NEW, OLD, write_case

from brainweave.completion import Completion, complete
from brainweave.conditions import Category, Images
from brainweave.data.intensity import Percentiles
from brainweave.data.phantom import phantom
from brainweave.data.preprocess import Preprocess
from brainweave.data.volume import Volume
from brainweave.generator import Generator
from brainweave.networks import UNetConfig
from brainweave.processes.process import Process
from brainweave.processes.sources import Informed
from brainweave.recipe import Recipe, Sampling, Training
from brainweave.representations import Haar


@pytest.fixture(scope="session")
def filler_recipe() -> Recipe:
    """Any of four contrasts from any others, in two steps on 16^3 voxels."""
    return Recipe(
        name="filler",
        target="modality",
        preprocess=Preprocess(shape=(16, 16, 16), intensity=Percentiles(low=0, high=1)),
        representation=Haar(levels=1),
        process=Process(source=Informed(noise=0.3), prediction="data"),
        network=UNetConfig(width=8, multipliers=(1, 2), heads=2, groups=4, condition_width=16),
        conditions=(Images(modalities=FOUR), Category(name="modality", values=FOUR)),
        training=Training(steps=4, batch=2),
        sampling=Sampling(sampler="ddim", steps=2, masked=True),
    )


@pytest.fixture(scope="session")
def filler(filler_recipe: Recipe, randomised: Callable[[Recipe], Generator]) -> Generator:
    return randomised(filler_recipe)


@pytest.fixture(scope="session")
def filler_model(filler: Generator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder."""
    folder = tmp_path_factory.mktemp("fillers") / "filler"
    filler.save(folder)
    return folder


@pytest.fixture(scope="session")
def scans() -> list[dict[str, Volume]]:
    """Three heads of 16^3 voxels with four contrasts and a label map."""
    return [
        phantom(age=40.0 + 9 * seed, sex="F", seed=seed, shape=(16, 16, 16), lesion=True)
        for seed in range(3)
    ]


@pytest.fixture
def cases(scans: list[dict[str, Volume]], tmp_path: Path) -> Path:
    """A folder of two BraTS cases: A lacks t1c, B (of the other naming) lacks t2w and flair."""
    folder = tmp_path / "cases"
    write_case(folder / "A", scans[0], ("t1w", "t2w", "flair"), OLD)
    write_case(folder / "B-GLI-1-000", scans[1], ("t1w", "t1c"), NEW)
    return folder


@pytest.fixture
def fill(filler_model: Path, cases: Path, tmp_path: Path) -> Callable[..., list[Path]]:
    """Completes `cases` into tmp_path / "out", or as other words of a Completion say."""

    def run(**words: object) -> list[Path]:
        told = {"model": filler_model, "input": cases, "out": tmp_path / "out", **words}
        return complete(Completion(**told))

    return run
