"""From FlowLet to flowlet_plus, one change at a time, on phantoms: does each change help?

Every rung trains the same small network for the same steps on the same phantoms and is judged on
volumes made for held-out phantoms' ages and sexes. Usage: python benchmarks/ladder.py [STEPS]
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from brainweave import Cohort, Haar, Recipe, Scalar, train
from brainweave.data.phantom import write_phantoms
from brainweave.evaluation import linear
from brainweave.evaluation.base import bootstrap
from brainweave.evaluation.distribution import frechet
from brainweave.evaluation.lowres import means
from brainweave.recipes import build

TRAIN, HELD_OUT, SHAPE, BLOCK = 128, 64, (32, 40, 32), 4
STEPS = 16  # of the sampler
Change = Callable[[Recipe], Recipe]


def faithful(steps: int) -> Recipe:
    """FlowLet's choices at toy size; the learning rate suits the size and is every rung's."""
    tiny, flowlet = build("tiny", []), build("flowlet", [])
    return tiny.replace(
        name="faithful",
        representation=Haar(levels=1),
        process=flowlet.process,
        conditions=(Scalar(name="age", low=20, high=80, learned_null=False),),
        network=flowlet.network.replace(
            width=16,
            multipliers=(1, 2),
            attention_levels=(1,),
            heads=2,
            groups=8,
            condition_width=32,
            checkpointing=False,
        ),
        training=tiny.training.replace(
            steps=steps, batch=8, lr=1e-3, lr_end=1e-5, ema=None, drop_conditions=0, band_power=0,
            augment=None, validate_every=steps, save_every=steps, validation=0,
        ),
        sampling=flowlet.sampling.replace(steps=STEPS),
    )  # fmt: skip


def networked(**changes: object) -> Change:
    """A change of the network's fields."""
    return lambda recipe: recipe.replace(network=recipe.network.replace(**changes))


def whitened(recipe: Recipe) -> Recipe:
    return recipe.replace(
        representation=Haar(levels=1, whiten=True),
        process=recipe.process.replace(channel_weights=None),
        training=recipe.training.replace(band_power=0.5),
    )


def corrected(recipe: Recipe) -> Recipe:
    process = recipe.process.replace(
        prediction="correction", weighting="velocity", weight_limit=30.0, times="stratified"
    )
    return recipe.replace(process=process, network=recipe.network.replace(gain=True))


def heard(recipe: Recipe) -> Recipe:
    network = recipe.network.replace(pooled_context=False, post_norm=False)
    return recipe.replace(
        network=network, conditions=(Scalar(name="age", low=20, high=80, tokens=4),)
    )


def averaged(recipe: Recipe) -> Recipe:
    return recipe.replace(training=recipe.training.replace(ema=0.99))


RUNGS: list[tuple[str, Change]] = [
    ("FlowLet", lambda recipe: recipe),
    ("+ whitened bands", whitened),
    ("+ correction, gain", corrected),
    ("+ scaled time", networked(time_scale=1000.0)),
    ("+ positions", networked(positions=4)),
    ("+ 4 tokens, pre-norm", heard),
    ("+ 1x1 skips, plain resampling", networked(skip_kernel=1, resample_inside=False)),
    ("+ EMA 0.99", averaged),
]


def main(steps: int) -> None:
    """Prints one row per rung, and what real phantoms score."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = write_phantoms(folder / "train", TRAIN, seed=1, shape=SHAPE)
        held = write_phantoms(folder / "held", 2 * HELD_OUT, seed=2, shape=SHAPE)
        recipe = faithful(steps)
        known, known_ages = real(recipe, Cohort.open(table))
        others, ages = real(recipe, Cohort.open(held))
        rows = blocks(known)
        project = pca(rows, 16)
        judge = linear.fit("ridge", rows, known_ages, list(map(str, range(len(rows)))), seed=0)
        reference, floor = others[::2], others[1::2]
        print(f"phantoms {SHAPE}, {TRAIN} to train, {HELD_OUT} held out, {steps} steps of batch 8,")
        print(f"{STEPS} Euler steps, no guidance; age r: ridge on block means, 95 % bootstrap\n")
        print("| rung | parameters | s / step | Frechet distance | age r | age slope |")
        print("|---|---|---|---|---|---|")
        show("real, other half", "", "", floor, ages[1::2], reference, project, judge)
        for number, (title, change) in enumerate(RUNGS):
            recipe = change(recipe)
            began = time.process_time()
            generator = train(
                recipe, Cohort.open(table), folder / str(number), device="cpu", show=False
            )
            pace = f"{(time.process_time() - began) / steps:.3f}"
            made = generate(generator, ages[::2])
            count = f"{sum(p.numel() for p in generator.parameters()):,}"
            show(title, count, pace, made, ages[::2], reference, project, judge)


def real(recipe: Recipe, cohort: Cohort) -> tuple[np.ndarray, np.ndarray]:
    """Preprocessed volumes [n i j k] and ages [n] of a cohort."""
    from brainweave import Volume

    volumes = [recipe.preprocess(Volume.load(s.images["t1w"]))[0][0].numpy() for s in cohort]
    return np.stack(volumes), np.array([float(s.covariates["age"]) for s in cohort])


def blocks(volumes: np.ndarray) -> np.ndarray:
    """Means over cubes of `BLOCK` voxels: [n features]."""
    return np.stack([means(volume, (BLOCK,) * 3).ravel() for volume in volumes])


def pca(rows: np.ndarray, components: int) -> Callable[[np.ndarray], np.ndarray]:
    """The projection on the first principal components of `rows`."""
    mean = rows.mean(0)
    axes = np.linalg.svd(rows - mean, full_matrices=False)[2][:components]
    return lambda others: (others - mean) @ axes.T


def generate(generator: object, ages: np.ndarray) -> np.ndarray:
    """One volume per age; seeds count from 0."""
    made = [
        generator.sample({"age": torch.tensor(part, dtype=torch.float32)[:, None]}, seeds.tolist())
        for part, seeds in zip(np.split(ages, 8), np.split(np.arange(len(ages)), 8), strict=True)
    ]
    return torch.cat(made)[:, 0].numpy()


def show(title, count, pace, made, ages, reference, project, judge) -> None:  # type: ignore
    """One row of the table."""
    features = blocks(made)
    persons = list(map(str, range(len(ages))))
    distance = frechet(project(features), project(blocks(reference)))
    seen = judge(features)
    r, r_low, r_high = bootstrap(lambda i: np.corrcoef(ages[i], seen[i])[0, 1], persons)
    slope, low, high = bootstrap(lambda i: np.polyfit(ages[i], seen[i], 1)[0], persons)
    print(
        f"| {title} | {count} | {pace} | {distance:.3f} | {r:.2f} [{r_low:.2f}, {r_high:.2f}] "
        f"| {slope:.2f} [{low:.2f}, {high:.2f}] |",
        flush=True,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
