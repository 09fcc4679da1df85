"""The generator: a representation, a process in it, a network to drive it, conditions it hears."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from brainweave.atlas import require_start
from brainweave.conditions.base import Signal
from brainweave.conditions.hiding import Keep, Listen, drawn, heard, listening
from brainweave.conditions.images import Mask
from brainweave.data.tensors import load_tensors, save_tensors
from brainweave.errors import CheckpointError, ConditionError, RecipeError
from brainweave.maps import Maps
from brainweave.model_folder import RECIPE, WEIGHTS, digests, load_recipe, save_recipe
from brainweave.part import hint
from brainweave.processes.guidance import (
    Watch,
    constrained,
    guide,
    moved,
    voxel_clip,
    watched,
)
from brainweave.processes.process import Denoiser, Judge
from brainweave.processes.samplers import SAMPLERS
from brainweave.recipe import FOLD, Recipe, Sampling
from brainweave.space import Space
from brainweave.values import Values, edges_of, filled, prepared


class Generator(nn.Module):
    """p(volume | conditions), the only model class: training calls `loss`, generation `sample`."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        space, width = recipe.representation, recipe.network.condition_width
        planes = sum(condition.planes(space.channels) for condition in recipe.conditions)
        self.network = recipe.network.build(space.channels + planes, space.channels)
        shape, atlas = recipe.latent_shape, recipe.atlas
        self.atlas = None if atlas is None else Maps(atlas, recipe.covariates, shape)
        self.guess = recipe.images.guess(recipe.targets) if recipe.images else None
        self.embedders = nn.ModuleDict(
            {
                c.name: c.embedder(width, space.encode if isinstance(c, Mask) else space.finish)
                for c in recipe.conditions
            }
        )

    def loss(
        self,
        volume: Float[Tensor, "b _ i j k"],
        values: Values,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "b"]:
        """Training loss per volume: random time, noise and hidden conditions from `generator`.

        volume, and images in values: as the representation prepares them."""
        folds = values[FOLD][:, 0].long().tolist() if FOLD in values else None
        values = filled(self.recipe, values, len(volume), self._device)
        if self.recipe.images is not None:
            values = self.recipe.images.thinned(values, generator)
        share = self.recipe.training.drop_conditions
        keep = drawn(self.recipe.conditions, share, len(volume), generator)
        space, known = self._space(values, keep), self.known(values, folds)
        network = partial(self.network, signal=self.signal(values, keep))
        data, judge = space.finish(volume), self._judge(volume, values, space)
        return self.recipe.process.loss(
            network, data, known=known, judge=judge, generator=generator
        )

    forward = loss  # what wrappers such as DistributedDataParallel call

    def loss_at(
        self,
        volume: Float[Tensor, "b _ i j k"],
        values: Values,
        t: Float[Tensor, "b"],
        noise: Float[Tensor, "b c _ _ _"],
    ) -> Float[Tensor, "b"]:
        """The loss at given times and noise, every condition heard: comparable between steps."""
        values = filled(self.recipe, values, len(volume), self._device)
        process = self.recipe.process
        keep = heard(self.recipe.conditions, len(volume))
        space, start = self._space(values, keep), process.source.start(noise, self.known(values))
        network = partial(self.network, signal=self.signal(values, keep))
        data, judge = space.finish(volume), self._judge(volume, values, space)
        return process.loss_at(network, data, t, start, judge=judge)

    @torch.no_grad()
    def sample(
        self,
        values: Values,
        seeds: Sequence[int],
        sampling: Sampling | None = None,
        *,
        listen: Listen = "both",
        progress: Callable[[], None] | None = None,
        watch: Watch | None = None,
    ) -> Float[Tensor, "b 1 i j k"]:
        """One volume per seed in the intensity range of `recipe.preprocess`.

        A seed names a volume: its noise comes from a generator of its own on the CPU and is the
        same whatever the batch, the device or the process; volumes then agree to 1e-5 on a CPU.
        values: natural units, NaN or absent where not known; images as `recipe.preprocess` makes
        them, on any grid whose edges are multiples of `recipe.factors`: the volume's is theirs,
        else that of `recipe.preprocess`. listen: which ways of hearing conditions act; the others
        hear the null. watch: is shown x_t and the estimate of each call. Raises ConditionError for
        a condition that the model does not have, an image that it needs or an unknown `listen`.
        """
        if listen not in get_args(Listen):
            raise ConditionError(f"listen {listen!r} is unknown{hint(listen, get_args(Listen))}")
        if self.training:
            self.eval()
            try:
                return self.sample(
                    values, seeds, sampling, listen=listen, progress=progress, watch=watch
                )
            finally:
                self.train()
        sampling = sampling or self.recipe.sampling
        values = filled(self.recipe, values, len(seeds), self._device)
        if self.recipe.images is not None:
            self.recipe.images.require(values, one=self.recipe.process.source.informed)
        told = (seeds, sampling, listen, progress)
        x = self._sample(values, *told, watch)
        if sampling.mirror:
            mirrored = {n: v.flip(2) if v.dim() == 5 else v for n, v in values.items()}
            x = (x + self._sample(mirrored, *told, None).flip(2)) / 2
        return self._finish(x, values, sampling)

    def _sample(
        self,
        values: Values,
        seeds: Sequence[int],
        sampling: Sampling,
        listen: Listen,
        progress: Callable[[], None] | None,
        watch: Watch | None,
    ) -> Float[Tensor, "b 1 i j k"]:
        """Volumes as the sampler leaves them."""
        process, representation = self.recipe.process, self.recipe.representation
        sources = [torch.Generator().manual_seed(seed) for seed in seeds]
        edges = zip(edges_of(self.recipe, values), representation.factors, strict=True)
        shape = (representation.channels, *(edge // factor for edge, factor in edges))
        values = prepared(self.recipe, values)

        def randn(*_like: Tensor) -> Tensor:
            draws = [torch.randn(shape, generator=source) for source in sources]
            return torch.stack(draws).to(self._device)

        denoise = watched(self._denoiser(values, len(seeds), sampling, listen), watch)
        start = process.source.start(randn(), self.known(values))
        sampler = partial(SAMPLERS[sampling.sampler], **sampling.options)
        times = sampling.times(process)
        require_start(self.recipe.atlas, process, times.tolist())
        keep = heard(self.recipe.conditions, len(seeds), listen=listen)
        if self.atlas is not None:
            at = process.path.at(times[0], start)[:2]
            start = self.atlas.begin(start, *at, sources=sources, values=values, keep=keep)
        x = sampler(denoise, start, times, path=process.path, randn=randn, progress=progress)
        return self._space(values, keep).decode(torch.lerp(start, x, sampling.strength))

    def known(
        self, values: Values, folds: Sequence[int] | None = None
    ) -> Float[Tensor, "b c _ _ _"] | None:
        """What an informed source starts from: the mean of the images, prepared, or a guess from
        them. folds: of persons, who must have had no part in it, in training."""
        recipe = self.recipe
        if recipe.images is None or not recipe.process.source.informed:
            return None
        scale, finish = recipe.preprocess.intensity.range, recipe.representation.finish
        if self.guess is None:
            return finish(recipe.images.mean(values, scale[0]))
        return finish(self.guess.batch(values, recipe.asked(values), scale, folds))

    def signal(self, values: Values, keep: Mapping[str, Bool[Tensor, "b"]]) -> Signal:
        """What the network hears of `values`; hidden, missing and absent ones are the null. Images
        are as the representation prepares them.

        Raises ConditionError for one that the model does not have or not one value per volume,
        ShapeError for images whose edges the network does not divide.
        """
        signal, count = Signal(), len(next(iter(keep.values()), ()))
        values = filled(self.recipe, values, count, self._device)
        for condition in self.recipe.conditions:
            kept = keep[condition.name].to(self._device)
            heard: Any = {name: values[name] for name in condition.images}
            signal = signal + self.embedders[condition.name](heard or values[condition.name], kept)
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
        plan = save_recipe(folder, self.recipe)
        facts = {"recipe": self.recipe.name, "recipe_sha256": digests(plan)}
        return save_tensors(folder / WEIGHTS, state, facts)

    @classmethod
    def load(
        cls, folder: Path, device: str | torch.device = "cpu", *, memory: int = 0
    ) -> "Generator":
        """A generator from its folder, verified by hash. memory: a bound in bytes for what an
        autoencoder keeps beside its input and output, 0: none; changes no volume (1e-5).

        Raises CheckpointError where a file is missing, damaged or does not match the other: of
        recipe.json only the name, source, target, training, sampling and licence may be edited.
        """
        recipe = load_recipe(folder)
        generator = cls(recipe.replace(representation=recipe.representation.within(memory)))
        state, facts = load_tensors(folder / WEIGHTS)
        try:
            generator.load_state_dict(state)
        except RuntimeError as error:
            reason = " ".join(str(error).split()[:24])
            raise CheckpointError(f"{folder}: weights do not fit recipe.json: {reason}") from None
        now = digests(json.loads((folder / RECIPE).read_text()))
        for name, before in facts.get("recipe_sha256", {}).items():
            if now[name] != before:
                raise CheckpointError(
                    f"{folder}: {name} in {RECIPE} was changed after the weights were saved; "
                    "restore it"
                )
        return generator.to(device).eval()

    def _denoiser(self, values: Values, count: int, sampling: Sampling, listen: Listen) -> Denoiser:
        process = self.recipe.process
        space = self._space(values, heard(self.recipe.conditions, count, listen=listen))

        def signal(names: Sequence[str] | None) -> Signal:
            return self.signal(values, heard(self.recipe.conditions, count, names))

        def hearing(names: Sequence[str] | None) -> Denoiser:
            network = partial(self.network, signal=listening(signal(names), null, listen))
            own = self._space(values, heard(self.recipe.conditions, count, names, listen=listen))
            return moved(process.denoiser(network), process.path, space.apart(own))

        null, scale = signal([]), sampling.guidance
        scales = {self.recipe.condition(n).name: s for n, s in (sampling.guidance_by or {}).items()}
        if always := [name for name in scales if self.recipe.condition(name).hiding == 0]:
            raise RecipeError(
                f"guidance of {always[0]}: it was never hidden in training, so there is nothing to "
                "guide away from"
            )
        alone = [(hearing([name]), own) for name, own in scales.items()]
        interval = sampling.guidance_interval
        guided = guide(hearing(None), hearing([]), scale, interval, alone)
        if not sampling.clip:
            return guided
        clip = voxel_clip(space.encode, space.decode, *self.recipe.preprocess.intensity.range)
        return constrained(guided, process.path, clip)

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device

    def _finish(self, volume: Tensor, values: Values, sampling: Sampling) -> Tensor:
        """As the sampling ends, with background where the images have it, if that is asked."""
        low, high = self.recipe.preprocess.intensity.range
        volume, images = sampling.finished(volume, low, high), self.recipe.images
        if not sampling.masked or images is None:
            return volume
        shown = [values[name] > low for name in images.modalities]
        return torch.where(torch.stack(shown).any(0), volume, low)  # NaN is above nothing

    def _space(self, values: Values, keep: Keep) -> Space:
        """What the process works in for these values."""
        return Space(self.recipe.representation, self.atlas, values, keep)

    def _judge(self, volume: Tensor, values: Values, space: Space) -> Judge | None:
        """What the image loss says of coefficients that are to become `volume`."""
        loss, (low, high) = self.recipe.training.image_loss, self.recipe.preprocess.intensity.range
        if loss is None:
            return None
        names = [name for name in self.recipe.inputs if name not in self.recipe.labels]
        seen = torch.stack([volume, *(values[name] for name in names)])
        scaled, head = (volume - low) / (high - low), (seen > low).any(0)

        def judge(data: Tensor) -> Tensor:
            made = (space.decode(data) - low) / (high - low)
            return loss(made, scaled, head)

        return judge
