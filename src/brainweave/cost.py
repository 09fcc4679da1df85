"""What a recipe costs: counted by running its model on tensors without memory."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from brainweave.compression import AutoencoderRecipe
from brainweave.data.grid import Shape
from brainweave.generator import Generator
from brainweave.processes import grids
from brainweave.processes.guidance import guide
from brainweave.processes.paths import Rectified
from brainweave.processes.process import Estimate
from brainweave.processes.samplers import SAMPLERS
from brainweave.recipe import Recipe
from brainweave.representations.autoencoders import Autoencoder
from brainweave.representations.haar import haar_kernels

_FLOAT = 4  # bytes; parameters, their gradients and moments are float32


def parameter_count(recipe: Recipe | AutoencoderRecipe) -> int:
    """All numbers that training fits, but those of a discriminator."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in _model(recipe).parameters())


def flops_per_call(recipe: Recipe | AutoencoderRecipe) -> int:
    """Of one network call for one volume, or of one volume through an autoencoder and back; a
    multiplication with its addition counts as two."""
    if isinstance(recipe, Recipe):
        with torch.device("meta"), torch.no_grad():
            return _counted(_model(recipe).eval(), recipe)
    with _without_memory():
        return _counted(_model(recipe).train(), recipe)  # without gradients it goes slab by slab


def calls_per_volume(recipe: Recipe) -> int:
    """Network calls as `recipe.sampling` draws a volume; guidance makes two where it acts, and
    one more for each condition with a scale of its own."""
    made = 0

    def denoise(x: Tensor, t: Tensor) -> Estimate:
        nonlocal made
        made += 1
        return Estimate(x, x, x)

    sampling, process = recipe.sampling, recipe.process
    alone = [(denoise, scale) for scale in (sampling.guidance_by or {}).values()]
    guided = guide(denoise, denoise, sampling.guidance, sampling.guidance_interval, alone)
    first = 0.0 if process.path.wants_energies else process.first_time
    times = grids.uniform(sampling.steps, first)  # on a plain path: one may not be fitted yet
    SAMPLERS[sampling.sampler](guided, torch.zeros(1, 1), times, path=Rectified())
    return 2 * made if sampling.mirror else made


def generation_memory(recipe: Recipe | AutoencoderRecipe) -> int:
    """Bytes of weights and of the largest working set for one volume, in float32: of the network,
    or through an autoencoder and back."""
    with _without_memory(), torch.no_grad():
        model = _model(recipe).eval()
        with Live(model) as live:
            _call(model, recipe, 1, recipe.preprocess.shape)
    return live.held + live.peak


def training_memory(recipe: Recipe | AutoencoderRecipe) -> int:
    """Bytes of a training step: weights, their two moments and average, and the largest set of
    gradients and activations in between; those of a discriminator or of a network for features come
    on top."""
    if isinstance(recipe, Recipe):
        return _step(recipe, recipe.training.batch, recipe.preprocess.shape)
    plan, shape = recipe.training, recipe.preprocess.shape
    steps = [(plan.batch, plan.patch or shape)]
    if plan.patch is not None and plan.whole_from < 1:
        steps.append((1, shape))
    return max(_step(recipe, batch, edges) for batch, edges in steps)


def _step(recipe: Recipe | AutoencoderRecipe, batch: int, shape: Shape) -> int:
    """The bytes of a training step on volumes of this shape."""
    half = recipe.training.precision == "bf16"
    with _without_memory():
        model = _model(recipe).train()
        with Live(model) as live, torch.autocast("cpu", torch.bfloat16, enabled=half):
            _call(model, recipe, batch, shape).float().square().mean().backward()
    copies = 3 if recipe.training.ema is None else 4
    return copies * live.held + live.peak


class Live(TorchDispatchMode):
    """Bytes of the tensors that are made inside and alive at the same time.

    held: of the parameters, which were there before. peak: the most of all others at once.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}
        for tensor in (*module.parameters(), *module.buffers()):
            self._sizes[tensor.untyped_storage()._cdata] = 0
        self.held = sum(p.numel() for p in module.parameters()) * _FLOAT

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._drop, key).atexit = False

    def _drop(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


def _counted(model: nn.Module, recipe: Recipe | AutoencoderRecipe) -> int:
    with FlopCounterMode(display=False) as counter:
        _call(model, recipe, 1, recipe.preprocess.shape)
    return int(counter.get_total_flops())


@contextmanager
def _without_memory() -> Iterator[None]:
    """Where tensors have shapes only. What is kept between calls is made before."""
    haar_kernels(1)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def _model(recipe: Recipe | AutoencoderRecipe) -> nn.Module:
    return Generator(recipe) if isinstance(recipe, Recipe) else recipe.autoencoder.build()


def _call(model: nn.Module, recipe: Recipe | AutoencoderRecipe, batch: int, shape: Shape) -> Tensor:
    """One network call with nothing known, or one pass of an autoencoder."""
    if isinstance(model, Autoencoder):
        x = torch.zeros(batch, 1, *shape)
        return model(x).volume if model.training else model.reconstruct(x)
    assert isinstance(model, Generator)
    assert isinstance(recipe, Recipe)
    keep = {name: torch.zeros(batch, dtype=torch.bool) for name in model.embedders}
    x, clock = torch.zeros(batch, *recipe.latent_shape), torch.zeros(batch)
    return model.network(x, clock, model.signal({}, keep))
