"""Do made volumes look as old as real ones? What a judge of age sees, whatever was asked."""

from collections.abc import Mapping
from dataclasses import replace

from brainweave.errors import EvaluationError
from brainweave.evaluation.axes import Axes
from brainweave.evaluation.base import CLEAR
from brainweave.evaluation.bench import Bench, Chapter
from brainweave.evaluation.charts import histogram
from brainweave.evaluation.faithfulness import Looks, apparent
from brainweave.evaluation.report import Figure, Finding
from brainweave.evaluation.volumetry import compare_regions

SECTION = "Age and sex"


def maturity(bench: Bench, looks: Mapping[str, Looks]) -> Chapter:
    """The shift of the age seen, in words too; without enough real ages only that is said.

    looks: of every side by name.
    """
    try:
        real, made = apparent(
            looks["real"], looks["made"], looks.get("train"), seed=bench.settings.seed
        )
        _, score = compare_regions(
            real.seen[:, None],
            made[:, None],
            ["age seen"],
            real.persons,
            bench.made.persons,
            seed=bench.settings.seed,
        )
    except EvaluationError as error:
        text = f"How old volumes look was not compared: {error}"
        return Chapter(findings=[Finding("distrust", "unknown", text)])
    chapter = Chapter(scores=[replace(score, name="age seen/effect")])
    if abs(score.z or 0) > CLEAR:
        word = "younger" if made.mean() < real.seen.mean() else "older"
        text = (
            f"Made volumes look {word} than the real ones: {made.mean():.0f} ± {made.std():.0f} "
            f"against {real.seen.mean():.0f} ± {real.seen.std():.0f} years, as the judge sees both."
        )
        chapter.findings.append(Finding("like", "bad", text))
    title = "How old volumes look"
    chapter.figures.append(
        Figure(
            SECTION,
            title,
            histogram({"real": real.seen, "made": made}, Axes(title, "age seen, years", "%")),
            "Ages as ridge regression on low-resolution real volumes sees them, those asked for or "
            "not; persons it was trained on are left out or predicted in cross-validation.",
        )
    )
    return chapter
