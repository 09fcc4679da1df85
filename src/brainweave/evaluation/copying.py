"""Are made volumes copies? The audit against training volumes, its pictures, and membership."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from brainweave.data.montage import png, sheet
from brainweave.data.volume import Volume
from brainweave.errors import EvaluationError
from brainweave.evaluation.bench import Bench, Chapter
from brainweave.evaluation.copies import Pair
from brainweave.evaluation.memorisation import HEADLINE, WIDE, Audit, Brains, audit
from brainweave.evaluation.report import Figure, Finding, Grade, Table
from brainweave.evaluation.scans import Scans

_GRADES: dict[str, Grade] = {"no sign": "good", "copies": "bad", "cannot tell": "unknown"}
_SHOWN = 5  # pairs
_REPEATED = 0.02  # share of made volumes with a double from which on they repeat each other


def copying(bench: Bench) -> Chapter:
    """The audit, where the training volumes are known; repeats among made ones in any case."""
    chapter = Chapter()
    if bench.train is None:
        text = "Copies were not looked for: give the training volumes with --train."
        chapter.findings.append(Finding("copy", "unknown", text))
        return chapter
    brains = {
        name: Brains.of(bench.sides[name], bench.reporter) for name in ("real", "made", "train")
    }
    spaces = {
        space.name: (space.vectors["made"], space.vectors["train"], space.vectors["real"])
        for space in bench.spaces
        if not space.fits
    }
    bench.reporter.say("looking for copies of training volumes")
    try:
        found = audit(
            brains["made"],
            brains["train"],
            brains["real"],
            spaces=spaces,
            seed=bench.settings.seed,
        )
    except EvaluationError as error:
        chapter.findings.append(Finding("copy", "unknown", f"Copies were not looked for: {error}"))
        return chapter
    chapter.scores += [replace(s, name=f"copies/{s.name.replace('/', ' ')}") for s in found.scores]
    if _open(found):
        words = f"Nothing speaks of copies, but little could. {found.words}"
        chapter.findings.append(Finding("copy", "unknown", words))
    else:
        chapter.findings.append(Finding("copy", _GRADES[found.verdict], found.words))
    chapter.findings += [Finding("distrust", "fair", words) for words in found.said[:-1]]
    _repeats(found, len(bench.made), chapter)
    chapter.tables.append(_tests(found))
    chapter.figures.append(_closest(found, bench.made, bench.train))
    return chapter


def _open(found: Audit) -> bool:
    """Whether nothing speaks of copies but the headline's interval allows nearly anything."""
    test = found.tests[HEADLINE]
    return found.verdict == "no sign" and test.high - test.low > WIDE


def _repeats(found: Audit, made: int, chapter: Chapter) -> None:
    """Made volumes that are one another's doubles."""
    values = {score.name: score for score in found.scores}
    share, heads = values["duplicates/one person"], values["duplicates/unique heads"]
    if share.value > _REPEATED:
        text = (
            f"Made volumes repeat each other: {heads.value:.0f} different heads among {made} "
            f"volumes ({share.value:.0%} have a double)."
        )
        chapter.findings.append(Finding("like", "bad", text))


def _tests(found: Audit) -> Table:
    rows = tuple(
        (score.name, score.value, score.low, score.high, score.null_mean, score.n)
        for score in found.scores
    )
    return Table(
        "Copies",
        "The memorisation audit",
        ("score", "value", "low", "high", "without copying", "n"),
        rows,
        "P(d_train < d_test): the probability that a made volume lies nearer to a training volume "
        "than to an equally large set of others; 0.5 without copying, 1 for exact copies. "
        + found.said[-1],
    )


def _closest(found: Audit, made: Scans, train: Scans) -> Figure:
    """Made volumes above the training volumes nearest to them."""
    pairs = found.closest[:_SHOWN]
    picture = sheet(
        [*_volumes(made, [pair.made for pair in pairs]), *_volumes(train, _others(pairs))],
        labels=[f"SYNTHETIC r {pair.r:.2f}" for pair in pairs]
        + [f"real, {train[pair.other].id}" for pair in pairs],
        title="above: SYNTHETIC   below: the training volume nearest to it",
        window=(0.0, 1.0),
        columns=len(pairs),
    )
    return Figure(
        "Copies",
        "The closest pairs of a made and a training volume",
        png(picture),
        "r: correlation of what differs from the mean brain, at 4 mm, mirror images included. From "
        f"{found.threshold:.2f} on two volumes count as one person's.",
        synthetic=True,
    )


def _others(pairs: Sequence[Pair]) -> list[int]:
    return [pair.other for pair in pairs]


def _volumes(scans: Scans, indices: Sequence[int]) -> list[Volume]:
    return [scans.volume(np.ascontiguousarray(scans.load(index))) for index in indices]
