"""What is special about training a generator."""

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor, nn

from brainweave.data.dataset import Batch
from brainweave.generator import Generator
from brainweave.recipe import Recipe
from brainweave.training.loop import Loop
from brainweave.training.preview import preview
from brainweave.training.validation import validation_loss


class Trainer(Loop):
    """Fits a generator."""

    recipe: Recipe
    module: Generator
    average: Generator

    def _backward(self, batch: Batch, micro: int) -> tuple[Tensor, Tensor]:
        source = self._noise(micro)
        with self.engine.hold(self.model, last=self._last(micro)):
            with self.engine.autocast():
                loss = self.model(batch.volume, batch.values, generator=source)
            (loss.mean() / self.recipe.training.accumulate).backward()
        return loss.detach(), loss.new_zeros(0)

    def _measured(self) -> dict[str, float]:
        assert self.validation is not None
        return {"loss": validation_loss(self.average, self.validation, self.engine)}

    def _pictured(self, path: Path, title: str) -> bool:
        shown = self.validation or self.training
        return preview(self.average, path, self.engine, shown, title=title)

    def _compiled(self) -> Iterable[nn.Module]:
        return [self.module.network]

    def _idle(self) -> bool:
        return deaf(self.recipe)


def deaf(recipe: Recipe) -> bool:
    """Whether some parameters never get a gradient: layers that hear conditions where there is
    none, or layers that make tokens which nothing attends to."""
    network = recipe.network
    return not recipe.covariates or not network.attends or network.pooled_context
