"""What a recipe costs: counted by running its network on tensors without memory."""

import weakref
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from brainweave.generator import Generator
from brainweave.processes import grids
from brainweave.processes.guidance import guide
from brainweave.processes.paths import Rectified
from brainweave.processes.process import Estimate
from brainweave.processes.samplers import SAMPLERS
from brainweave.recipe import Recipe

_FLOAT = 4  # bytes; parameters, their gradients and moments are float32


def parameter_count(recipe: Recipe) -> int:
    """All numbers that training fits."""
    with torch.device("meta"):
        generator = Generator(recipe)
    return sum(parameter.numel() for parameter in generator.parameters())


def flops_per_call(recipe: Recipe) -> int:
    """Of one network call for one volume; a multiplication with its addition counts as two."""
    with torch.device("meta"), torch.no_grad():
        generator = Generator(recipe).eval()
        with FlopCounterMode(display=False) as counter:
            _call(generator, batch=1)
    return int(counter.get_total_flops())


def calls_per_volume(recipe: Recipe) -> int:
    """Network calls as `recipe.sampling` draws a volume; guidance makes two where it acts."""
    made = 0

    def denoise(x: Tensor, t: Tensor) -> Estimate:
        nonlocal made
        made += 1
        return Estimate(x, x, x)

    sampling, process = recipe.sampling, recipe.process
    guided = guide(denoise, denoise, sampling.guidance, sampling.guidance_interval)
    first = 0.0 if process.path.wants_energies else process.first_time
    times = grids.uniform(sampling.steps, first)  # on a plain path: one may not be fitted yet
    SAMPLERS[sampling.sampler](guided, torch.zeros(1, 1), times, path=Rectified())
    return 2 * made if sampling.mirror else made


def generation_memory(recipe: Recipe) -> int:
    """Bytes of weights and of the network's largest working set for one volume, in float32."""
    with FakeTensorMode(), torch.no_grad():
        generator = Generator(recipe).eval()
        with Live(generator) as live:
            _call(generator, batch=1)
    return live.held + live.peak


def training_memory(recipe: Recipe) -> int:
    """Bytes of a training step: weights, their two moments and average, and the largest set of
    gradients and activations in between."""
    half = recipe.training.precision == "bf16"
    with FakeTensorMode():
        generator = Generator(recipe).train()
        with Live(generator) as live, torch.autocast("cpu", torch.bfloat16, enabled=half):
            _call(generator, batch=recipe.training.batch).float().square().mean().backward()
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


def _call(generator: Generator, batch: int) -> Tensor:
    """One network call with nothing known; on the device and in the mode that is current."""
    recipe = generator.recipe
    keep = {name: torch.zeros(batch, dtype=torch.bool) for name in generator.embedders}
    x, clock = torch.zeros(batch, *recipe.latent_shape), torch.zeros(batch)
    return generator.network(x, clock, generator.signal({}, keep))
