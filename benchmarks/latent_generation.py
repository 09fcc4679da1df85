"""Models of latents beside the wavelet recipe. Run: python benchmarks/latent_generation.py T1 BRATS

T1: brain-extracted heads with columns split (train, val), age, sex and site; those whose qc is
"exclude" are left out. BRATS: cases that all train. One autoencoder of all their modalities is
trained on the training split of both; `latent_flow_2mm` and `wfdm_plus_2mm` on its latents, with
the modality as a class, wfdm_plus with age, sex and site too; `t1_2mm` on T1 alone. Each trains
for the same --minutes: the pace of its first steps says how many steps that are. Then each makes
--heads T1w volumes for everybody who validates, in 40 network calls, and is judged against the
validation split.

Prints what was spent, all scores beside their nulls, and the tables that the slides and medmetric
print; leaves runs, volumes and reports in --out. Run again, what is finished is read.
Usage: latent_generation.py T1 BRATS [--minutes 20] [--autoencoder-steps 1600] [--heads 2]
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from brainweave import (
    AutoencoderRecipe,
    Cohort,
    Recipe,
    Report,
    Request,
    Schema,
    Subject,
    build,
    encode,
    evaluate,
    generate,
    train,
)
from brainweave.cost import flops_per_call, parameter_count
from brainweave.data.brats import IMAGES
from brainweave.data.files import write_json
from brainweave.data.inference import infer
from brainweave.data.table import missing
from brainweave.errors import BrainweaveError
from brainweave.evaluation import command
from brainweave.progress import Reporter
from brainweave.training.journal import JOURNAL, read
from shipped import SEED, SHOWN, listed

FIELDS = ("age", "sex", "site")
BRIEF = ("training.warmup=50", "training.ema=0.995", "training.save_every=100")
MODELS = {  # 40 network calls a volume: guidance takes two a step
    "t1_2mm": ("sampling.steps=40",),
    "latent_flow_2mm": ("sampling.steps=40",),
    "wfdm_plus_2mm": ("sampling.sampler=euler", "sampling.steps=20"),
}
PACE = 20  # steps that are measured


def main() -> None:
    """Trains, makes and judges as far as it is not done; prints."""
    asked = arguments()
    t1, both = cohorts(asked)
    val = [s for s in t1.select(split="val") if not missing(s.covariates.get("age"))]
    real = asked.out / "real.csv"
    Cohort(val, t1.source).to_csv(real)
    compressor = compressed(both, asked)
    heads = "| recipe | M parameters | GFLOP per call | steps | minutes of training |"
    print(f"{heads}\n|---|---|---|---|---|")
    reports: dict[str, Report] = {}
    for name in MODELS:
        recipe, latents = recipe_of(name, compressor, both, asked)
        cohort = t1 if latents is None else both
        folder = asked.out / name
        recipe = lasting(recipe, cohort, folder, latents, asked)
        train(recipe, cohort, folder, latents=latents, device=asked.device)
        print(spent(recipe, folder), flush=True)
        table = listed(recipe, asked_for(val, asked.heads), folder / "asked.csv")
        made = folder / "made"
        generate(
            Request(words=[str(folder)], cohort=table, out=made, seed=SEED, device=asked.device)
        )
        reports[name] = evaluate(
            real, made, t1.select(split="train"), cache=asked.out / "features", reporter=Reporter()
        )
        reports[name].save(folder / "report")
    print(f"\n{len(val)} real volumes, {len(val) * asked.heads} made by each\n\n{tabled(reports)}")
    for layout in ("slides", "medmetric"):
        for name in MODELS:
            out, made = asked.out / name / layout, asked.out / name / "made"
            features = asked.out / "features"
            request = command.Request(real=real, made=made, out=out, layout=layout, cache=features)
            print(f"\n{layout}, {name}\n\n{command.run(request).rpartition(chr(10) * 2)[0]}")


def cohorts(asked: argparse.Namespace) -> tuple[Cohort, Cohort]:
    """T1 without what is left out, and all."""
    t1 = Cohort.open(asked.t1)
    t1 = Cohort([s for s in t1 if s.covariates.get("qc") != "exclude"], t1.source)
    brats = [replace(s, split="train") for s in Cohort.open(asked.brats)]
    return t1, Cohort([*t1, *brats], "both")


def asked_for(subjects: Sequence[Subject], heads: int) -> list[Subject]:
    """Everybody so many times, in T1w."""
    return [
        replace(s, id=f"{s.id}-{head}", covariates={**s.covariates, "modality": "t1w"})
        for s in subjects
        for head in range(heads)
    ]


def compressed(cohort: Cohort, asked: argparse.Namespace) -> Path:
    """The autoencoder's folder, its latents beside."""
    folder, names = asked.out / "autoencoder", ",".join(IMAGES)
    recipe = build("wfvae_2mm", [f"targets={names}", f"steps={asked.autoencoder_steps}"])
    assert isinstance(recipe, AutoencoderRecipe)
    train(recipe, cohort, folder, device=asked.device)
    encode(folder, cohort, asked.out / "latents", device=asked.device)
    return folder


