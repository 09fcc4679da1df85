"""Volume by volume: made against real ones of the same ids, whole and inside masks."""

from collections.abc import Callable

import numpy as np

from brainweave.data.montage import png, sheet
from brainweave.errors import EvaluationError
from brainweave.evaluation.bench import Bench, Chapter
from brainweave.evaluation.brasyn import compare_brasyn
from brainweave.evaluation.paired import Comparison, compare_pairs, matched
from brainweave.evaluation.perceptual import compare_lpips, lpips_distance
from brainweave.evaluation.report import Figure, Finding, Table
from brainweave.evaluation.scans import Scans
from brainweave.evaluation.segmentation import compare_segmentations

_SHOWN = 4  # pairs


def pairing(bench: Bench) -> Chapter:
    """All that pairs allow: similarity, with tumour masks the BraSyn protocol, with two label maps
    Dice, LPIPS where its weights are."""
    bench.reporter.say("comparing pairs")
    real, made, seed = bench.real, bench.made, bench.settings.seed
    found, chapter = [compare_pairs(real, made, seed=seed)], Chapter()
    for name, compared in _further(bench).items():
        try:
            found.append(compared(real, made, seed=seed))
        except EvaluationError as error:
            text = f"{name} was not measured: {error}"
            chapter.findings.append(Finding("distrust", "unknown", text))
    chapter.scores += [score for one in found for score in one.scores]
    chapter.tables += _tables(found)
    chapter.figures.append(_picture(bench))
    return chapter


def _further(bench: Bench) -> dict[str, Callable[..., Comparison]]:
    """What takes more than two volumes: label maps, or a network's weights."""
    masked = [all("seg" in s.images for s in side.subjects) for side in (bench.real, bench.made)]
    wanted: dict[str, Callable[..., Comparison]] = {}
    if masked[0]:
        wanted["The BraSyn protocol"] = compare_brasyn
    if all(masked):
        wanted["Overlap of tumours"] = compare_segmentations

    def lpips(real: Scans, made: Scans, *, seed: int) -> Comparison:
        distance = lpips_distance(**bench.settings.options.get("lpips", {}))
        return compare_lpips(real, made, distance, seed=seed)

    return {**wanted, "LPIPS": lpips}


def _tables(found: list[Comparison]) -> list[Table]:
    """Means with intervals, then every pair."""
    means = tuple((s.name, s.value, s.low, s.high, s.n) for one in found for s in one.scores)
    notes = " ".join(note for one in found for note in one.notes)
    tables = [
        Table("Pairs", "Means over pairs", ("score", "mean", "low", "high", "pairs"), means, notes)
    ]
    for one in found:
        columns = tuple(dict.fromkeys(name for row in one.rows for name in row))
        rows = tuple(tuple(row.get(name) for name in columns) for row in one.rows)
        tables.append(Table("Pairs", "Every pair", columns, rows, "Empty: not defined there."))
    return tables


def _picture(bench: Bench) -> Figure:
    """The first pairs and where they differ."""
    shown = list(matched(bench.real, bench.made))[:_SHOWN]
    real = [bench.real.load(index) for index, _ in shown]
    made = [bench.made.load(partner) for _, partner in shown]
    apart = [np.abs(a - b) for a, b in zip(real, made, strict=True)]
    ids = [bench.real[index].id for index, _ in shown]
    picture = sheet(
        [bench.real.volume(x) for x in (*real, *made, *apart)],
        labels=[*ids, *["SYNTHETIC"] * len(ids), *["difference"] * len(ids)],
        title="real, SYNTHETIC, absolute difference",
        window=(0.0, 1.0),
        columns=len(ids),
    )
    return Figure(
        "Pairs",
        "Real volumes, made ones, and where they differ",
        png(picture),
        "One column per subject: the real volume, the made one, their absolute difference on the "
        "same scale.",
        synthetic=True,
    )
