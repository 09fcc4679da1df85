"""What scores are where nothing is wrong. Run: python benchmarks/nulls.py COHORT [--out FOLDER]

COHORT: real volumes of two sites, such as participants.csv:split=train,qc=ok; the largest site
gives the real side, as many of the second the other one. Prints the Frechet distance of two samples
of one normal distribution by their number, the null of precision to coverage, and one site against
another.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from brainweave import Cohort
from brainweave.evaluation.bench import Bench
from brainweave.evaluation.distribution import frechet
from brainweave.evaluation.scans import open_sides
from brainweave.evaluation.settings import Settings
from brainweave.progress import Reporter

FEATURES = ("wavelet", "random-cnn", "regions")
NUMBERS, DIMENSIONS = (64, 256, 1024), 512
SHOWN = ("precision@5", "recall@5", "density@5", "coverage@5")


def main() -> None:
    """Prints three tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out/nulls"))
    asked = parser.parse_args()
    print(f"two samples of N(0, I) in {DIMENSIONS} dimensions\n")
    print(f"| n | {' | '.join(map(str, NUMBERS))} |\n|---{'|---' * len(NUMBERS)}|")
    print(f"| Frechet distance | {' | '.join(f'{biased(n):.0f}' for n in NUMBERS)} |\n")

    cohort = Cohort.open(asked.cohort)
    (first, _), (second, count) = Counter(s.covariates["site"] for s in cohort).most_common(2)
    real, made = (cohort.select(site=site) for site in (first, second))
    real = Cohort(real[: 2 * count], str(first))
    sides, _ = open_sides({"real": real, "made": made})
    settings = Settings(features=FEATURES, metrics=("frechet", *SHOWN))
    bench = Bench.of(sides, settings, asked.out, Reporter())
    print(f"{len(real)} volumes of {first}, {len(made)} of {second}\n")
    print(f"| features | n | {' | '.join(SHOWN)} | frechet | frechet, other site |")
    print("|---|---" + "|---" * (len(SHOWN) + 2) + "|")
    for space in bench.spaces:
        scores = bench.beside_null(space.name, space.vectors, metrics=settings.metrics)
        found = {score.name.rpartition("/")[2]: score for score in scores}
        cells = [f"{found[n].null_mean:.2f} ± {found[n].null_sd:.2f}" for n in SHOWN]
        far = found["frechet"]
        cells += [f"{far.null_mean:.4g} ± {far.null_sd:.2g}", f"{far.value:.4g}"]
        print(f"| `{space.name}` | {far.n} | {' | '.join(cells)} |")


def biased(n: int) -> float:
    """The distance of two samples that should be 0."""
    random = np.random.default_rng(0)
    return frechet(*(random.normal(size=(n, DIMENSIONS)) for _ in range(2)))


if __name__ == "__main__":
    main()
