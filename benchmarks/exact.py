"""Every sampler on every path against the exactly solvable case. Run: python benchmarks/exact.py

Data N(0.7, 0.25^2), the closed-form denoiser, 200,000 draws in float64: the channel furthest off.
`error ratio` is the error against the exact flow at n steps over that at 2 n steps, n = 100:
2 for a first order sampler, 4 for a second order one.
"""

from brainweave.processes import exact
from brainweave.processes.paths import DDPM, Rectified, Trigonometric, VariancePreserving

PATHS = (Rectified(), Trigonometric(), VariancePreserving(), DDPM(), exact.Banded())
STEPS = {"heun": 50, "dpmpp_2m": 50, "euler": 200, "ddim": 400, "ancestral": 1000}


def main() -> None:
    """Print the table."""
    print("| path | sampler | steps | mean | sd | error ratio |")
    print("|---|---|---|---|---|---|")
    for path in PATHS:
        for sampler, steps in STEPS.items():
            mean, sd = (
                value[(value - truth).abs().argmax()]
                for value, truth in zip(
                    exact.sample(sampler, path, steps), (exact.MEAN, exact.SD), strict=True
                )
            )
            ratio = "-"
            if sampler != "ancestral":
                ratio = f"{exact.error(sampler, path, 100) / exact.error(sampler, path, 200):.2f}"
            name = type(path).__name__
            print(f"| {name} | {sampler} | {steps} | {mean:.4f} | {sd:.4f} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
