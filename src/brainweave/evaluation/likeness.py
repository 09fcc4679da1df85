"""Are made volumes like real ones? Features against their null, appearance, diversity, strata."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from brainweave.errors import EvaluationError
from brainweave.evaluation.appearance import SIGNS, signs, told
from brainweave.evaluation.base import CLEAR, LEAST, NOTED, Indices, Score
from brainweave.evaluation.bench import Bench, Chapter
from brainweave.evaluation.comparison import standardise
from brainweave.evaluation.distribution import (
    frechet_infinity,
    median_distance,
    mmd,
    mmd_test,
)
from brainweave.evaluation.diversity import diversity
from brainweave.evaluation.effects import effects
from brainweave.evaluation.report import Finding, Grade, Table
from brainweave.evaluation.scans import Scans

FEWEST = 20  # scans of each side that a stratum needs
_FAR = 100.0  # |z|
_TINY = 1e-12
APPEARANCE = "appearance"
DECADE = "age_bin"


def likeness(bench: Bench) -> Chapter:
    """Every feature space, every stratum, what the eye sees, and how alike made ones are."""
    chapter = Chapter()
    for space in bench.spaces:
        chapter.scores += bench.beside_null(
            space.name,
            space.vectors,
            metrics=bench.settings.metrics,
            digest=space.digest,
            rows={"real": space.apart},
        )
    compared = list(chapter.scores)
    _permuted(bench, chapter)
    _appearance(bench, chapter)
    try:
        chapter.scores += diversity(
            bench.real,
            bench.made,
            pairs=bench.settings.pairs,
            seed=bench.settings.seed,
            reporter=bench.reporter,
        )
    except EvaluationError as error:
        chapter.findings.append(
            Finding("distrust", "fair", f"Diversity was not measured: {error}.")
        )
    chapter.findings.insert(0, _verdict(compared, bench))
    for column in bench.settings.by:
        _strata(bench, column, chapter)
    return chapter


def strata(scans: Scans, column: str) -> list[str]:
    """The value of a covariate of every scan as a text, empty where it is not known; "age_bin" is
    the decade of age, and other numbers are told as they are."""
    if column == DECADE:
        ages = scans.numbers("age")
        return [
            "" if np.isnan(age) else f"{int(age // 10) * 10}-{int(age // 10) * 10 + 9}"
            for age in ages
        ]
    return scans.words(column)


def _permuted(bench: Bench, chapter: Chapter) -> None:
    """The permutation test of every feature space, and the Frechet distance at endless numbers
    where there are enough volumes for it. What is exchanged must be scaled by both sides alike."""
    rows, refused = [], {}
    for space in bench.spaces:
        persons = [bench.real.persons[i] for i in space.apart]
        sides = standardise(space.vectors["real"][space.apart], space.vectors["made"])
        squared = mmd(sides.real, sides.made)
        pooled = np.concatenate([sides.real, sides.made])
        pooled = pooled / np.maximum(pooled.std(axis=0), _TINY)
        p = mmd_test(
            pooled[: len(sides.real)],
            pooled[len(sides.real) :],
            persons=(persons, bench.made.persons),
            bandwidth=median_distance(pooled),
            seed=bench.settings.seed,
        )
        endless = None
        try:
            endless = frechet_infinity(sides.real, sides.made, seed=bench.settings.seed)
        except EvaluationError as error:
            refused[space.name] = str(error)
        rows.append((space.name, squared, p, endless, len(sides.real), len(sides.made)))
        if sides.said:
            chapter.findings.append(Finding("distrust", "unknown", f"{space.name}: {sides.said}."))
    chapter.tables.append(
        Table(
            "Features",
            "Are real and made volumes exchangeable?",
            ("features", "MMD², all volumes", "p", "FD-infinity", "real", "made"),
            tuple(rows),
            "p: the share of random exchanges of persons between the two sides with an MMD² at "
            "least as large (999 exchanges); unbiased and not clamped, so below 0 is possible. "
            "FD-infinity: the Frechet distance extrapolated to endless volumes. "
            + " ".join(f"{name}: {reason}." for name, reason in refused.items()),
        )
    )


def _appearance(bench: Bench, chapter: Chapter) -> None:
    """Shifts of every sign, and the words for the clear ones."""
    vectors = {}
    for side, scans in (("real", bench.real), ("made", bench.made)):
        bench.reporter.start(f"appearance, {side}", len(scans))
        vectors[side] = signs(_counted(bench, scans))
        bench.reporter.stop()
    scores = effects(bench, APPEARANCE, [sign.name for sign in SIGNS], vectors)
    chapter.scores += scores
    if words := told(scores, CLEAR):
        chapter.findings.append(Finding("like", "bad", f"Made volumes are {_listed(words)}."))
    means = {side: values.mean(0) for side, values in vectors.items()}
    rows = [
        (sign.name, float(means["real"][i]), float(means["made"][i]), *_told(scores, sign.name))
        for i, sign in enumerate(SIGNS)
    ]
    chapter.tables.append(
        Table(
            "Appearance",
            "What the eye would say, as numbers",
            ("sign", "real mean", "made mean", "shift, real sd", "z"),
            tuple(rows),
            "Shift: made less real mean over the real standard deviation. z: that shift over what "
            "disjoint halves of the real volumes differ by.",
        )
    )


def _counted(bench: Bench, scans: Scans) -> Iterator[Float[np.ndarray, "i j k"]]:
    """The volumes, each of which advances the bar."""
    for volume in scans.volumes():
        yield volume
        bench.reporter.advance()


def _told(scores: Sequence[Score], sign: str) -> tuple[float | None, float | None]:
    found = [score for score in scores if score.name == f"{APPEARANCE}/{sign}"]
    return (found[0].value, found[0].z) if found else (None, None)


def _verdict(scores: Sequence[Score], bench: Bench) -> Finding:
    """One sentence on all feature spaces."""
    judged = [score for score in scores if score.z is not None]
    clear = sorted((s for s in judged if abs(s.z or 0) > CLEAR), key=lambda s: -abs(s.z or 0))
    noted = [s for s in judged if NOTED < abs(s.z or 0) <= CLEAR]
    n = max((score.n for score in judged), default=0)
    if not judged:
        return Finding("like", "unknown", "No feature could be compared.")
    text = (
        f"{len(clear)} of {len(judged)} comparisons of features lie beyond {CLEAR:g} standard "
        f"deviations of what {n} real volumes score against {n} others"
    )
    if n < LEAST:
        return Finding(
            "like", "unknown", f"{text}: {n} are too few to answer, {LEAST} is the least."
        )
    if clear:
        furthest = ", ".join(f"{s.name} ({_z(s)})" for s in clear[:3])
        return Finding("like", "bad", f"{text}; the furthest: {furthest}.")
    grade: Grade = "good" if len(noted) <= 0.1 * len(judged) else "fair"
    return Finding("like", grade, f"{text}, {len(noted)} beyond {NOTED:g}.")


def _z(score: Score) -> str:
    """z as it is told: beyond 100 it says no more than that."""
    z = score.z or 0.0
    return f"z {z:.1f}" if abs(z) < _FAR else f"z beyond {_FAR if z > 0 else -_FAR:g}"


def _strata(bench: Bench, column: str, chapter: Chapter) -> None:
    """Every feature space within every value of a covariate that has enough scans."""
    values = {side: strata(bench.sides[side], column) for side in ("real", "made")}
    counts = {side: Counter(values[side]) for side in values}
    names = sorted({name for side in counts for name in counts[side] if name})
    if not names:
        text = f"Nothing was compared by {column}: no scan has it."
        chapter.findings.append(Finding("distrust", "fair", text))
        return
    few = []
    for name in names:
        rows = {side: _rows(values[side], name) for side in values}
        if min(len(indices) for indices in rows.values()) < FEWEST:
            few.append(f"{name} ({counts['real'][name]} real, {counts['made'][name]} made)")
            continue
        for space in bench.spaces:
            within = {**rows, "real": np.intersect1d(rows["real"], space.apart)}
            if len(within["real"]) < FEWEST:
                continue
            scores = bench.beside_null(
                space.name,
                space.vectors,
                metrics=bench.settings.metrics,
                digest=space.digest,
                rows=within,
            )
            chapter.scores += [replace(s, name=f"{s.name} [{column}={name}]") for s in scores]
    if few:
        text = f"By {column}, fewer than {FEWEST} a side were not compared: {'; '.join(few)}."
        chapter.findings.append(Finding("distrust", "fair", text))


def _rows(values: Sequence[str], name: str) -> Indices:
    return np.flatnonzero([value == name for value in values])


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
