"""A bench of phantoms that several files look at."""

from pathlib import Path

import pytest

from brainweave.data.cohort import Cohort
from brainweave.evaluation.bench import Bench
from brainweave.evaluation.scans import open_sides
from brainweave.evaluation.settings import Settings
from brainweave.progress import Reporter


@pytest.fixture(scope="session")
def bench(sides: Path, kept: Path) -> Bench:
    """Real, made and train phantoms of one distribution, described by wavelets and components."""
    cohorts = {name: Cohort.open(sides / name) for name in ("real", "made", "train")}
    scans, _ = open_sides(cohorts)
    settings = Settings(features=("wavelet", "pca"), draws=8, pairs=20)
    return Bench.of(scans, settings, kept, Reporter(quiet=True))


@pytest.fixture(scope="session")
def young(sides: Path) -> Cohort:
    """Phantoms of 20 to 35 years."""
    return Cohort.open(sides / "young")
