"""What is special about training an autoencoder: patches, five terms of a loss, an opponent."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from brainweave.compression import AutoencoderRecipe
from brainweave.data.dataset import Batch
from brainweave.data.seeds import derive, generator
from brainweave.progress import Reporter
from brainweave.representations.autoencoders import Autoencoder, Reconstruction
from brainweave.training import adversary
from brainweave.training.autoencoder_losses import absolute, divergence, of_detail, of_wavelets
from brainweave.training.engine import Engine
from brainweave.training.loop import Loop, Volumes
from brainweave.training.optimiser import Learner
from brainweave.training.patches import patches
from brainweave.training.perceptual import MapsApart
from brainweave.training.reconstruction import draw, errors

OPPONENT = "adversary"  # its state's name


class AutoencoderTrainer(Loop):
    """Fits an autoencoder; where the adversarial weight is above 0, a discriminator beside it."""

    told = ("absolute", "kl", "wavelet", "perceptual", "adversarial", "discriminator")
    recipe: AutoencoderRecipe
    module: Autoencoder
    average: Autoencoder

    def __init__(
        self,
        module: nn.Module,
        recipe: AutoencoderRecipe,
        volumes: Volumes,
        folder: Path,
        engine: Engine,
        *,
        report: Reporter,
    ) -> None:
        super().__init__(module, recipe, volumes, folder, engine, report=report)
        plan = recipe.training
        self.maps: MapsApart | None = None
        if plan.perceptual and plan.features is not None:
            scale = recipe.preprocess.intensity.range
            self.maps = MapsApart(plan.features, scale).to(engine.device)
        self.opponent: nn.Module | None = None
        if plan.adversarial:
            torch.manual_seed(derive(OPPONENT, plan.seed))
            discriminator = adversary.Discriminator(plan.adversary).to(engine.device)
            self.others[OPPONENT] = Learner(discriminator, plan)
            self.opponent = engine.wrap(discriminator)

    def close(self) -> None:
        super().close()
        del self.opponent

    def _backward(self, batch: Batch, micro: int) -> tuple[Tensor, Tensor]:
        source, random = self._noise(micro), generator("patch", *self._place(micro))
        losses, told = [], []
        pieces = self._shown(batch.volume, random)
        for number, piece in enumerate(pieces, start=1):
            last = self._last(micro) and number == len(pieces)
            share = len(piece) / len(batch.volume) / self.recipe.training.accumulate
            with self.engine.hold(self.model, last=last):
                with self.engine.autocast():
                    passed = self.model(piece, generator=source)
                terms = self._terms(piece, passed, random)
                loss = terms @ terms.new_tensor(self._weights())
                (loss.mean() * share).backward()
            caught = self._opposed(piece, passed.volume.detach(), share, last)
            losses.append(loss.detach())
            told.append(torch.cat([terms.detach(), caught[:, None]], dim=1))
        return torch.cat(losses), torch.cat(told).mean(0)

    def _shown(self, volumes: Tensor, random: torch.Generator) -> tuple[Tensor, ...]:
        """What one pass after the other sees of a batch: patches together, and whole volumes one
        by one where patches came before them, as these fill the memory."""
        plan = self.recipe.training
        if plan.patch is None:
            return (volumes,)
        if self.done >= plan.whole_from * self.total:
            return volumes.split(1)
        low, _ = self.recipe.preprocess.intensity.range
        return (patches(volumes, plan.patch, random, background=low),)

    def _weights(self) -> list[float]:
        """Of the terms at this step."""
        plan = self.recipe.training
        rise = adversary.strength(self.done, self.total, plan.adversarial_from)
        return [1.0, plan.kl, plan.wavelet, plan.perceptual, plan.adversarial * rise]

    def _terms(self, real: Tensor, passed: Reconstruction, random: torch.Generator) -> Tensor:
        """Each term of each volume, 0 where it has no weight or nothing to look at."""
        made = passed.volume.float()
        terms: list[Callable[[], Tensor]] = [
            lambda: absolute(made, real),
            lambda: divergence(passed),
            lambda: of_wavelets(passed.wavelets, real[0].numel()),
            lambda: self._seen(made, real, random),
            lambda: self._fooling(made),
        ]
        wanted = self._weights()
        if not passed.wavelets:
            wanted[2] = 0.0
        nothing = made.new_zeros(len(made))
        found = [term() if w else nothing for term, w in zip(terms, wanted, strict=True)]
        return torch.stack(found, dim=1)

    def _seen(self, made: Tensor, real: Tensor, random: torch.Generator) -> Tensor:
        """The perceptual term."""
        if self.maps is None:
            return of_detail(made, real)
        with self.engine.autocast():
            return self.maps(made, real, random)

    def _fooling(self, made: Tensor) -> Tensor:
        """The adversarial term; the discriminator learns nothing from it."""
        discriminator = self.others[OPPONENT].module
        with adversary.frozen(discriminator), self.engine.autocast():
            answers = discriminator(made)
        return adversary.fooling(answers.float())

    def _opposed(self, real: Tensor, made: Tensor, share: float, last: bool) -> Tensor:
        """The discriminator's loss of each volume, its gradient added to those of the step."""
        plan = self.recipe.training
        if self.opponent is None or self.done < plan.adversarial_from * self.total:
            return real.new_zeros(len(real))
        with self.engine.hold(self.opponent, last=last):
            with self.engine.autocast():
                answers = self.opponent(torch.cat([real, made.to(real)]))
            loss = adversary.caught(*answers.float().chunk(2))
            (loss.mean() * share).backward()
        return loss.detach()

    def _measured(self) -> dict[str, float]:
        assert self.validation is not None
        return errors(self.average, self.recipe, self.validation, self.engine)

    def _pictured(self, path: Path, title: str) -> bool:
        shown = self.validation or self.training
        return draw(self.average, self.recipe, path, self.engine, shown, title=title)
