"""A model judged by `evaluate`. Run: python benchmarks/shipped.py COHORT [--model M] [--out FOLDER]

COHORT: real volumes with columns split (train, val), age and the model's other conditions; those
whose qc is "exclude" are left out, label maps become anatomical priors. One volume is made for
everybody in it with a known age, and some heads at several ages; both are judged against the
validation split. Prints tables, leaves two reports, and page.md with its pictures, in FOLDER; run
again, nothing is made twice.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from brainweave import Category, Cohort, Report, Request, Score, evaluate, generate, locate
from brainweave.data.table import missing, write_table, written
from brainweave.evaluation.priors import build_priors
from brainweave.evaluation.settings import Settings
from brainweave.membership import losses
from brainweave.model_folder import load_recipe
from brainweave.progress import Reporter
from brainweave.recipe import Recipe

AGES, HEADS, SEED = "20:75:6", 6, 2024
LOSSES = {"times": 5, "draws": 2}  # network calls for the loss of a volume
SPACES = ("wavelet", "pca", "random-cnn", "regions")
SHOWN = (
    *(
        f"{space}/{name}"
        for space in SPACES
        for name in ("frechet", "kid", "recall@5", "coverage@5")
    ),
    *(
        f"appearance/{name}"
        for name in ("brightness", "sharpness", "grain", "background", "head size")
    ),
    "ms_ssim diversity",
    *(f"anatomy/{name}/effect" for name in ("left lateral ventricle", "left cortex", "total csf")),
    *(f"anatomy/{name}/slope" for name in ("left lateral ventricle", "left cortex", "total csf")),
    *("age mae", "age r", "age slope", "age slope corrected", "sex auc"),
    *("copies/residual P(d_train < d_test), all of train", "copies/nearest r mean"),
    *("copies/duplicates share", "membership/auc"),
)


def main() -> None:
    """Makes, judges, prints."""
    asked = arguments()
    model, reporter = locate(asked.model), Reporter()
    recipe, cohort = load_recipe(model), accepted(asked.cohort)
    val, train = cohort.select(split="val"), cohort.select(split="train")
    request = Request(batch=asked.batch, device=asked.device, seed=SEED)
    everybody = [s for s in cohort if s.split and not missing(s.covariates.get("age"))]
    table = listed(recipe, everybody, asked.out / "asked.csv")
    generate(replace(request, words=[str(model)], cohort=table, out=asked.out / "made"))
    words = [str(model), f"age={AGES}", *fixed(recipe)]
    generate(replace(request, words=words, count=HEADS, out=asked.out / "heads"))

    settings = Settings(priors=build_priors(train, regions="muse", reporter=reporter))
    judge = partial(
        evaluate, val, settings=settings, cache=asked.out / "features", reporter=reporter
    )
    report = judge(
        asked.out / "made", train, losses=partial(losses, model, **LOSSES, reporter=reporter)
    )
    report.save(asked.out / "report")
    (asked.out / "page.md").write_text(paged(report, asked.out / "pictures"))
    heads = judge(asked.out / "heads")
    heads.save(asked.out / "report-heads")
    print(f"`{recipe.name}`, {len(everybody)} volumes, {len(val)} real ones (validation split)\n")
    print(f"{report.summary()}\n\n{tabled(report, SHOWN)}\n")
    moved = [s.name for s in heads.scores if s.name.endswith("change per decade")]
    own = [name for name in moved if not name.startswith("real ")]
    print(f"{HEADS} heads at ages {AGES}:\n\n{tabled(heads, [*own, 'regions/same direction'])}")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--out", type=Path, default=Path("out/shipped"))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--device")
    return parser.parse_args()


def accepted(path: Path) -> Cohort:
    """A cohort without those whose qc is "exclude"."""
    whole = Cohort.open(path)
    return Cohort([s for s in whole if s.covariates.get("qc") != "exclude"], whole.source)


def listed(recipe: Recipe, subjects: Sequence, path: Path) -> Path:
    """The subjects' conditions as a table to generate from."""
    names = [condition.name for condition in recipe.conditions]
    rows = [[s.id, *(written(s.covariates.get(name)) for name in names)] for s in subjects]
    write_table(path, ["id", *names], rows)
    return path


def fixed(recipe: Recipe) -> list[str]:
    """The first value of every category."""
    found = [condition for condition in recipe.conditions if isinstance(condition, Category)]
    return [f"{condition.name}={condition.values[0]}" for condition in found]


def tabled(report: Report, names: Sequence[str]) -> str:
    """Scores beside their null."""
    found = {score.name: score for score in report.scores}
    lines = ["| score | value | real | z | n |", "|---|---|---|---|---|"]
    lines += [line(found[name]) for name in names if name in found]
    return "\n".join(lines)


def paged(report: Report, pictures: Path) -> str:
    """The report as Markdown, its figures as files beside it."""
    pictures.mkdir(parents=True, exist_ok=True)
    parts, section = [f"```\n{report.summary()}\n```"], ""
    for figure in report.figures:
        if figure.section != section:
            parts.append(f"## {(section := figure.section)}")
        drawn = isinstance(figure.body, str)
        file = pictures / f"{figure.title.lower().replace(' ', '-')}.{'svg' if drawn else 'png'}"
        file.write_bytes(figure.body.encode() if drawn else figure.body)
        tag = " (synthetic)" if figure.synthetic else ""
        parts.append(f"**{figure.title}{tag}.** {figure.caption}")
        parts.append(f"![{figure.title}]({pictures.name}/{file.name})")
    parts.append(f"## Scores\n\n{tabled(report, [score.name for score in report.scores])}")
    return "\n\n".join(parts) + "\n"


def line(score: Score) -> str:
    """A row of the table."""
    span = "" if score.low is None else f" [{score.low:.3g}, {score.high:.3g}]"
    null = "" if score.null_mean is None else f"{score.null_mean:.3g}"
    null += "" if score.null_sd is None else f" ± {score.null_sd:.2g}"
    z = "" if score.z is None else f"{score.z:.1f}"
    return f"| {score.name} | {score.value:.3g}{span} | {null} | {z} | {score.n} |"


if __name__ == "__main__":
    main()
