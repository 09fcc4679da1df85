"""The main jobs in miniature: brains of five ages, a model trained here, a missing contrast made.

Runs the same commands a user would type and may be run again: what is there is not made twice.
"""

import shlex
import subprocess
import sys
import time
from pathlib import Path

from brainweave.data.montage import montage
from brainweave.data.volume import Volume

AGES = (20, 35, 50, 65, 80)


def main(folder: Path) -> None:
    """Fills `folder`: brains/ from the shipped weights, heads/ of a model trained here, and
    completed/, a contrast that two heads lack."""
    began = time.monotonic()
    ages = ",".join(map(str, AGES))
    run(f"brainweave generate age={ages} --seed 1 --out {folder}/brains")
    run(f"brainweave phantom {folder}/phantoms --count 48 --shape 32,40,32")
    run(f"brainweave train tiny data={folder}/phantoms/cohort.csv out={folder}/run")
    run(f"brainweave generate {folder}/run age={ages} --seed 1 --out {folder}/heads")
    size = "--shape 32,40,32 --modalities"
    run(f"brainweave phantom {folder}/cases --count 16 {size} t1w,t1c,t2w,flair,seg")
    run(f"brainweave phantom {folder}/incomplete --count 2 --seed 77 {size} t1w,t2w,flair,seg")
    run(f"brainweave train complete_tiny data={folder}/cases out={folder}/completer")
    run(f"brainweave complete {folder}/completer {folder}/incomplete --out {folder}/completed")
    picture = folder / "montage.png"
    volumes, labels = [], []
    for kind in ("brains", "heads"):
        for age, path in zip(AGES, made(folder / kind), strict=True):
            volumes.append(Volume.load(path))
            labels.append(f"{age} y, {kind}")
    title = "SYNTHETIC  above: shipped weights, below: trained on phantoms just now"
    montage(volumes, picture, labels=labels, title=title, window=(0, 1), columns=len(AGES))
    print(f"\n{time.monotonic() - began:.0f} s. Look at {picture} and completed/montage.png in")
    print(f"{folder}, where the volumes are:")
    print(f"  {folder}/brains  five ages of one synthetic head, from the weights in the package")
    print(f"  {folder}/heads   the same of the model trained in {folder}/run on {folder}/phantoms")
    print(f"  {folder}/completed  the t1c of two phantoms, made from their t1w, t2w and flair")


def run(command: str) -> None:
    """Shows a command and runs it with this environment's brainweave; stops where it fails."""
    print(f"\n$ {command}", flush=True)
    words = shlex.split(command)
    code = subprocess.run([sys.executable, "-m", *words], check=False).returncode
    if code:
        sys.exit(code)


def made(folder: Path) -> list[Path]:
    """The volumes of a folder from the youngest to the oldest."""
    paths = folder.glob("age-*.nii.gz")
    return sorted(paths, key=lambda path: float(path.name.split("_")[0].removeprefix("age-")))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
