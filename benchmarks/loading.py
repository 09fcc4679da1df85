"""What loading a case of four modalities costs. Run: python benchmarks/loading.py [CASES] [--quick]

Phantoms of 240 x 240 x 155 voxels as int16 .nii.gz. `plain` loads a case as cWDM's loader does
(arXiv:2411.17203): gunzip to float64 by nibabel, clip at two quantiles of the whole volume, scale
to 0..1, pad and crop to 224 x 224 x 160, float32; the same in every epoch. Ours is the dataset of
the recipe cwdm: the first epoch decodes and writes the cache, a later process verifies its hashes
once. CPU seconds of user and system per case, the median over cases, all in one process.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import nibabel
import numpy as np
import torch
from torch import Tensor

from brainweave.data.brats import IMAGES
from brainweave.data.cohort import Cohort, Subject
from brainweave.data.phantom import write_phantoms
from brainweave.recipes.cwdm import cwdm

CASES = 3
SHAPE, BOX = (240, 240, 155), (224, 224, 160)
SMALL, SMALL_BOX = (60, 60, 39), (64, 64, 32)  # --quick
CLIP = (0.001, 0.999)

Shape = tuple[int, int, int]


def main(count: int, *, quick: bool) -> None:
    """Prints the table."""
    shape, box = (SMALL, SMALL_BOX) if quick else (SHAPE, BOX)
    recipe = cwdm().replace(preprocess=cwdm().preprocess.replace(shape=box))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = write_phantoms(folder / "cases", count, shape=shape, modalities=IMAGES)
        cohort = Cohort.from_csv(table)
        sizes = [path.stat().st_size for case in cohort for path in case.images.values()]
        print(f"{count} cases, 4 x {' x '.join(map(str, shape))} voxels, ", end="")
        print(f"{np.mean(sizes) / 1e6:.1f} MB a file, {torch.get_num_threads()} threads\n")
        ours, later = (recipe.dataset(cohort, cache=folder / "cache") for _ in range(2))
        loads: dict[str, Callable[[int], object]] = {
            "plain, every epoch": lambda index: plain(cohort[index], box),
            "ours, first epoch": lambda index: ours[index, 0],
            "ours, from the second epoch on": lambda index: ours[index, 0],
            "ours, first epoch of a later process": lambda index: later[index, 0],
        }
        print("| loading | CPU seconds per case | of plain |\n|---|---|---|")
        base = 0.0
        for title, load in loads.items():
            seconds = median(used(load, index) for index in range(count))
            base = base or seconds
            print(f"| {title} | {seconds:.3f} | {seconds / base:.3f} |", flush=True)


def plain(case: Subject, box: Shape) -> list[Tensor]:
    """A case as cWDM's loader decodes it."""
    volumes = []
    for name in IMAGES:
        x = nibabel.load(case.images[name]).get_fdata()
        x = np.clip(x, *(np.quantile(x, share) for share in CLIP))
        x = (x - x.min()) / (x.max() - x.min())
        volumes.append(torch.from_numpy(framed(x, box))[None].float())
    return volumes


def framed(x: np.ndarray, box: Shape) -> np.ndarray:
    """The middle of an array, padded with zeros where the box is larger."""
    pairs = list(zip(x.shape, box, strict=True))
    x = np.pad(x, [(0, max(0, wanted - size)) for size, wanted in pairs])
    starts = [max(0, size - wanted) // 2 for size, wanted in pairs]
    return x[tuple(slice(a, a + wanted) for a, (_, wanted) in zip(starts, pairs, strict=True))]


def used(load: Callable[[int], object], index: int) -> float:
    """CPU seconds of loading one case."""
    began = time.process_time()
    load(index)
    return time.process_time() - began


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if not word.startswith("-")]
    main(numbers[0] if numbers else CASES, quick="--quick" in sys.argv)
