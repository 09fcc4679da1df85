"""Tables as others print them, so that their protocols can be repeated on the same volumes."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from brainweave.errors import EvaluationError
from brainweave.evaluation.anatomy import Anatomy
from brainweave.evaluation.base import Vectors, halves, subsets
from brainweave.evaluation.bench import Bench, Space
from brainweave.evaluation.diversity import draw_pairs
from brainweave.evaluation.label_regions import Labelled, flowlet_table, label_rows, rank_pairs
from brainweave.evaluation.layouts import medmetric, medmetric_table, reconstructions, slides
from brainweave.evaluation.paired import compare_pairs, load_labels, matched
from brainweave.evaluation.perceptual import compare_lpips, lpips_distance
from brainweave.evaluation.scans import Scans

Size = tuple[int, int]  # volumes of a draw, draws
LABELS = "labels"


def published(layout: str, bench: Bench, *, bootstrap: Size = (200, 20)) -> str:
    """A table in markdown. layout: "slides", "medmetric" or "flowlet".

    Raises EvaluationError for another layout and where the volumes do not allow it.
    """
    if layout not in _TABLES:
        raise EvaluationError(f"no layout {layout!r}; there are {', '.join(_TABLES)}")
    return _TABLES[layout](bench, bootstrap)


def _slides(bench: Bench, bootstrap: Size) -> str:
    """FID, precision, recall, density and coverage; with reconstructions also their similarity."""
    tables = [_slide(bench, space, bootstrap) for space in bench.spaces]
    if "recon" in bench.sides:
        tables.append(_reconstructed(bench))
    return "\n\n".join(tables)


def _slide(bench: Bench, space: Space, bootstrap: Size) -> str:
    size, draws = bootstrap
    seed = bench.settings.seed
    persons = [bench.real.persons[i] for i in space.apart]
    real = space.vectors["real"][space.apart]
    ((a, b),) = halves(persons, draws=1, seed=seed)
    pairs: dict[str, tuple[Vectors, Vectors]] = {}
    if "recon" in bench.sides:
        order = np.array(list(matched(bench.real, bench.sides["recon"])))
        vectors = space.vectors["real"][order[:, 0]], space.vectors["recon"][order[:, 1]]
        pairs["real-recon"] = vectors
    pairs["real-real(other)"] = real[a], real[b]
    pairs["real-generated"] = real, space.vectors["made"]
    least = min(len(side) for pair in pairs.values() for side in pair)
    if least < size:
        bench.reporter.say(
            f"{space.name}: {least} volumes are the fewest of a side: draws of {least}, not {size}"
        )
    return slides(
        pairs,
        draws=draws,
        size=min(size, least),
        features=f"{space.name} ({space.digest[:12]})",
        paired=[name for name in pairs if name == "real-recon"],
        seed=seed,
    )


def _reconstructed(bench: Bench) -> str:
    """LPIPS where its weights are, PSNR and SSIM of the reconstructions."""
    found = compare_pairs(bench.real, bench.sides["recon"], seed=bench.settings.seed)
    numbers = {"PSNR": [row["psnr"] for row in found.rows if row["psnr"] < math.inf]}
    if equal := len(found.rows) - len(numbers["PSNR"]):
        bench.reporter.say(f"PSNR is without {equal} reconstructions that equal their volume")
    numbers = {name: values for name, values in numbers.items() if values}
    numbers["SSIM"] = [row["ssim"] for row in found.rows]
    try:
        distance = lpips_distance(**bench.settings.options.get("lpips", {}))
    except EvaluationError as error:
        bench.reporter.say(f"LPIPS is left out: {error}")
        return reconstructions(numbers)
    alike = compare_lpips(bench.real, bench.sides["recon"], distance, seed=bench.settings.seed)
    return reconstructions({"LPIPS": [float(row["lpips"]) for row in alike.rows], **numbers})


def _medmetric(bench: Bench, _: Size) -> str:
    """medmetric's FID, MMD and MS-SSIM (of pairs of made volumes)."""
    pairs = draw_pairs(bench.made.persons, bench.settings.pairs, seed=bench.settings.seed)

    def loaded() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return ((bench.made.load(i), bench.made.load(j)) for i, j in pairs)

    return "\n\n".join(
        medmetric_table(
            {
                "made": medmetric(
                    space.vectors["real"][space.apart], space.vectors["made"], loaded()
                )
            },
            features=f"{space.name} ({space.digest[:12]}), {len(pairs)} pairs of made volumes",
        )
        for space in bench.spaces
    )


def _flowlet(bench: Bench, _: Size) -> str:
    """Dice, MAE, MSE and KLD by region, pairs by rank of age."""
    sides = [_aged(bench, side) for side in (bench.real, bench.made)]
    size = min(map(len, sides))
    if not size:
        raise EvaluationError("nobody has an age on one side; FlowLet's pairs go by rank of age")
    real, made = (
        side.take(np.sort(next(subsets(side.persons, size, draws=1, seed=bench.settings.seed))))
        for side in sides
    )
    if max(map(len, sides)) > size:
        bench.reporter.say(f"pairs by rank of age need equal numbers: {size} of each side, drawn")
    segment = _segmenter(bench)
    pairs = rank_pairs(real.numbers("age"), made.numbers("age"))

    def labelled() -> Iterator[tuple[Labelled, Labelled]]:
        bench.reporter.start("label regions", len(pairs))
        for i, j in pairs:
            yield segment(real, i), segment(made, j)
            bench.reporter.advance()
        bench.reporter.stop()

    return flowlet_table(list(label_rows(labelled())))


def _aged(bench: Bench, scans: Scans) -> Scans:
    known = np.flatnonzero(~np.isnan(scans.numbers("age")))
    if len(known) < len(scans):
        bench.reporter.say(f"{len(scans) - len(known)} {scans.name} volumes have no age: left out")
    return scans.take(known)


def _segmenter(bench: Bench) -> Callable[[Scans, int], Labelled]:
    """The label maps that both cohorts bring, or both sides' regions by the priors."""
    if all(LABELS in s.images for side in (bench.real, bench.made) for s in side.subjects):
        return lambda scans, i: Labelled(scans.load(i), load_labels(scans, i, LABELS))
    if bench.settings.priors is None:
        raise EvaluationError(
            "FlowLet's table needs label maps: a column `labels` in both cohorts, or --priors to "
            "find regions in both"
        )
    anatomy = Anatomy(bench.settings.priors.on(bench.real.grid))
    bench.reporter.say("regions by anatomical priors on both sides, not FastSurfer's 95 labels")

    def segment(scans: Scans, index: int) -> Labelled:
        volume = scans.load(index)
        return Labelled(volume, anatomy.labels(volume, scans.spacing))

    return segment


_TABLES: dict[str, Callable[[Bench, Size], str]] = {
    "slides": _slides,
    "medmetric": _medmetric,
    "flowlet": _flowlet,
}