def recipe_of(
    name: str, compressor: Path, cohort: Cohort, asked: argparse.Namespace
) -> tuple[Recipe, Path | None]:
    """A model's, and the latents that it trains on if it does."""
    words = [*MODELS[name], *BRIEF]
    if in_latents := name != "t1_2mm":
        words += [f"autoencoder={compressor}", f"modalities={','.join(IMAGES)}"]
    if name.startswith("wfdm"):
        schema = asked.out / "schema.json"
        Schema(columns=tuple(c for c in infer(cohort).columns if c.name in FIELDS)).save(schema)
        words.append(f"schema={schema}")
    recipe = build(name, words)
    assert isinstance(recipe, Recipe)
    return recipe, asked.out / "latents" if in_latents else None


def lasting(
    recipe: Recipe, cohort: Cohort, folder: Path, latents: Path | None, asked: argparse.Namespace
) -> Recipe:
    """So many steps as fit into the minutes; found once."""
    found = asked.out / f"{folder.name}.json"
    if not found.exists():
        with tempfile.TemporaryDirectory() as place:
            few = recipe.replace(training=recipe.training.replace(steps=PACE, warmup=1))
            run = Path(place) / "run"
            train(few, cohort, run, latents=latents, device=asked.device)
            write_json(found, {"steps": round(60 * asked.minutes / pace(run))})
    steps = json.loads(found.read_text())["steps"]
    return recipe.replace(training=recipe.training.replace(steps=steps, validate_every=steps))


def pace(run: Path) -> float:
    """Seconds per step."""
    return float(np.median([e["seconds"] for e in read(run / JOURNAL) if e["kind"] == "train"]))


def spent(recipe: Recipe, folder: Path) -> str:
    """A row of what a model cost."""
    cells = [
        recipe.name,
        f"{parameter_count(recipe) / 1e6:.1f}",
        f"{flops_per_call(recipe) / 1e9:.0f}",
        str(recipe.training.steps),
        f"{recipe.training.steps * pace(folder) / 60:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def tabled(reports: Mapping[str, Report]) -> str:
    """Scores of all models beside their null."""
    found = {name: {s.name: s for s in report.scores} for name, report in reports.items()}
    lines = [f"| score | real | {' | '.join(found)} |", "|---|---" + "|---" * len(found) + "|"]
    for score in SHOWN:
        each = [scores[score] for scores in found.values() if score in scores]
        if len(each) < len(found):
            continue
        null = "" if each[0].null_mean is None else f"{each[0].null_mean:.3g}"
        null += "" if each[0].null_sd is None else f" ± {each[0].null_sd:.2g}"
        cells = [
            f"{s.value:.3g}"
            + ("" if s.low is None else f" [{s.low:.3g}, {s.high:.3g}]")
            + ("" if s.z is None else f", z {s.z:.1f}")
            for s in each
        ]
        lines.append(f"| {score} | {null} | {' | '.join(cells)} |")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("t1", type=Path)
    parser.add_argument("brats", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out/latents"))
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--autoencoder-steps", type=int, default=1600)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--device")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    return asked


if __name__ == "__main__":
    try:
        main()
    except BrainweaveError as error:
        raise SystemExit(f"error: {error}") from None
