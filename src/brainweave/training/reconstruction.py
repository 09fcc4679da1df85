"""How well an autoencoder returns volumes while it is trained: errors and a picture."""

import math
from pathlib import Path

import torch
from torch import Tensor

from brainweave.compression import AutoencoderRecipe
from brainweave.data.dataset import Batch, VolumeDataset
from brainweave.data.montage import round_trips
from brainweave.data.volume import Volume
from brainweave.representations.autoencoders import Autoencoder
from brainweave.training.engine import Engine
from brainweave.training.validation import means

COLUMNS = 4


def errors(
    module: Autoencoder, recipe: AutoencoderRecipe, dataset: VolumeDataset, engine: Engine
) -> dict[str, float]:
    """Of whole volumes through the means of their latents, inside the range of intensities.

    loss: mean absolute error, of that range. psnr: mean over volumes, in dB. sigma: of the latents,
    root mean square.
    """
    low, high = recipe.preprocess.intensity.range

    def measure(_index: int, batch: Batch) -> Tensor:
        mu, sigma = module.encode(batch.volume)
        i, j, k = batch.volume.shape[2:]
        made = module.decode(mu, shape=(i, j, k)).float().clamp(low, high)
        apart = (made - batch.volume) / (high - low)
        decibels = -10 * apart.square().mean().clamp_min(1e-12).log10()
        return torch.stack([apart.abs().mean(), decibels, sigma.float().square().mean()])

    loss, psnr, noise = means(measure, dataset, engine, size=3)
    return {"loss": loss, "psnr": psnr, "sigma": math.sqrt(noise)}


@torch.no_grad()
def draw(
    module: Autoencoder,
    recipe: AutoencoderRecipe,
    path: Path,
    engine: Engine,
    dataset: VolumeDataset,
    *,
    title: str,
) -> bool:
    """Writes the middle planes of up to four volumes, below them what comes back, below that the
    difference, four times as large, grey where there is none. False where a stop is asked."""
    assert recipe.template is not None
    preprocess = recipe.preprocess.shown()
    placement = preprocess.place(recipe.template)
    low, high = recipe.preprocess.intensity.range
    count = min(COLUMNS, len(dataset))
    pairs: list[tuple[str, Volume, Volume]] = []
    for column in range(count):
        if engine.stop_requested:
            return False
        index = column * len(dataset) // count
        batch = Batch.of([dataset[index, 0]])
        with engine.autocast():
            made = module.reconstruct(batch.volume.to(engine.device)).float().cpu()
        real, back = (
            preprocess.restore(x[0].clamp(low, high), placement) for x in (batch.volume, made)
        )
        pairs.append((f"{batch.ids[0]} {dataset.volumes[index][1]}", real, back))
    round_trips(pairs, path, title=title)
    return True
