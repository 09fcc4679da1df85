"""`brainweave encode`: the latents of a cohort, kept on disk for training."""

from pathlib import Path

from brainweave.data.cache import Keep
from brainweave.data.cohort import Cohort
from brainweave.data.grid import Shape
from brainweave.device import usable
from brainweave.errors import CohortError
from brainweave.latent_folder import require, write_facts
from brainweave.model_folder import latent, load_autoencoder_recipe
from brainweave.progress import Reporter
from brainweave.representations.latent import Moments


def encode(
    model: Path,
    cohort: Cohort,
    out: Path,
    *,
    shape: Shape | None = None,
    device: str | None = None,
    memory: int = 0,
    show: bool = True,
) -> Moments:
    """Encodes every volume of an autoencoder's modalities into `out`: means and logarithms of
    variances, never a draw. What is there already is verified and stays.

    `train RECIPE autoencoder=MODEL latents=OUT` reads them. The statistics that are returned, and
    written to latents.json, are over the subjects in the split "train", or all where there is none;
    training measures its own on those that it trains on. shape: of volumes, in place of the
    autoencoder's, for networks that halve the latents more often than it divides. device: found by
    itself. memory: a bound in bytes for the encoder, 0: none.
    Raises CheckpointError for a folder of another autoencoder's latents, CohortError where nobody
    has such a volume, VolumeError for one that is not sound.
    """
    recipe, space = load_autoencoder_recipe(model), latent(model).within(memory)
    if shape is not None:
        recipe = recipe.replace(preprocess=recipe.preprocess.replace(shape=shape))
    require(out, space, recipe.preprocess, needed=False)
    known = set(recipe.targets)
    subjects = Cohort([s for s in cohort if known & set(s.images)], cohort.source)
    if not subjects:
        raise CohortError(f"{cohort.source}: nobody has {' or '.join(recipe.targets)}")
    place = usable(device)
    keep = Keep(space.keeps, lambda volume: space.prepare(volume.to(place)))
    reporter = Reporter(quiet=not show)
    whole = recipe.dataset(subjects, cache=out, keep=keep)
    reporter.start("encoding", len(whole.files()))
    whole.prepare(lambda _done, _total: reporter.advance())
    reporter.stop()
    training = Cohort([s for s in subjects if s.split == "train"], cohort.source)
    seen = Moments(space.channels)
    for each in recipe.dataset(training or subjects, cache=out, keep=keep).made():
        seen.add(each)
    write_facts(
        out,
        space,
        recipe.preprocess,
        {
            "volumes": len(whole),
            "mean": seen.mean.tolist(),
            "std": seen.std.tolist(),
            "noise_share": seen.noise_share.tolist(),
            "kl": seen.kl.tolist(),
        },
    )
    return seen
