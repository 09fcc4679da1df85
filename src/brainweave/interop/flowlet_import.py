"""FlowLet's checkpoints (arXiv:2601.05212) as model folders of ours."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainweave.conditions.covariates import Scalar
from brainweave.data.cohort import canonical_covariate
from brainweave.data.grid import Grid, Shape
from brainweave.data.volume import read_grid
from brainweave.errors import CheckpointError, RecipeError
from brainweave.generator import Generator
from brainweave.interop.checkpoints import Checkpoint, fill, read_checkpoint, read_json, require_new
from brainweave.interop.flowlet import conditions_in, translate
from brainweave.interop.flowlet_config import unet_config, whole_numbers
from brainweave.part import hint
from brainweave.processes.paths import NAMES, ProbabilityPath, VariancePreserving, path_named
from brainweave.recipe import Recipe
from brainweave.recipes.flowlet import flowlet

CONFIG, RANGES = "config.json", "condition_ranges.json"
MNI = Grid(  # FSL's MNI152 2 mm, the grid of the released code's data
    shape=(91, 109, 91),
    affine=((-2, 0, 0, 90), (0, 2, 0, -126), (0, 0, 2, -72), (0, 0, 0, 1)),
)
_TRAINING = {"epochs": "epochs", "batch_size": "batch", "lr": "lr", "seed": "seed"}  # theirs: ours

_log = logging.getLogger(__name__)


def import_flowlet(
    checkpoint: Path,
    *,
    out: Path,
    config: Path | None = None,
    ranges: Path | None = None,
    template: Path | None = None,
    licence: str = "unspecified",
) -> Generator:
    """A checkpoint of training or a slim one as a model folder `out`; the generator in it.

    config, ranges: config.json and condition_ranges.json as FlowLet writes them; where not given,
    those beside the checkpoint, or the configuration in a slim one. template: a NIfTI file whose
    grid the outputs get, one of the training volumes; where not given, FSL's MNI152 at 2 mm.
    Conditions are called by their names in lower case.

    Raises CheckpointError where a file is missing or does not match another, OutputError where
    `out` is not empty.
    """
    require_new(out)
    found = read_checkpoint(checkpoint, ("flow_net_state_dict", "model_state_dict"))
    settings = _settings(checkpoint, found, config)
    conditions = conditions_in(found.weights)
    network = unet_config(settings, hears=bool(conditions))
    if conditions and not network.condition_width:
        _log.warning("trained without cross-attention, FlowLet hears no condition: none is kept")
        conditions = ()
    limits = read_json(ranges or checkpoint.parent / RANGES) if conditions else {}
    recipe = _recipe(
        settings,
        template=MNI if template is None else read_grid(template),
        network=network,
        conditions=tuple(_scalar(name, limits) for name in conditions),
        licence=licence,
    )
    generator = Generator(recipe)
    hears = bool(conditions)
    fill(generator, translate(found.weights, hears=hears, rename=canonical_covariate))
    generator.save(out)
    return generator.eval()


def _settings(checkpoint: Path, found: Checkpoint, config: Path | None) -> Mapping[str, Any]:
    beside = checkpoint.parent / CONFIG
    if config is not None or beside.is_file():
        return read_json(config or beside)
    if found.config is None:
        raise CheckpointError(
            f"{checkpoint} says nothing of its network and there is no {beside}; "
            "give the config.json that FlowLet wrote with it"
        )
    return found.config


def _recipe(settings: Mapping[str, Any], *, template: Grid, **fields: Any) -> Recipe:
    base = flowlet()
    shape = _shape(settings, template)
    details = float(settings.get("detail_loss_weight", 1.0)) / 7
    weights = (float(settings.get("lll_loss_weight", 1.0)), *[details] * 7)
    path = _path(settings)
    times = "stratified" if isinstance(path, VariancePreserving) else "uniform"
    training = {ours: settings[name] for name, ours in _TRAINING.items() if name in settings}
    steps = settings.get("num_flow_steps", base.sampling.steps)
    try:
        return base.replace(
            template=template,
            preprocess=base.preprocess.replace(shape=shape, orientation=template.orientation),
            process=base.process.replace(path=path, times=times, channel_weights=weights),
            training=base.training.replace(**training),
            sampling=base.sampling.replace(sampler="euler", steps=steps),
            **fields,
        )
    except RecipeError as error:
        raise CheckpointError(f"the configuration is not one of FlowLet's: {error}") from None


def _shape(settings: Mapping[str, Any], grid: Grid) -> Shape:
    """The edges of FlowLet's input, which pads volumes and never crops them."""
    edges = whole_numbers("model_input_size", settings.get("model_input_size"))
    if len(edges) != 3:
        raise CheckpointError(f"model_input_size is {list(edges)}; three edges are needed")
    i, j, k = edges
    if any(edge < source for edge, source in zip(edges, grid.shape, strict=True)):
        raise CheckpointError(
            f"a template of {grid.shape} voxels does not fit into model_input_size {edges}; "
            "give one of the volumes it was trained on as --template"
        )
    return i, j, k


def _path(settings: Mapping[str, Any]) -> ProbabilityPath:
    name = settings.get("flow_type")
    if name is None:
        _log.warning("the configuration has no flow_type: rectified is noted, its default")
        name = "rectified"
    if name not in NAMES:
        raise CheckpointError(f"flow_type {name!r} is unknown{hint(str(name), NAMES)}")
    path = path_named(name)
    if isinstance(path, VariancePreserving):
        betas = {f"beta_{end}": settings.get(f"vp_beta_{end}") for end in ("min", "max")}
        path = path.replace(**{name: beta for name, beta in betas.items() if beta is not None})
    return path


def _scalar(name: str, limits: Mapping[str, Any]) -> Scalar:
    """A condition on the range it was shown with; FlowLet shows 0.5 where that is one point."""
    ours = canonical_covariate(name)
    if name not in limits:  # texts, which FlowLet codes itself: CN 0, MCI 0.5, AD 1
        _log.warning("%s has no range: its values are taken as they are, from 0 to 1", name)
        return Scalar(name=ours, low=0, high=1, learned_null=False)
    try:
        low, high = float(limits[name]["min"]), float(limits[name]["max"])
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(
            f'the range of {name} is {limits[name]!r}; {{"min": number, "max": number}} is needed'
        ) from None
    if high - low <= 1e-8:
        low, high = low - 0.5, high + 0.5
    return Scalar(name=ours, low=low, high=high, learned_null=False)
