"""The generator: a representation, a process in it, a network to drive it, conditions it hears."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from brainweave.conditions.base import Signal
from brainweave.data.files import digest, write_json
from brainweave.data.tensors import load_tensors, save_tensors
from brainweave.errors import CheckpointError, ConditionError, RecipeError
from brainweave.part import from_dict, hint, to_dict
from brainweave.processes import grids
from brainweave.processes.guidance import constrained, guide, voxel_clip
from brainweave.processes.process import Denoiser
from brainweave.processes.samplers import SAMPLERS
from brainweave.recipe import Recipe, Sampling

Values = Mapping[str, Float[Tensor, "b 1"]]
Listen = Literal["both", "film", "attention", "none"]

RECIPE, WEIGHTS = "recipe.json", "weights.safetensors"
_BINDING = ("preprocess", "template", "representation", "process", "network", "conditions")


class Generator(nn.Module):
    """p(volume | conditions), the only model class: training calls `loss`, generation `sample`."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        channels = recipe.representation.channels
        self.network = recipe.network.build(channels, channels)
        self.embedders = nn.ModuleDict(
            {c.name: c.embedder(recipe.network.condition_width) for c in recipe.conditions}
        )

    def loss(
        self,
        volume: Float[Tensor, "b 1 i j k"],
        values: Values,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "b"]:
        """Training loss per volume: random time, noise and hidden conditions from `generator`."""
        data = self.recipe.representation.encode(volume)
        keep = self._draw_keep(len(data), generator)
        network = partial(self.network, signal=self.signal(values, keep))
        return self.recipe.process.loss(network, data, generator=generator)

    forward = loss  # what wrappers such as DistributedDataParallel call

    def loss_at(
        self,
        volume: Float[Tensor, "b 1 i j k"],
        values: Values,
        t: Float[Tensor, "b"],
        noise: Float[Tensor, "b c _ _ _"],
    ) -> Float[Tensor, "b"]:
        """The loss at given times and noise, every condition heard: comparable between steps."""
        data = self.recipe.representation.encode(volume)
        keep = {name: torch.ones(len(data), dtype=torch.bool) for name in self.embedders}
        network = partial(self.network, signal=self.signal(values, keep))
        return self.recipe.process.loss_at(network, data, t, noise)

    @torch.no_grad()
    def sample(
        self,
        values: Values,
        seeds: Sequence[int],
        sampling: Sampling | None = None,
        *,
        listen: Listen = "both",
        progress: Callable[[], None] | None = None,
    ) -> Float[Tensor, "b 1 i j k"]:
        """One volume per seed in the intensity range of `recipe.preprocess`.

        A seed names a volume: its noise comes from a generator of its own on the CPU and is the
        same whatever the batch, the device or the process; volumes then agree to 1e-5 on a CPU.
        values: natural units, NaN or absent where not known. listen: which ways of hearing
        conditions act; the others hear the null. Dropout is off, in training too.
        Raises ConditionError for a condition that the model does not have or an unknown `listen`.
        """
        if listen not in get_args(Listen):
            raise ConditionError(
                f"listen {listen!r} is unknown{hint(str(listen), get_args(Listen))}"
            )
        if self.training:
            self.eval()
            try:
                return self.sample(values, seeds, sampling, listen=listen, progress=progress)
            finally:
                self.train()
        sampling = sampling or self.recipe.sampling
        process, device = self.recipe.process, next(self.parameters()).device
        sources = [torch.Generator().manual_seed(seed) for seed in seeds]

        def randn(*_like: Tensor) -> Tensor:
            draws = [torch.randn(self.recipe.latent_shape, generator=source) for source in sources]
            return torch.stack(draws).to(device)

        denoise = self._denoiser(values, len(seeds), sampling, listen)
        times = grids.shifted(sampling.steps, sampling.shift, process.first_time)
        sampler = partial(SAMPLERS[sampling.sampler], **sampling.options)
        x = sampler(denoise, randn(), times, path=process.path, randn=randn, progress=progress)
        return self._finish(self.recipe.representation.decode(x), sampling.floor)

    def signal(self, values: Values, keep: Mapping[str, Bool[Tensor, "b"]]) -> Signal:
        """What the network hears of `values`; hidden, missing and absent ones are the null.

        Raises ConditionError for one that the model does not have or not one value per volume.
        """
        for name in values:
            self.recipe.condition(name)
        device, signal = next(self.parameters()).device, Signal()
        for name, embedder in self.embedders.items():
            kept = keep[name].to(device)
            value = values.get(name, torch.full((len(kept), 1), torch.nan))
            if value.shape != (len(kept), 1):
                raise ConditionError(
                    f"{name} has shape {tuple(value.shape)}; {len(kept)} volumes need "
                    f"({len(kept)}, 1)"
                )
            signal = signal + embedder(value.to(device, torch.float32), kept)
        return signal.pooled() if self.recipe.network.pooled_context else signal

    def save(self, folder: Path, *, half: bool = False) -> str:
        """Writes recipe.json and weights.safetensors; returns the content hash of the weights.

        half: stored as float16, half the size; loading makes them float32 again. Raises
        CheckpointError for weights that are beyond float16.
        """
        state = self.state_dict()
        if half:
            state = {name: tensor.half() for name, tensor in state.items()}
            if beyond := [name for name, tensor in state.items() if not tensor.isfinite().all()]:
                raise CheckpointError(f"{beyond[0]} does not fit into float16; save without half")
        plan = to_dict(self.recipe)
        write_json(folder / RECIPE, plan)
        facts = {"recipe": self.recipe.name, "recipe_sha256": _digests(plan)}
        return save_tensors(folder / WEIGHTS, state, facts)

    @classmethod
    def load(cls, folder: Path, device: str | torch.device = "cpu") -> "Generator":
        """A generator from its folder, verified by hash.

        Raises CheckpointError where a file is missing, damaged or does not match the other: of
        recipe.json only the name, source, target, training, sampling and licence may be edited.
        """
        generator = cls(load_recipe(folder))
        state, facts = load_tensors(folder / WEIGHTS)
        try:
            generator.load_state_dict(state)
        except RuntimeError as error:
            reason = " ".join(str(error).split()[:24])
            raise CheckpointError(f"{folder}: weights do not fit recipe.json: {reason}") from None
        now = _digests(json.loads((folder / RECIPE).read_text()))
        for name, before in facts.get("recipe_sha256", {}).items():
            if now[name] != before:
                raise CheckpointError(
                    f"{folder}: {name} in {RECIPE} was changed after the weights were saved; "
                    "restore it"
                )
        return generator.to(device).eval()

    def _denoiser(self, values: Values, count: int, sampling: Sampling, listen: Listen) -> Denoiser:
        yes = {name: torch.ones(count, dtype=torch.bool) for name in self.embedders}
        no = {name: torch.zeros(count, dtype=torch.bool) for name in self.embedders}
        heard, null = self.signal(values, yes), self.signal({}, no)
        film, attention = listen in ("both", "film"), listen in ("both", "attention")
        heard = Signal(
            vector=(heard if film else null).vector,
            tokens=(heard if attention else null).tokens,
            planes=(null if listen == "none" else heard).planes,
        )
        process, representation = self.recipe.process, self.recipe.representation
        denoise = process.denoiser(partial(self.network, signal=heard))
        free = process.denoiser(partial(self.network, signal=null))
        guided = guide(denoise, free, sampling.guidance, sampling.guidance_interval)
        if not sampling.clip:
            return guided
        low, high = self.recipe.preprocess.intensity.low, self.recipe.preprocess.intensity.high
        clip = voxel_clip(representation.encode, representation.decode, low, high)
        return constrained(guided, process.path, clip)

    def _finish(self, volume: Tensor, floor: float) -> Tensor:
        """Inside the intensity range, faint voxels as background."""
        low, high = self.recipe.preprocess.intensity.low, self.recipe.preprocess.intensity.high
        volume = volume.clamp(low, high)
        return torch.where(volume <= low + floor * (high - low), low, volume) if floor else volume

    def _draw_keep(self, count: int, generator: torch.Generator | None) -> dict[str, Tensor]:
        """Some volumes hear nothing, in others single conditions are hidden."""
        share = self.recipe.training.drop_conditions
        device = generator.device if generator is not None else "cpu"
        draws = torch.rand(1 + len(self.embedders), count, generator=generator, device=device)
        kept = draws >= share
        return {name: kept[0] & own for name, own in zip(self.embedders, kept[1:], strict=True)}


def _digests(plan: Mapping[str, Any]) -> dict[str, str]:
    """Of the fields of a recipe's JSON that the weights mean nothing without."""
    return {name: digest(plan.get(name)) for name in _BINDING}


def load_recipe(folder: Path) -> Recipe:
    """The recipe of a model or run folder. Raises CheckpointError where there is none."""
    path = folder / RECIPE
    if not path.is_file():
        raise CheckpointError(f"{folder} is no model: it has no {RECIPE}")
    try:
        recipe = from_dict(json.loads(path.read_text()))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not JSON ({error}); restore it") from None
    except RecipeError as error:
        raise CheckpointError(f"{path}: {error}") from None
    if not isinstance(recipe, Recipe):
        raise CheckpointError(f"{path} is not a recipe")
    return recipe
