"""Our SSIM and MS-SSIM beside four packages on seeded arrays.

Run: python benchmarks/similarity_references.py [--write], where scikit-image, MONAI, pytorch-msssim
and torchmetrics are installed. Prints a table of differences; --write stores the packages' values
as tests/golden/similarity.json. All compute in float64 but MONAI, which turns to float32.
"""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_msssim
import torch
from monai.metrics import MultiScaleSSIMMetric, SSIMMetric
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from brainweave.data.files import write_json
from brainweave.evaluation.brasyn import official, scaled
from brainweave.evaluation.similarity import ms_ssim, ssim

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "similarity.json"
PACKAGES = ("scikit-image", "monai", "pytorch-msssim", "torchmetrics", "torch", "numpy", "scipy")
CASES: list[dict[str, Any]] = [
    {"metric": "ssim", "shape": (64, 72), "seed": 0, "window": 11},
    {"metric": "ssim", "shape": (40, 31, 36), "seed": 1, "window": 11},
    {"metric": "ms_ssim", "shape": (176, 192), "seed": 2, "window": 11},
    {"metric": "ms_ssim", "shape": (48, 64, 80), "seed": 3, "window": 3},
    {"metric": "ms_ssim", "shape": (50, 57, 61), "seed": 4, "window": 3},  # odd: MONAI's halving
    {"metric": "brasyn", "shape": (40, 44, 36), "seed": 5, "window": 11},
]


def pair(shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A smooth random array in 0..1 and the same with noise, float32; the tests make them too."""
    random = np.random.default_rng(seed)
    a = gaussian_filter(random.random(shape), 1.5)
    a = (a - a.min()) / np.ptp(a)
    b = np.clip(a + 0.05 * random.standard_normal(shape), 0, 1)
    return a.astype(np.float32), b.astype(np.float32)


def main() -> None:
    """Prints the table, and writes the golden values where asked to."""
    print(", ".join(f"{name} {version(name)}" for name in PACKAGES), "\n")
    print("| metric | shape | window | package | its value | ours - its |")
    print("|---|---|---|---|---|---|")
    stored = []
    for case in CASES:
        a, b = pair(case["shape"], case["seed"])
        ours, theirs = MEASURES[case["metric"]](a, b, case["window"])
        for name, value in theirs.items():
            mine = ours.get(name, ours.get("", 0.0))
            edges = " x ".join(map(str, case["shape"]))
            print(
                f"| {case['metric']} | {edges} | {case['window']} | {name} | {value:.8f} | "
                f"{mine - value:+.1e} |"
            )
        stored.append({**case, "sum": float(a.sum(dtype=float) + b.sum(dtype=float)), **theirs})
    if "--write" in sys.argv:
        versions = {name: version(name) for name in PACKAGES}
        write_json(GOLDEN, {"made by": Path(__file__).name, "versions": versions, "cases": stored})


def of_ssim(a: np.ndarray, b: np.ndarray, window: int) -> tuple[dict[str, float], dict[str, float]]:
    """Ours under "", and what each package says."""
    x, y = tensors(a, b)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    theirs = {
        "scikit-image": float(
            structural_similarity(
                a.astype(float), b.astype(float), data_range=1.0, win_size=window, **settings
            )
        ),
        "monai": float(SSIMMetric(a.ndim, data_range=1.0, win_size=window)(x, y)),
        "pytorch-msssim": float(pytorch_msssim.ssim(x, y, data_range=1.0, win_size=window)),
    }
    return {"": ssim(a, b, window=window)}, theirs


def of_ms_ssim(
    a: np.ndarray, b: np.ndarray, window: int
) -> tuple[dict[str, float], dict[str, float]]:
    """As `of_ssim`; pytorch-msssim pads odd sides, so it is asked about even pyramids only."""
    x, y = tensors(a, b)
    theirs = {
        "monai": float(MultiScaleSSIMMetric(a.ndim, data_range=1.0, kernel_size=window)(x, y))
    }
    if all(size % 16 == 0 for size in a.shape):
        theirs["pytorch-msssim"] = float(
            pytorch_msssim.ms_ssim(x, y, data_range=1.0, win_size=window)
        )
    return {"": ms_ssim(a, b, window=window)}, theirs


def of_brasyn(
    a: np.ndarray, b: np.ndarray, window: int
) -> tuple[dict[str, float], dict[str, float]]:
    """torchmetrics' defaults; before 1.4.2 it left the mirrored faces out of the mean."""
    tumour = np.zeros(a.shape, dtype=bool)
    tumour[10:22, 12:30, 8:20] = True
    ours, theirs = {}, {}
    for name, faces in (("all", True), ("no faces", False)):
        ours |= dict(zip(NAMES[name], official(a, b, tumour, faces=faces), strict=True))
    for index, mask in enumerate((tumour, ~tumour)):
        x, y = tensors(scaled(b) * mask, scaled(a) * mask)
        value, full = structural_similarity_index_measure(x, y, return_full_image=True)
        inner = full[..., 5:-5, 5:-5, 5:-5]
        theirs[NAMES["all"][index]] = float(value)
        theirs[NAMES["no faces"][index]] = float(inner.mean())
    return ours, theirs


def tensors(a: np.ndarray, b: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Both as batches of one, float64."""
    x, y = (torch.from_numpy(v.astype(np.float64))[None, None] for v in (a, b))
    return x, y


NAMES = {
    "all": ("torchmetrics tumour", "torchmetrics healthy"),
    "no faces": ("torchmetrics tumour, no faces", "torchmetrics healthy, no faces"),
}
MEASURES = {"ssim": of_ssim, "ms_ssim": of_ms_ssim, "brasyn": of_brasyn}

if __name__ == "__main__":
    main()
