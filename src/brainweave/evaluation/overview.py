"""What was compared: real and made volumes side by side, and what to distrust of it all."""

import numpy as np

from brainweave.data.montage import png, sheet
from brainweave.errors import EvaluationError
from brainweave.evaluation.base import CLEAR, LEAST, Indices
from brainweave.evaluation.bench import Bench, Chapter
from brainweave.evaluation.report import Figure, Finding, Grade, Topic
from brainweave.evaluation.scans import EDGE, Scans

SECTION = "Volumes"
FEW, ROUGH, SMALL = 20, 30, 50  # persons: nearly nothing, a rough z, only large differences
_SHOWN = 6  # columns of the montage
_ALIKE = 0.5  # correlation with the mean real volume below which one is called no such brain
_TURNED = 0.3  # part of what is missing to identity that a mirror image must explain
_SHIFT = 0.2  # shares of a site that differ by more are a shift


def overview(bench: Bench) -> Chapter:
    """The montage and every doubt about the volumes themselves."""
    chapter = Chapter(figures=[_montage(bench)])
    _twice(bench, chapter)
    _numbers(bench, chapter)
    _ages(bench, chapter)
    _sites(bench, chapter)
    _strange(bench, chapter)
    return chapter


def _montage(bench: Bench) -> Figure:
    """Real above made, at the same ages where both have them."""
    rows = _columns(bench.real, bench.made)
    volumes, labels = [], []
    for scans, chosen in zip((bench.real, bench.made), rows, strict=True):
        ages = scans.numbers("age")
        for index in chosen:
            volumes.append(scans.volume(scans.load(int(index))))
            word = "real" if scans is bench.real else "SYNTHETIC"
            labels.append(word if np.isnan(ages[index]) else f"{word} {ages[index]:.0f}")
    picture = sheet(
        volumes,
        labels=labels,
        title="above: real   below: SYNTHETIC",
        window=(0.0, 1.0),
        columns=len(rows[0]),
    )
    return Figure(
        SECTION,
        "Real volumes and made ones of the nearest ages",
        png(picture),
        "Middle planes; one scale of grey for all. Numbers are ages in years, known or asked.",
        synthetic=True,
    )


def _columns(real: Scans, made: Scans) -> tuple[Indices, Indices]:
    """Made volumes evenly over their ages, each with the real one of the nearest age."""
    count = min(_SHOWN, len(real), len(made))
    ours, theirs = real.numbers("age"), made.numbers("age")
    aged = np.flatnonzero(~np.isnan(theirs))
    if len(aged) < count or np.isnan(ours).all():
        return _spread(np.arange(len(real)), count), _spread(np.arange(len(made)), count)
    chosen = _spread(aged[np.argsort(theirs[aged])], count)
    free = ~np.isnan(ours)
    partners = []
    for age in theirs[chosen]:
        gap = np.where(free, np.abs(ours - age), np.inf)
        partner = int(gap.argmin())
        partners.append(partner)
        if free.sum() > 1:
            free[partner] = False
    return np.array(partners), chosen


def _spread(indices: Indices, count: int) -> Indices:
    return indices[np.linspace(0, len(indices) - 1, count).round().astype(int)]


def _twice(bench: Bench, chapter: Chapter) -> None:
    """Files and persons that are on two sides. Raises EvaluationError where all made files are real
    ones."""
    files = {name: scans.hashes for name, scans in bench.sides.items()}
    pairs = (("made", "real"), ("made", "train"), ("real", "train"))
    for one, other in (pair for pair in pairs if pair[1] in files):
        count = sum(content in set(files[other]) for content in files[one])
        if one == "made" and other == "real" and count == len(files[one]):
            raise EvaluationError(
                f"all {count} made files are also among the real ones, byte for byte; give what "
                "was made, and real volumes that are something else"
            )
        if count:
            text = (
                f"{count} of {len(files[one])} {one} files are also {other} files, byte for byte."
            )
            topic: Topic = "copy" if one == "made" else "distrust"
            chapter.findings.append(Finding(topic, "bad", text))
    if bench.train is not None:
        persons = set(bench.train.persons)
        if count := len(set(bench.real.persons) & persons):
            text = (
                f"{count} of {len(set(bench.real.persons))} real persons have an id that is in "
                "train too and count as having trained; if only the names coincide, rename them."
            )
            chapter.findings.append(Finding("distrust", "bad", text))


