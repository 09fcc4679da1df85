"""The training loop."""

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from brainweave.data.dataset import Batch, VolumeDataset, loader
from brainweave.data.files import digest
from brainweave.data.seeds import derive
from brainweave.errors import CheckpointError, TrainingError
from brainweave.generator import Generator
from brainweave.model_folder import WEIGHTS
from brainweave.part import to_dict
from brainweave.progress import Reporter
from brainweave.recipe import Recipe, Training
from brainweave.training import ema, optimiser
from brainweave.training.checkpoint import Facts, States, writing
from brainweave.training.engine import Engine, memory
from brainweave.training.journal import Journal
from brainweave.training.preview import preview
from brainweave.training.validation import validation_loss

LABELS = ("name", "source", "licence", "sampling")  # of a recipe: they decide no weight
STATE, SAMPLES = "state", "samples"
LOG_EVERY = 10  # steps


class Trainer:
    """Fits a generator in a run folder, from the first step or from where its state says.

    Everything random is drawn from (seed, step, batch of the step, process), so the number of the
    step is all that a resumed run must know besides weights and optimiser.
    """

    def __init__(
        self,
        generator: Generator,
        training: VolumeDataset,
        validation: VolumeDataset | None,
        folder: Path,
        engine: Engine,
        *,
        report: Reporter,
    ) -> None:
        self.recipe, self.folder = generator.recipe, folder
        self.engine, self.report = engine, report
        self.training, self.validation = training, validation
        self.total = self.recipe.training.total_steps(len(training), engine.world)
        self.generator = generator.to(engine.device).train()
        decay = self.recipe.training.ema
        self.average = self.generator if decay is None else ema.averaged(self.generator)
        self.optimiser = optimiser.adamw(self.generator, self.recipe.training)
        if self.recipe.training.compile:
            self.generator.network.compile()  # in place: names of weights stay
        self.model = engine.wrap(self.generator, unused=deaf(self.recipe))
        self.states = States(folder / STATE, report.say)
        self.done, self.bad, self.finished = 0, 0, False
        self.best, self.best_step = math.inf, 0

    def run(self, journal: Journal | None) -> bool:
        """Steps until the end: True, or until a signal asks for a stop: False. The state is saved
        either way. journal: of the first process."""
        plan = self.recipe.training
        stop, batches = False, self._batches()
        self.report.start("training", self.total, self.done)
        while not self.finished and not stop:
            facts, stop = self.step(batches)
            self._log(journal, facts)
            self.finished = self.done == self.total
            if self.finished or self.done % plan.validate_every == 0:
                self.validate(journal)
            if self.finished or stop or self.done % plan.save_every == 0:
                self.save()
        self.report.stop()
        return self.finished

    def step(self, batches: Iterator[Batch]) -> tuple[dict[str, float], bool]:
        """One optimiser step. Returns what to log, and whether any process was asked to stop.

        Raises TrainingError where the loss or the norm of the gradient is not finite.
        """
        plan, began = self.recipe.training, time.perf_counter()
        lr = optimiser.learning_rate(self.done, self.total, plan)
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.zero_grad(set_to_none=True)

        losses: list[Tensor] = []
        ids: list[str] = []
        for micro in range(plan.accumulate):
            batch = next(batches).to(self.engine.device)
            loss = self._backward(batch, micro)
            losses.append(loss.detach())
            ids.extend(batch.ids)
        norm = self._clip()

        each = torch.cat(losses)
        asked = each.new_tensor(float(self.engine.stop_requested))
        shared = self.engine.sum(torch.stack([each.mean() / self.engine.world, asked]))
        mean, stop, grad_norm = torch.cat([shared, norm[None]]).tolist()  # the step's only wait
        if not math.isfinite(mean) or not math.isfinite(grad_norm):
            raise self._broken(each, ids, grad_norm)

        self.optimiser.step()
        if plan.ema is not None:
            ema.update(self.average, self.generator, ema.decay_at(self.done, plan.ema))
        self.done += 1
        seconds = time.perf_counter() - began
        return {"loss": mean, "lr": lr, "grad_norm": grad_norm, "seconds": seconds}, stop > 0

    def validate(self, journal: Journal | None) -> None:
        """Validation loss and a picture; the run is finished where patience ends."""
        self.average.eval()
        patience = self.recipe.training.patience
        if self.validation is not None:
            loss = validation_loss(self.average, self.validation, self.engine)
            if not math.isfinite(loss):
                raise TrainingError(f"step {self.done}: validation loss {loss}; nothing saved")
            improved = loss < self.best
            if improved:
                self.best, self.best_step = loss, self.done
            self.bad = 0 if improved else self.bad + 1
            self.report.say(
                f"step {self.done}: validation loss {loss:.5f}"
                + ("" if improved else f" (best {self.best:.5f} at step {self.best_step})")
            )
            if journal is not None:
                with writing(journal.path):
                    journal.write("validation", self.done, loss=loss, best=self.best)
            if improved and patience and self.engine.is_main:
                self._keep()
            self.finished = self.finished or 0 < patience <= self.bad
        if self.engine.is_main:
            self._preview(journal)
        self.engine.barrier()
        self.generator.train()

    def save(self) -> None:
        """The weights that are kept, then the state; of the first process."""
        if not self.engine.is_main:
            return
        if not self.recipe.training.patience and self.done:
            self._keep()
        tensors = {f"weights.{n}": t for n, t in self.generator.state_dict().items()}
        if self.average is not self.generator:
            tensors |= {f"ema.{n}": t for n, t in self.average.state_dict().items()}
        moments = optimiser.to_tensors(self.optimiser, self.generator)
        tensors |= {f"adamw.{n}": t for n, t in moments.items()}
        self.states.save(tensors, self._facts())

    def resume(self) -> None:
        """Goes on from the newest state that verifies. Raises CheckpointError where there is none
        or it was made by another recipe or another number of processes."""
        tensors, facts = self.engine.first(self.states.load)
        if facts.recipe != identity(self.recipe):
            raise CheckpointError(f"{self.folder}: its state is another recipe's; train elsewhere")
        if facts.world != self.engine.world:
            raise CheckpointError(
                f"{self.folder} was trained by {facts.world} processes, now there are "
                f"{self.engine.world}: the run could not go on exactly; start {facts.world}"
            )
        parts = sorted_by_part(tensors)
        self.generator.load_state_dict(parts["weights"])
        if self.average is not self.generator:
            self.average.load_state_dict(parts["ema"])
        optimiser.from_tensors(self.optimiser, self.generator, parts["adamw"])
        self.done, self.bad, self.finished = facts.step, facts.bad, facts.finished
        self.best = math.inf if facts.best is None else facts.best
        self.best_step = facts.best_step

    def close(self) -> None:
        """Drops what the process group still holds; see `Engine.close`."""
        del self.model, self.optimiser, self.generator, self.average

    def _batches(self) -> Iterator[Batch]:
        plan, engine = self.recipe.training, self.engine
        return iter(
            loader(
                self.training,
                batch=plan.batch,
                seed=plan.seed,
                start=self.done * plan.accumulate,
                steps=self.total * plan.accumulate,
                rank=engine.rank,
                world=engine.world,
                workers=plan.workers,
            )
        )

    def _backward(self, batch: Batch, micro: int) -> Tensor:
        """The loss of each volume of a batch, its mean's gradient added to those of the step."""
        plan, engine = self.recipe.training, self.engine
        place = (plan.seed, self.done, micro, engine.rank)
        torch.manual_seed(derive("dropout", *place))
        source = torch.Generator(engine.device).manual_seed(derive("noise", *place))
        with engine.hold(self.model, last=micro == plan.accumulate - 1):
            with engine.autocast():
                loss = self.model(batch.volume, batch.values, generator=source)
            (loss.mean() / plan.accumulate).backward()
        return loss

    def _clip(self) -> Tensor:
        """The norm of the gradient, which is then at most `grad_clip`."""
        limit = self.recipe.training.grad_clip
        parameters = list(self.generator.parameters())
        if limit is None:
            gradients = [p.grad for p in parameters if p.grad is not None]
            return torch.nn.utils.get_total_norm(gradients)
        return torch.nn.utils.clip_grad_norm_(parameters, limit)

    def _broken(self, losses: Tensor, ids: list[str], norm: float) -> TrainingError:
        """The error for a step without a finite loss or gradient, naming its subjects."""
        bad = [i for i, loss in zip(ids, losses.tolist(), strict=True) if not math.isfinite(loss)]
        bad, ids = self.engine.gather(bad), self.engine.gather(ids)
        what = f"the loss is not finite for {', '.join(bad)}" if bad else f"gradient norm {norm}"
        last = self.states.paths()
        kept = f"the last good state is {last[0].name}" if last else "no state was saved yet"
        return TrainingError(
            f"step {self.done + 1}: {what}; the batch was {', '.join(ids)}. Nothing was changed, "
            f"{kept}; look at these volumes, lower training.lr or set training.grad_clip"
        )

    def _log(self, journal: Journal | None, facts: dict[str, float]) -> None:
        megabytes = memory(self.engine.device)
        self.report.advance(
            f"loss {facts['loss']:.4f}, {facts['seconds']:.2f} s/step, {megabytes / 1e3:.1f} GB"
        )
        if journal is not None and (self.done % LOG_EVERY == 0 or self.done in (1, self.total)):
            with writing(journal.path):
                journal.write("train", self.done, **facts, memory_mb=round(megabytes, 1))

    def _keep(self) -> None:
        """Makes the averaged weights of now the ones of the run."""
        size = sum(p.numel() * p.element_size() for p in self.average.parameters())
        with writing(self.folder / WEIGHTS, size):
            self.average.save(self.folder)

    def _preview(self, journal: Journal | None) -> None:
        path = self.folder / SAMPLES / f"step-{self.done:06d}.png"
        title = f"{self.recipe.name}, step {self.done}"
        with writing(path):
            shown = self.validation or self.training
            made = preview(self.average, path, self.engine, shown, title=title)
            if made and journal is not None:
                journal.picture(self.done, path)

    def _facts(self) -> Facts:
        return Facts(
            step=self.done,
            best=self.best if math.isfinite(self.best) else None,
            best_step=self.best_step,
            bad=self.bad,
            world=self.engine.world,
            recipe=identity(self.recipe),
            finished=self.finished,
        )


def sorted_by_part(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors of a state: its weights, their average, the optimiser's moments."""
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "ema": {}, "adamw": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    return parts


def identity(recipe: Recipe) -> str:
    """A digest of all that decides the weights."""
    plan = {name: value for name, value in to_dict(recipe).items() if name not in LABELS}
    free = flexible(recipe.training)
    plan["training"] = {n: v for n, v in plan["training"].items() if n not in free}
    return digest(plan)


def flexible(plan: Training) -> tuple[str, ...]:
    """The fields of `training` that may change in a running run."""
    fields = ("workers", "compile", "save_every")
    return fields if plan.patience else (*fields, "validate_every")


def deaf(recipe: Recipe) -> bool:
    """Whether some parameters never get a gradient: layers that hear conditions where there is
    none, or layers that make tokens which nothing attends to."""
    network = recipe.network
    return not recipe.covariates or not network.attends or network.pooled_context
