"""Tables as others print them, in markdown, so that their numbers can be repeated."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import pdist

from brainweave.errors import EvaluationError
from brainweave.evaluation.base import Indices
from brainweave.evaluation.distribution import Made, Real, frechet, mmd
from brainweave.evaluation.neighbours import prdc

RATIOS = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)  # bandwidths of medmetric in medians
Features = Float[np.ndarray, "_ _"]
VolumePairs = Iterable[tuple[Float[np.ndarray, "_ _ _"], Float[np.ndarray, "_ _ _"]]]


class Medmetric(NamedTuple):
    """What medmetric 0.1.1 gives; ms_ssim is None where no pairs of volumes were given."""

    fid: float
    mmd: float
    ms_ssim: float | None


def slides(
    pairs: Mapping[str, tuple[Features, Features]],
    *,
    draws: int = 20,
    size: int = 200,
    k: int = 5,
    features: str = "features",
    paired: Sequence[str] = (),
    seed: int = 0,
) -> str:
    """FID, precision, recall, density and coverage as mean +- sd over draws of `size` from each
    side, raw features: a row for each pair (reference, judged), such as "real-generated".

    Rows named in `paired` hold the same subjects in the same order on both sides, as
    reconstructions do, and are drawn together; independent draws would add the bias of two samples
    to a distance of 0. Drawn without replacement: a repeated row is its own neighbour.
    """
    random = np.random.default_rng(seed)
    lines = []
    for name, (reference, judged) in pairs.items():
        fitting = min(size, len(reference), len(judged))
        if name in paired and len(reference) != len(judged):
            raise EvaluationError(
                f"{name}: {len(reference)} and {len(judged)} rows cannot be the same subjects"
            )
        drawn = []
        for _ in range(draws):
            left = _some(random, len(reference), fitting)
            right = left if name in paired else _some(random, len(judged), fitting)
            a, b = reference[left], judged[right]
            drawn.append((frechet(a, b), *prdc(a, b, k)))
        lines.append([name, str(fitting), *map(_spread, np.array(drawn).T)])
    head = ["", "n", "FID", "precision", "recall", "density", "coverage"]
    said = f"Mean ± sd over {draws} draws of n against n without replacement; {features}; k = {k}."
    small = [f"{line[0]} ({line[1]})" for line in lines if int(line[1]) < size]
    said += f" Fewer than {size} volumes: {', '.join(small)}." if small else ""
    fixed = [
        name for name, (a, b) in pairs.items() if max(len(a), len(b)) == min(size, len(a), len(b))
    ]
    said += f" No other draw is possible, so no sd: {', '.join(fixed)}." if fixed else ""
    return f"{_table(head, lines)}\n\n{said}"


def reconstructions(numbers: Mapping[str, Sequence[float]]) -> str:
    """The slides' second table: the mean ± sd over volumes of LPIPS, PSNR, SSIM or any others."""
    cells = [_spread(np.asarray(values, float)) for values in numbers.values()]
    return _table(["", *numbers], [["recon", *cells]])


def medmetric(real: Real, made: Made, pairs: VolumePairs = ()) -> Medmetric:
    """FID, MMD and MS-SSIM by the definitions of the package medmetric 0.1.1.

    Its MMD is the root of the unbiased squared one, at least 0, of the mean of seven Gaussian
    kernels whose widths follow from the median distance in both sets pooled: it depends on the
    made ones, so that two models' values are on two rulers. `compare` gives one that does not.
    pairs: made volumes in 0..1, whose mean MS-SSIM tells how alike they are.
    """
    from brainweave.evaluation.similarity import ms_ssim

    # the lower of two middle distances, as torch.median takes it
    both = np.concatenate([real, made]).astype(np.float64)
    distances = pdist(both)
    middle = (len(distances) - 1) // 2
    median = max(float(np.partition(distances, middle)[middle]), 1e-12)
    squared = float(np.mean([mmd(real, made, bandwidth=median * ratio) for ratio in RATIOS]))
    alike = [ms_ssim(a, b) for a, b in pairs]
    return Medmetric(
        fid=frechet(real, made),
        mmd=max(squared, 0.0) ** 0.5,
        ms_ssim=float(np.mean(alike)) if alike else None,
    )


def medmetric_table(rows: Mapping[str, Medmetric], features: str = "features") -> str:
    """A row of FID, MMD and MS-SSIM for each model."""
    cells = [
        [name, *("" if value is None else f"{value:.6g}" for value in row)]
        for name, row in rows.items()
    ]
    return f"{_table(['', 'FID', 'MMD', 'MS-SSIM'], cells)}\n\nmedmetric's definitions; {features}."


def _some(random: np.random.Generator, count: int, size: int) -> Indices:
    return random.permutation(count)[:size]


def _spread(values: Float[np.ndarray, "n"]) -> str:
    """Mean and sd with four digits after the point, more where they would vanish."""
    mean, sd = float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0
    if 0 < abs(mean) < 1e-3:
        return f"{mean:.2e} ± {sd:.0e}"
    return f"{mean:.4g} ± {sd:.2g}" if abs(mean) >= 10 else f"{mean:.4f} ± {sd:.4f}"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *lines))
