"""Few calls of the best possible network. Run: OMP_NUM_THREADS=1 python benchmarks/few_steps.py

What is to be made is N(mu, s^2) in every Haar coefficient, mu those of a 48^3 phantom. The network
knows both and answers with the posterior mean, which the clip keeps inside [0, 1] in voxels. The
path has 1000 linear betas, of which T are kept as in Fast-cWDM: k = 0, 111, ..., 999 for 10.
`learned`: ddim at 10 other k, searched on another phantom and other noise for where the exact
probability flow ends.

First table: PSNR against the phantom, background 0, in the whole volume / in the brain. A true draw
is its spread away from the phantom: what has a higher PSNR is nearer to the mean than a draw is.
Second table: the same against the end of the exact flow from the same noise.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from brainweave.data.phantom import phantom
from brainweave.processes import exact, grids
from brainweave.processes.guidance import constrained, voxel_clip
from brainweave.processes.paths import DDPM
from brainweave.processes.samplers import SAMPLERS
from brainweave.representations import Haar

HAAR, CHAIN = Haar(approximation_scale=3.0), DDPM()
SPREADS, CALLS = (0.01, 0.03, 0.06), (10, 100, 1000)
FLOWS = ("ddim", "dpmpp_2m", "learned")  # that follow the probability flow
COLUMNS = ("reference", "ancestral", "ddim", "dpmpp_2m")
STRIDES = (64, 32, 16, 8, 4, 2, 1)  # of the search, in k


@dataclass
class Case:
    """A phantom and the noise that its volumes are drawn from."""

    spread: float
    seed: int

    def __post_init__(self) -> None:
        made = phantom(age=40, sex="F", seed=self.seed, shape=(48, 48, 48))["t1w"].data
        scan = torch.as_tensor(made)[None, None]
        self.brain = scan > 0
        self.volume = (scan / scan.quantile(0.999)).clamp(0, 1)
        self.mean = HAAR.encode(self.volume)
        self.random = torch.Generator().manual_seed(self.seed)
        self.noise = self.randn(self.mean)

    def randn(self, like: Tensor) -> Tensor:
        """Fresh noise."""
        return torch.randn(like.shape, generator=self.random)

    def made(self, sampler: str, path: DDPM, times: Tensor) -> Tensor:
        """The volume that `sampler` makes of this case's noise."""
        clip = voxel_clip(HAAR.encode, HAAR.decode, 0.0, 1.0)
        denoise = constrained(exact.denoiser(path, self.mean, self.spread), path, clip)
        run = SAMPLERS[sampler]
        return self.shown(run(denoise, self.noise, times, path=path, randn=self.randn))

    def end(self) -> Tensor:
        """The volume at the end of the exact flow: a true draw."""
        return self.shown(exact.flow(CHAIN, self.noise, mean=self.mean, sd=self.spread))

    def shown(self, coefficients: Tensor) -> Tensor:
        """In voxels, in the range, background 0."""
        return HAAR.decode(coefficients).clamp(0, 1) * self.brain

    def psnr(self, made: Tensor, truth: Tensor) -> str:
        """dB in the whole volume / in the brain."""
        error = (made - truth).square()
        levels = (-10 * float(part.mean().log10()) for part in (error, error[self.brain]))
        return " / ".join(f"{level:.1f}" for level in levels)


def learned(case: Case, calls: int) -> tuple[int, ...]:
    """k, noisiest first, from which ddim ends nearest to the exact flow: one is moved at a time."""
    truth = case.end()

    def error(kept: tuple[int, ...]) -> float:
        return float((case.made("ddim", CHAIN, at(kept)) - truth).square().mean())

    best = tuple(round(float(k)) for k in CHAIN.clock(grids.respaced(calls)[:-1]))
    least = error(best)
    for stride in STRIDES:
        for place in range(1, calls):
            for move in (-stride, stride):
                tried = (*best[:place], best[place] + move, *best[place + 1 :])
                falls = all(a > b for a, b in zip(tried, (*tried[1:], -1), strict=True))
                if falls and (found := error(tried)) < least:
                    best, least = tried, found
    return best


def at(kept: tuple[int, ...]) -> Tensor:
    """Times of the chain's steps k."""
    return grids.listed([1 - (k + 1) / CHAIN.steps for k in kept])


def main() -> None:
    """Print both tables."""
    ends, grid = [], []
    print(f"| s | T | {' | '.join(COLUMNS)} | learned | true draw |")
    print("|" + "---|" * (len(COLUMNS) + 4))
    for spread in SPREADS:
        kept = learned(Case(spread, seed=1), CALLS[0])
        grid.append(f"s = {spread}: {', '.join(str(k) for k in kept)}")
        for calls in CALLS:
            case, path = Case(spread, seed=0), DDPM(steps=calls, chain=CHAIN.steps)
            made = {name: case.made(name, path, grids.uniform(calls)) for name in COLUMNS}
            cells = [case.psnr(volume, case.volume) for volume in made.values()]
            if calls == CALLS[0]:
                made["learned"] = case.made("ddim", CHAIN, at(kept))
                cells += [case.psnr(made["learned"], case.volume)]
                cells += [case.psnr(case.end(), case.volume)]
            row = [*cells, *[""] * (len(COLUMNS) + 2 - len(cells))]
            print(f"| {spread} | {calls} | {' | '.join(row)} |", flush=True)
            near = [case.psnr(made[name], case.end()) for name in FLOWS if name in made]
            ends.append(f"| {spread} | {calls} | {' | '.join([*near, ''][: len(FLOWS)])} |")
    print("", f"| s | T | {' | '.join(FLOWS)} |", "|" + "---|" * (len(FLOWS) + 2), sep="\n")
    print(*ends, "", "Learned k:", *grid, sep="\n")


if __name__ == "__main__":
    main()
