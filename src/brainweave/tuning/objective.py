"""What a grid is judged by: the error of a model's volumes drawn along it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from brainweave.data.dataset import Batch, VolumeDataset
from brainweave.data.seeds import derive
from brainweave.generator import Generator
from brainweave.processes import grids
from brainweave.processes.process import Estimate
from brainweave.tuning.search import Times


@dataclass(frozen=True)
class Example:
    """A volume to draw: its conditions, its seed and what it should become."""

    values: dict[str, Tensor]
    seed: int
    wanted: Float[Tensor, "1 1 i j k"]


class Objective:
    """The error of a model over examples.

    A model that hears images is held to the real volumes; one that makes volumes from noise to its
    own of `teacher` steps from the same noise. Errors are peak signal-to-noise ratios in dB,
    averaged over examples, inside the heads of the real volumes.
    """

    def __init__(
        self, generator: Generator, volumes: VolumeDataset, count: int, teacher: int, seed: int
    ) -> None:
        self.generator, self.teacher = generator, teacher
        self.calls, volumes = 0, volumes.in_voxels()
        device = next(generator.parameters()).device
        chosen = spread(volumes, count)
        self.examples = [
            self._example(Batch.of([volumes[index, 0]]).to(device), derive("tune", seed, index))
            for index in chosen
        ]

    def cost(self, times: Times) -> float:
        """The negative mean PSNR of volumes drawn at `times`."""
        return -self.psnr(times)

    def psnr(self, times: Times) -> float:
        """In dB."""
        each = [self._psnr(self._draw(example, times), example) for example in self.examples]
        return sum(each) / len(each)

    def jumps(self, choice: list[float]) -> Float[Tensor, "n n"]:
        """The squared error of a jump from each place to every later one, the last being t = 1,
        where the trajectory through all of them is held to be right."""
        total = torch.zeros(len(choice) + 1, len(choice) + 1, dtype=torch.float64)
        for example in self.examples:
            total += self._jumps(example, choice)
        return total

    def _example(self, batch: Batch, seed: int) -> Example:
        known = Example(batch.values, seed, batch.volume)
        if self.generator.recipe.inputs:
            return known
        process = self.generator.recipe.process
        times = grids.uniform(self.teacher, process.first_time)[:-1]
        return Example(batch.values, seed, self._draw(known, tuple(times.tolist())))

    def _draw(self, example: Example, times: Times) -> Tensor:
        sampling = self.generator.recipe.sampling.replace(steps=len(times), grids=(times,))
        self.calls += len(times)
        return self.generator.sample(example.values, [example.seed], sampling)

    def _psnr(self, made: Tensor, example: Example) -> float:
        intensity = self.generator.recipe.preprocess.intensity
        head = example.wanted > intensity.low
        error = (made - example.wanted)[head].double().square().mean().clamp(min=1e-12)
        return float(10 * torch.log10((intensity.high - intensity.low) ** 2 / error))

    def _jumps(self, example: Example, choice: list[float]) -> Tensor:
        """One walk through all places gives every jump: an estimate is known at each of them."""
        recipe, stops = self.generator.recipe, list[tuple[Tensor, Estimate]]()
        walk = recipe.sampling.replace(
            sampler="ddim", eta=None, steps=len(choice), grids=(tuple(choice),), mirror=False
        )
        self.calls += len(choice)
        self.generator.sample(
            example.values, [example.seed], walk, watch=lambda x, found: stops.append((x, found))
        )
        states = [*(x for x, _ in stops), stops[-1][1].data]
        costs = torch.zeros(len(states), len(states), dtype=torch.float64)
        for i, (_, estimate) in enumerate(stops):
            for j in range(i + 1, len(states)):
                to = recipe.process.path.at(choice[j] if j < len(choice) else 1.0, states[j])
                reached = to.alpha * estimate.data + to.sigma * estimate.noise
                costs[i, j] = float((reached - states[j]).double().square().mean())
        return costs


def spread(volumes: VolumeDataset, count: int) -> list[int]:
    """Indices of so many volumes, evenly over the subjects and with every target in turn."""
    per = len(volumes.targets)
    wanted = min(count, len(volumes))
    firsts = [rank * len(volumes) // wanted for rank in range(wanted)]
    chosen = (min(f - f % per + k % per, len(volumes) - 1) for k, f in enumerate(firsts))
    return list(dict.fromkeys(chosen))