def _numbers(bench: Bench, chapter: Chapter) -> None:
    """Too few volumes, and persons with several."""
    for name, scans in (("real", bench.real), ("made", bench.made)):
        persons = len(set(scans.persons))
        if persons < SMALL:
            grade: Grade = "bad" if persons < FEW else "fair"
            what = "say next to nothing" if persons < FEW else "show only large differences"
            what += ", and z is rough" if FEW <= persons < ROUGH else ""
            noun = "head" if name == "made" else "person"
            text = f"{persons} {name} {noun}{'s' * (persons != 1)}: so few {what}."
            if name == "made" and persons < len(scans):
                text += " Volumes of one seed are one head; `generate --cohort` gives each its own."
            chapter.findings.append(Finding("distrust", grade, text))


def _ages(bench: Bench, chapter: Chapter) -> None:
    """Ages that are missing or differ between the sides."""
    ages = {name: scans.numbers("age") for name, scans in bench.sides.items()}
    for name, values in ages.items():
        if lacking := int(np.isnan(values).sum()):
            text = f"{lacking} of {len(values)} {name} volumes have no age."
            chapter.findings.append(Finding("distrust", "fair", text))
    known = {name: values[~np.isnan(values)] for name, values in ages.items()}
    real, made = known["real"], known["made"]
    if min(len(real), len(made)) < 2:
        return
    error = float(np.hypot(real.std() / len(real) ** 0.5, made.std() / len(made) ** 0.5))
    if min(len(real), len(made)) >= LEAST and abs(made.mean() - real.mean()) > CLEAR * error > 0:
        text = (
            f"Ages differ: real {real.mean():.0f} ± {real.std():.0f} years, made "
            f"{made.mean():.0f} ± {made.std():.0f}; part of every difference is age. "
            "Compare within --by age_bin, or make volumes at the ages of the real ones."
        )
        word = "younger" if made.mean() < real.mean() else "older"
        chapter.findings.append(Finding("distrust", "fair", text))
        said = (
            f"Made volumes are of {word} ages: {made.mean():.0f} against {real.mean():.0f} years."
        )
        chapter.findings.append(Finding("like", "bad", said))


def _sites(bench: Bench, chapter: Chapter) -> None:
    """Sites that one side has more of."""
    real, made = bench.real.words("site"), bench.made.words("site")
    if any(real) and not any(made):
        text = "Made volumes have no site, real ones have: a shift of sites cannot be told."
        chapter.findings.append(Finding("distrust", "unknown", text))
        return
    for site in sorted({*real, *made} - {""}):
        shares = real.count(site) / len(real), made.count(site) / len(made)
        if abs(shares[0] - shares[1]) > _SHIFT:
            text = (
                f"Site shift: {shares[0]:.0%} of real and {shares[1]:.0%} of made volumes are of "
                f"{site}; compare within --by site."
            )
            chapter.findings.append(Finding("distrust", "fair", text))
            return


def _strange(bench: Bench, chapter: Chapter) -> None:
    """Volumes that do not look like the real mean at all."""
    chosen = _spread(np.arange(len(bench.real)), min(40, len(bench.real)))
    mean = np.zeros(bench.real.grid.shape)
    for i in chosen:
        mean += bench.real.load(int(i)) / len(chosen)
    for name, scans in (("real", bench.real), ("made", bench.made)):
        odd, average = [], np.zeros_like(mean)
        for index, volume in enumerate(scans.volumes()):
            average += volume / len(scans)
            head = (mean > EDGE) | (volume > EDGE)
            if not _correlation(mean[head], volume[head]) > _ALIKE:
                odd.append(scans[index].id)
        _mirrored(name, mean, average, chapter)
        if odd:
            look = "volume looks" if len(odd) == 1 else "volumes look"
            text = (
                f"{len(odd)} {name} {look} like no brain of this space (correlation with the "
                f"real mean below {_ALIKE:g}), the first: {', '.join(odd[:3])}."
            )
            chapter.findings.append(Finding("distrust", "bad", text))
            if name == "made":
                chapter.findings.append(Finding("like", "bad", text))


def _mirrored(name: str, mean: np.ndarray, average: np.ndarray, chapter: Chapter) -> None:
    """Whether the mean volume is more like the real one when an axis is turned round."""
    axes = ("", "left-right", "front-back", "up-down")
    turned = [average, *(np.flip(average, axis) for axis in range(3))]
    alike = [_correlation(mean, volume) for volume in turned]
    best = int(np.argmax(alike))
    if best and alike[best] - alike[0] > _TURNED * (1 - alike[0]):
        text = f"{name.capitalize()} volumes seem mirrored along the {axes[best]} axis."
        chapter.findings.append(Finding("distrust", "bad", text))
        if name == "made":
            chapter.findings.append(Finding("like", "bad", text))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale else 0.0
