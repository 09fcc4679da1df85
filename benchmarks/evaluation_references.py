"""Our distances beside those of scipy, torchmetrics, prdc and medmetric on the same features.

    PYTHONPATH=src python benchmarks/evaluation_references.py [--write]

in an environment that has them (`pip install torchmetrics prdc medmetric monai scikit-learn`);
prints a markdown table of values and differences. --write: keeps the references' numbers in
tests/golden/distribution.json, with the seeds of their inputs and the packages' versions.
"""

import argparse
import contextlib
import io
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.linalg import sqrtm

from brainweave.data.files import write_json
from brainweave.evaluation.distribution import frechet, kid
from brainweave.evaluation.layouts import medmetric
from brainweave.evaluation.neighbours import prdc

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "distribution.json"
PACKAGES = ("numpy", "scipy", "torch", "torchmetrics", "prdc", "scikit-learn", "monai", "medmetric")
CASES: tuple[dict[str, int], ...] = (
    {"seed": 0, "n": 300, "m": 300, "d": 12},
    {"seed": 1, "n": 60, "m": 60, "d": 96},
    {"seed": 2, "n": 50, "m": 80, "d": 20},
    {"seed": 3, "n": 100, "m": 40, "d": 64},
)
K = 5


def sides(seed: int, n: int, m: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Two Gaussian sets with falling deviations, the second shifted and wider."""
    random = np.random.default_rng(seed)
    deviations = np.arange(1, d + 1) ** -0.5
    real = random.standard_normal((n, d)) * deviations
    return real, random.standard_normal((m, d)) * deviations * 1.1 + 0.1


def references(real: np.ndarray, made: np.ndarray) -> dict[str, float]:
    """What the other packages say."""
    from medmetric.metrics import FID, MMD
    from prdc import compute_prdc
    from torchmetrics.image.kid import poly_mmd

    x, y = torch.from_numpy(real), torch.from_numpy(made)
    found: dict[str, float] = {}
    if min(len(real), len(made)) > real.shape[1]:  # the root of a singular product is no root
        found["frechet"] = by_root(real, made)
    if len(real) == len(made):  # torchmetrics knows no others
        found["kid"] = float(poly_mmd(x, y))
    with contextlib.redirect_stdout(io.StringIO()):
        found |= {key: float(value) for key, value in compute_prdc(real, made, K).items()}
    return found | {"medmetric_fid": float(FID()(y, x)), "medmetric_mmd": float(MMD()(y, x))}


def by_root(real: np.ndarray, made: np.ndarray) -> float:
    """The Frechet distance as it is commonly computed."""
    first, second = np.cov(real, rowvar=False), np.cov(made, rowvar=False)
    root = sqrtm(first @ second).real
    shift = real.mean(axis=0) - made.mean(axis=0)
    return float(shift @ shift + np.trace(first + second - 2 * root))


def ours(real: np.ndarray, made: np.ndarray) -> dict[str, float]:
    """The same numbers by this package."""
    other = medmetric(real, made)
    return {
        "frechet": frechet(real, made),
        "kid": kid(real, made),
        **prdc(real, made, K)._asdict(),
        "medmetric_fid": other.fid,
        "medmetric_mmd": other.mmd,
    }


def main(write: bool) -> None:
    kept: list[dict[str, Any]] = []
    print("| n | m | d | number | reference | ours | difference |")
    print("|---:|---:|---:|---|---:|---:|---:|")
    for case in CASES:
        real, made = sides(**case)
        theirs, mine = references(real, made), ours(real, made)
        for key, value in theirs.items():
            sizes = f"{case['n']} | {case['m']} | {case['d']}"
            gap = abs(mine[key] - value)
            print(f"| {sizes} | {key} | {value:.9f} | {mine[key]:.9f} | {gap:.1e} |")
        kept.append(case | {"k": K, "values": theirs})
    versions = {package: version(package) for package in PACKAGES}
    print("\n" + ", ".join(f"{package} {number}" for package, number in versions.items()))
    if write:
        script = "benchmarks/evaluation_references.py"
        write_json(GOLDEN, {"script": script, "packages": versions, "cases": kept})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    main(parser.parse_args().write)
