"""What comes back from an autoencoder, measured as `evaluate` measures pairs: a table."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from brainweave.compression import AutoencoderRecipe
from brainweave.data.cohort import Cohort
from brainweave.data.dataset import Batch, VolumeDataset
from brainweave.data.files import write_json
from brainweave.data.tensors import content_hash
from brainweave.device import usable
from brainweave.errors import EvaluationError
from brainweave.evaluation import similarity
from brainweave.evaluation.base import Score
from brainweave.evaluation.paired import METRICS, Row, summarise
from brainweave.evaluation.perceptual import LEAST, Distance, lpips_25d, lpips_distance
from brainweave.evaluation.scans import EDGE
from brainweave.model_folder import WEIGHTS, load_autoencoder
from brainweave.progress import Reporter
from brainweave.representations.autoencoders import Autoencoder
from brainweave.training.engine import first_of_all
from brainweave.training.run import CACHE
from brainweave.training.subjects import COHORT, check_files

TABLE = "reconstruction.json"
SHOWN = ("psnr", "psnr [head]", "ssim", "ms_ssim", "high_frequency_error", "lpips")


@dataclass(frozen=True)
class Roundtrip:
    """scores: of each modality, means over volumes with 95 % intervals over persons. rows: of each
    volume. notes: what is to be said about them. `str` of it is a table for people."""

    scores: dict[str, list[Score]]
    rows: list[Row]
    notes: list[str]

    def __str__(self) -> str:
        found = {name: {s.name: s for s in scores} for name, scores in self.scores.items()}
        names = [name for name in SHOWN if any(name in scores for scores in found.values())]
        lines = [f"| modality | n | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
        for modality, scores in found.items():
            cells = [_cell(scores[name]) if name in scores else "" for name in names]
            count = next(iter(scores.values())).n
            lines.append(f"| {modality} | {count} | {' | '.join(cells)} |")
        return "\n".join([*lines, *self.notes])

    def to_dict(self) -> dict[str, Any]:
        """For JSON, where a number that is not finite is null."""
        scores = {name: [s.to_dict() for s in found] for name, found in self.scores.items()}
        rows = [{name: _finite(value) for name, value in row.items()} for row in self.rows]
        return {"scores": scores, "notes": self.notes, "rows": rows}


def roundtrip(
    recipe: AutoencoderRecipe,
    module: Autoencoder,
    volumes: VolumeDataset,
    *,
    distance: Distance | None = None,
    memory: int = 0,
    seed: int = 0,
    report: Reporter | None = None,
) -> Roundtrip:
    """Every volume through the mean of its latents and back, inside the range of intensities.

    distance: LPIPS as well. memory: see `Autoencoder`. Metrics are those of `evaluate`, of volumes
    scaled to 0..1. Raises EvaluationError for volumes that cannot be measured.
    """
    report = report or Reporter(quiet=True)
    report.start("reconstructing", len(volumes))
    rows: dict[str, list[Row]] = {name: [] for name in volumes.targets}
    for modality, row in _measured(recipe, module, volumes, distance, memory):
        rows[modality].append(row)
        report.advance()
    report.stop()
    scores, notes = {}, [f"{similarity.pyramid(recipe.preprocess.shape)}."]
    for modality, found in rows.items():
        if found:
            scores[modality], more = summarise(found, seed=seed)
            notes += [f"{modality}: {note}" for note in more]
    listed = [{"modality": name, **row} for name, found in rows.items() for row in found]
    return Roundtrip(scores, listed, notes)


def of_run(folder: Path, *, device: str | None = None) -> str:
    """The table of those who validated a run, or of those who trained where nobody did, written
    to reconstruction.json in its folder by the first process, once for the same weights."""
    path, weights = folder / TABLE, content_hash(folder / WEIGHTS)
    if not first_of_all():
        return ""
    if path.is_file() and f'"{weights}"' in path.read_text():
        return f"{path} says how well it returns volumes"
    recipe, module = load_autoencoder(folder, usable(device))
    everybody = Cohort.open(folder / COHORT)
    part = "val" if any(s.split == "val" for s in everybody) else "train"
    cohort = Cohort([s for s in everybody if s.split == part], f"{folder / COHORT}:split={part}")
    check_files(recipe, cohort)
    volumes = recipe.dataset(cohort, cache=folder / CACHE)
    found = roundtrip(recipe, module, volumes, distance=_lpips(recipe), report=Reporter())
    write_json(path, {"weights_sha256": weights, "split": part, **found.to_dict()})
    return f"{found}"


def _measured(
    recipe: AutoencoderRecipe,
    module: Autoencoder,
    volumes: VolumeDataset,
    distance: Distance | None,
    memory: int,
) -> Iterator[tuple[str, Row]]:
    """The modality and the numbers of one volume after the other."""
    low, high = recipe.preprocess.intensity.range
    device = next(module.parameters()).device
    for index, (subject, modality) in enumerate(volumes.volumes):
        batch = Batch.of([volumes[index, 0]])
        with torch.no_grad():
            back = module.reconstruct(batch.volume.to(device), memory=memory)
        real, made = (
            ((x[0, 0] - low) / (high - low)).double().numpy()
            for x in (batch.volume, back.cpu().clamp(low, high))
        )
        row: Row = {"id": subject.id, "subject": subject.subject}
        row |= {name: metric.measure(real, made, None) for name, metric in METRICS.items()}
        row["psnr [head]"] = METRICS["psnr"].measure(real, made, real > EDGE)
        if distance is not None:
            row["lpips"] = lpips_25d(real, made, distance)
        yield modality, row


def _lpips(recipe: AutoencoderRecipe) -> Distance | None:
    """LPIPS where its package and weights are there and slices are large enough."""
    if min(recipe.preprocess.shape) < LEAST:
        return None
    try:
        return lpips_distance()
    except EvaluationError:
        return None


def _cell(score: Score) -> str:
    """Such as "31.20 [30.51, 31.90]"."""
    spread = "" if score.low is None else f" [{score.low:.4g}, {score.high:.4g}]"
    return f"{score.value:.4g}{spread}"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
