"""`brainweave doctor`: whether the latents of an autoencoder are fit to be modelled."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from brainweave.data.cohort import Cohort
from brainweave.data.files import write_json
from brainweave.data.montage import round_trips
from brainweave.data.volume import Volume
from brainweave.device import usable
from brainweave.errors import CohortError
from brainweave.evaluation.base import bootstrap
from brainweave.model_folder import latent, load_autoencoder
from brainweave.progress import Reporter
from brainweave.representations.haar import analyse
from brainweave.representations.latent import Latent, Moments

SCALES = 3  # of detail: 1, 2 and 4 voxels
DEAD = 0.5  # share of noise above which a channel says nothing
SHOWN = 4  # volumes in the picture


@dataclass(frozen=True)
class Channel:
    """One channel of the latents over a cohort.

    mean, std: of mu. noise: root mean square of sigma; noise_share: sigma^2 of sigma^2 + var mu.
    kl: divergence from N(0, 1) in nats per number.
    """

    mean: float
    std: float
    noise: float
    noise_share: float
    kl: float

    @property
    def dead(self) -> bool:
        """Whether it says next to nothing of a volume."""
        return self.noise_share > DEAD


@dataclass(frozen=True)
class Diagnosis:
    """What a cohort's latents are like, and what comes back from them.

    psnr: in dB, of the range of intensities, mean and 95 % interval over persons. lost: share of
    the energy of detail of 1, 2 and 4 voxels that differs after the round trip (0: none, 1: all).
    findings: what to do about it, in words; empty where nothing is wrong.
    """

    volumes: int
    channels: tuple[Channel, ...]
    psnr: tuple[float, float, float]
    lost: tuple[float, ...]
    findings: tuple[str, ...]

    def __str__(self) -> str:
        rows = [
            f"| {index} | {c.mean:.3f} | {c.std:.3f} | {c.noise:.3f} | {c.noise_share:.1%} | "
            f"{c.kl:.2f} |"
            for index, c in enumerate(self.channels)
        ]
        lost = ", ".join(f"{share:.1%} ({2**s})" for s, share in enumerate(self.lost))
        return "\n".join(
            [
                "| channel | mean | std | sigma | sigma^2 of variance | KL |",
                "|---|---|---|---|---|---|",
                *rows,
                "",
                f"{self.volumes} volumes; round trip {self.psnr[0]:.1f} dB "
                f"[{self.psnr[1]:.1f}, {self.psnr[2]:.1f}]; detail that differs, by size in "
                f"voxels: {lost}",
                *(self.findings or ("nothing is wrong with these latents",)),
            ]
        )


def doctor(
    model: Path,
    cohort: Cohort,
    out: Path | None = None,
    *,
    device: str | None = None,
    memory: int = 0,
    show: bool = True,
) -> Diagnosis:
    """Encodes and decodes the volumes of a cohort, best one that the autoencoder has not seen.

    out: a folder for doctor.json and doctor.png (real, returned, difference). device: found by
    itself. memory: a bound in bytes for each pass, 0: none.
    Raises CheckpointError for no autoencoder, CohortError where nobody has a volume for it.
    """
    recipe, _ = load_autoencoder(model)
    known = set(recipe.targets)
    subjects = Cohort([s for s in cohort if known & set(s.images)], cohort.source)
    if not subjects:
        raise CohortError(f"{cohort.source}: nobody has {' or '.join(recipe.targets)}")
    dataset, space = recipe.dataset(subjects), latent(model).within(memory)
    seen, quality, lost = Moments(space.channels), [], torch.zeros(2, SCALES, dtype=torch.float64)
    pictures: list[tuple[str, Tensor, Tensor]] = []
    reporter = Reporter(quiet=not show)
    reporter.start("round trips", len(dataset))
    for volume, made, prepared in _trips(space, dataset.made(), device):
        seen.add(prepared)
        apart = (made - volume) / (space.high - space.low)
        quality.append(-10 * float(apart.square().mean().clamp_min(1e-12).log10()))
        lost += torch.stack([energies(apart), energies(volume / (space.high - space.low))])
        if len(pictures) < SHOWN:
            subject, name = dataset.volumes[len(quality) - 1]
            pictures.append((f"{subject.id} {name}", volume[0], made[0]))
        reporter.advance()
    reporter.stop()
    persons = [subject.subject for subject, _ in dataset.volumes]
    values = torch.tensor(quality, dtype=torch.float64)
    psnr = bootstrap(lambda chosen: float(values[torch.as_tensor(chosen)].mean()), persons)
    columns = (seen.mean, seen.std, seen.noise, seen.noise_share, seen.kl)
    channels = tuple(
        Channel(*row) for row in zip(*(column.tolist() for column in columns), strict=True)
    )
    shares = tuple((lost[0] / lost[1].clamp_min(1e-12)).tolist())
    found = tuple(findings(channels, shares, space.noise_limit))
    diagnosis = Diagnosis(len(dataset), channels, psnr, shares, found)
    if out is not None:
        write_json(out / "doctor.json", asdict(diagnosis))
        _draw(pictures, (space.low, space.high), out / "doctor.png")
    return diagnosis


def findings(
    channels: Sequence[Channel], lost: Sequence[float], noise_limit: float
) -> Iterator[str]:
    """What is wrong, and what to do."""
    dead = [str(index) for index, channel in enumerate(channels) if channel.dead]
    if dead:
        yield (
            f"channel {', '.join(dead)} is mostly noise: the decoder hardly uses it; train longer, "
            "with less training.kl or fewer latent channels"
        )
    share = sum(channel.noise_share for channel in channels) / len(channels)
    if share > noise_limit:
        yield (
            f"{share:.0%} of the variance is noise, above {noise_limit:.0%}: no model of these "
            "latents is trained; train the autoencoder with less training.kl"
        )
    spreads = [channel.std for channel in channels]
    if max(spreads) > 10 * max(min(spreads), 1e-9):
        yield (
            f"spreads of channels differ from {min(spreads):.2g} to {max(spreads):.2g}: keep "
            "representation.whiten=1, which evens them out"
        )
    if lost[0] > 0.5:
        yield (
            f"{lost[0]:.0%} of the finest detail does not come back: volumes will look smooth; "
            "train longer, with training.perceptual or training.adversarial, or more channels"
        )


def energies(volume: Float[Tensor, "1 1 i j k"]) -> Float[Tensor, "s"]:
    """Energy of detail at each scale: of all Haar subbands but the lowest."""
    found, low = [], volume.double()
    for _ in range(SCALES):
        i, j, k = (edge - edge % 2 for edge in low.shape[2:])
        low, detail = analyse(low[:, :, :i, :j, :k]).split([1, 7], dim=1)
        found.append(detail.square().sum())
    return torch.stack(found)


def _trips(
    space: Latent, volumes: Iterator[Tensor], device: str | None
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Each volume, what comes back of it, and its latents."""
    place = usable(device)
    for volume in volumes:
        prepared = space.prepare(volume.to(place))
        made = space.invert(space.transform(prepared)).cpu()
        i, j, k = volume.shape[2:]
        yield volume, made[:, :, :i, :j, :k].clamp(space.low, space.high), prepared.cpu()


def _draw(
    pictures: Sequence[tuple[str, Tensor, Tensor]], scale: tuple[float, float], path: Path
) -> None:
    """Volumes and what comes back of them, on the grid that the autoencoder sees."""
    low, high = scale
    affine = torch.eye(4, dtype=torch.float64).numpy()
    pairs = []
    for name, *both in pictures:
        real, back = (Volume((x[0] - low) / (high - low), affine) for x in both)
        pairs.append((name, real, back))
    round_trips(pairs, path)
