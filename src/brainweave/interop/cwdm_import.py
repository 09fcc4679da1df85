"""Checkpoints of cWDM (arXiv:2411.17203), Fast-cWDM and WDM (arXiv:2402.19043) as model folders."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from brainweave.data.grid import Grid
from brainweave.data.volume import read_grid
from brainweave.errors import CheckpointError, RecipeError
from brainweave.generator import Generator
from brainweave.interop.checkpoints import fill, read_checkpoint, read_json, require_new
from brainweave.interop.cwdm import keywords_of, translate, unet_config
from brainweave.recipe import Recipe
from brainweave.recipes.cwdm import cwdm, fast_cwdm, wdm

BRATS = Grid(  # of all of BraTS's files
    shape=(240, 240, 155),
    affine=((-1, 0, 0, 0), (0, -1, 0, 239), (0, 0, 1, 0), (0, 0, 0, 1)),
)
_RELEASED = {  # what the recipes are for
    "noise_schedule": "linear",
    "predict_xstart": True,
    "learn_sigma": False,
    "use_freq": False,
}
_NAME = re.compile(r"brats_(t1n|t1c|t2w|t2f)_BEST_(sampled|direct)_(\d+)\.pt")  # Fast-cWDM's


def import_cwdm(
    checkpoint: Path,
    *,
    out: Path,
    target: str | None = None,
    config: Path | None = None,
    licence: str = "unspecified",
) -> Generator:
    """A checkpoint of cWDM as a model folder `out`; the generator in it.

    target: the contrast that it makes, which its weights do not tell. config: a JSON file with
    settings of its command line, where they are not the released ones; the network's are read off
    the weights.

    Raises CheckpointError where the target is not said or the weights are of another network,
    OutputError where `out` is not empty.
    """
    if target is None:
        raise CheckpointError(
            "cWDM's weights do not tell what they make; give --target t1n, t1c, t2w or t2f"
        )
    weights, settings = _read(checkpoint, config)
    return _model(cwdm(target), weights, settings, out, licence)


def import_fast_cwdm(
    checkpoint: Path,
    *,
    out: Path,
    target: str | None = None,
    schedule: str | None = None,
    steps: int | None = None,
    config: Path | None = None,
    licence: str = "unspecified",
) -> Generator:
    """As `import_cwdm`, of Fast-cWDM.

    schedule ("sampled" or "direct") and steps: those of its training. They and the target may be
    left to the file's name, if it is as Fast-cWDM writes it: brats_t1n_BEST_sampled_10.pt.
    """
    named = _NAME.fullmatch(checkpoint.name)
    if named is not None:
        target, schedule = target or named[1], schedule or named[2]
        steps = steps or int(named[3])
    if target is None or schedule is None or steps is None:
        raise CheckpointError(
            f"{checkpoint.name} does not say what it makes and with which time steps it was "
            "trained; give --target t1n --schedule sampled --steps 10, or what it was"
        )
    if schedule not in ("sampled", "direct"):
        raise CheckpointError(f"schedule {schedule!r} is unknown; it is sampled or direct")
    weights, settings = _read(checkpoint, config)
    recipe = fast_cwdm(target, "sampled" if schedule == "sampled" else "direct", steps)
    return _model(recipe, weights, settings, out, licence)


def import_wdm(
    checkpoint: Path,
    *,
    out: Path,
    target: str = "t1w",
    config: Path | None = None,
    template: Path | None = None,
    licence: str = "unspecified",
) -> Generator:
    """As `import_cwdm`, of WDM: whole volumes of 256^3 voxels for six levels, else of 128^3.

    template: a NIfTI file whose grid the outputs get, else BraTS's.
    """
    weights, settings = _read(checkpoint, config)
    levels = len(keywords_of(weights, settings)["channel_mult"])
    recipe = wdm(256 if levels > 5 else 128).replace(target=target)
    if template is not None:
        recipe = recipe.replace(template=read_grid(template))
    return _model(recipe, weights, settings, out, licence)


def _read(checkpoint: Path, config: Path | None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name, and what is said of them."""
    found = read_checkpoint(checkpoint, ("state_dict", "model_state_dict"))
    settings = (found.config or {}) if config is None else read_json(config)
    for name, released in _RELEASED.items():
        value = settings.get(name, released)
        if str(value).lower() != str(released).lower():
            raise CheckpointError(f"{name}={value} is not supported, only {released} is")
    return found.weights, settings


def _model(
    recipe: Recipe,
    weights: Mapping[str, Tensor],
    settings: Mapping[str, Any],
    out: Path,
    licence: str,
) -> Generator:
    """The recipe with these weights, as a folder."""
    require_new(out)
    state, keywords = translate(weights), keywords_of(weights, settings)
    channels = recipe.representation.channels
    needed = channels + sum(condition.planes(channels) for condition in recipe.conditions)
    if keywords["in_channels"] != needed:
        raise CheckpointError(
            f"the network takes {keywords['in_channels']} channels, {recipe.name} {needed}: 8 of "
            "the volume and 8 of each image; cwdm and fast-cwdm are for three images, wdm for none"
        )
    try:
        recipe = recipe.replace(
            network=unet_config(keywords),
            template=recipe.template or BRATS,
            licence=licence,
        )
    except RecipeError as error:
        raise CheckpointError(f"the weights do not fit {recipe.name}: {error}") from None
    generator = Generator(recipe)
    fill(generator, state)
    generator.save(out)
    return generator.eval()
