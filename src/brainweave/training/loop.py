"""The training loop, whatever is trained: steps, validation, states.

A new kind of model is a leaf of `Loop`: what the loss of a batch is, what validation looks at.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from brainweave.data.balance import shares
from brainweave.data.dataset import Batch, VolumeDataset
from brainweave.data.loading import loader
from brainweave.data.seeds import derive
from brainweave.errors import CheckpointError, TrainingError
from brainweave.model_folder import WEIGHTS, Plan
from brainweave.progress import Reporter
from brainweave.training import ema
from brainweave.training.checkpoint import Facts, States, sorted_by_part, writing
from brainweave.training.engine import Engine, memory
from brainweave.training.journal import Journal
from brainweave.training.models import identity, save
from brainweave.training.optimiser import Learner, learning_rate

STATE, SAMPLES = "state", "samples"
LOG_EVERY = 10  # steps


class Volumes(NamedTuple):
    """What a run learns from, and what it is validated on."""

    training: VolumeDataset
    validation: VolumeDataset | None


class Loop(ABC):
    """Fits a module in a run folder, from the first step or from where its state says.

    Everything random is drawn from (seed, step, batch of the step, process), so the number of the
    step is all that a resumed run must know besides weights and optimisers.
    """

    told: tuple[str, ...] = ()  # what `_backward` says beside the loss

    def __init__(
        self,
        module: nn.Module,
        recipe: Plan,
        volumes: Volumes,
        folder: Path,
        engine: Engine,
        *,
        report: Reporter,
    ) -> None:
        self.recipe, self.folder = recipe, folder
        self.engine, self.report = engine, report
        self.training, self.validation = volumes
        self.total = recipe.training.total_steps(len(self.training), engine.world)
        self.module = module.to(engine.device).train()
        decay = recipe.training.ema
        self.average = self.module if decay is None else ema.averaged(self.module)
        self.learner = Learner(self.module, recipe.training)
        self.others: dict[str, Learner] = {}  # by the name that their state is kept under
        if recipe.training.compile:
            for part in self._compiled():
                part.compile()  # in place: names of weights stay
        self.model = engine.wrap(self.module, unused=self._idle())
        self.states = States(folder / STATE, report.say)
        self.done, self.bad, self.finished = 0, 0, False
        self.best, self.best_step = math.inf, 0

    @abstractmethod
    def _backward(self, batch: Batch, micro: int) -> tuple[Tensor, Tensor]:
        """The loss of each volume of a batch, its mean's gradient added to those of the step, and
        the means that `told` names. Random by (seed, step, micro, process) alone."""

    @abstractmethod
    def _measured(self) -> dict[str, float]:
        """What validation says of `average`; "loss" among it decides which weights are best."""

    @abstractmethod
    def _pictured(self, path: Path, title: str) -> bool:
        """Draws what `average` can do so far; False where a stop is asked."""

    def _compiled(self) -> Iterable[nn.Module]:
        """What `training.compile` is for."""
        return self.module.children()

    def _idle(self) -> bool:
        """Whether some parameters never get a gradient."""
        return False

    def run(self, journal: Journal | None) -> bool:
        """Steps until the end: True, or until a signal asks for a stop: False. The state is saved
        either way. journal: of the first process."""
        plan = self.recipe.training
        stop, batches = False, self.batches()
        if journal is not None and plan.balance and not self.done:
            kinds = shares([name for _, name in self.training.volumes], plan.balance)
            drawn = {name: share for name, (_, share) in kinds.items()}
            self.report.say("drawn: " + ", ".join(f"{n} {s:.1%}" for n, s in drawn.items()))
            with writing(journal.path):
                journal.write("balance", 0, **drawn)
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
        learners = (self.learner, *self.others.values())
        lr = learning_rate(self.done, self.total, plan)
        for learner in learners:
            learner.begin(lr)

        losses, said, ids = [], [], []
        for micro in range(plan.accumulate):
            batch = next(batches).to(self.engine.device)
            loss, told = self._backward(batch, micro)
            losses.append(loss)
            said.append(told)
            ids.extend(batch.ids)
        norms = torch.stack([learner.clip().to(self.engine.device) for learner in learners])

        each = torch.cat(losses)
        means = torch.cat([each.mean()[None], torch.stack(said).mean(0)]) / self.engine.world
        asked = each.new_tensor([float(self.engine.stop_requested)])
        shared = self.engine.sum(torch.cat([means, asked]))
        values = torch.cat([shared, norms]).tolist()  # the step's only wait
        mean, told_means, stop = values[0], values[1 : len(means)], values[len(means)]
        grad_norms = values[len(means) + 1 :]
        if not all(map(math.isfinite, (mean, *grad_norms))):
            raise self._broken(each, ids, max(grad_norms, key=lambda n: math.inf if n != n else n))

        for learner in learners:
            learner.optimiser.step()
        if plan.ema is not None:
            ema.update(self.average, self.module, ema.decay_at(self.done, plan.ema))
        self.done += 1
        facts = {"loss": mean, **dict(zip(self.told, told_means, strict=True)), "lr": lr}
        seconds = time.perf_counter() - began
        return {**facts, "grad_norm": grad_norms[0], "seconds": seconds}, stop > 0

    def validate(self, journal: Journal | None) -> None:
        """Validation loss and a picture; the run is finished where patience ends."""
        self.average.eval()
        if self.validation is not None:
            self._judge(self._measured(), journal)
        if self.engine.is_main:
            path = self.folder / SAMPLES / f"step-{self.done:06d}.png"
            with writing(path):
                made = self._pictured(path, f"{self.recipe.name}, step {self.done}")
                if made and journal is not None:
                    journal.picture(self.done, path)
        self.engine.barrier()
        self.module.train()

    def save(self) -> None:
        """The weights that are kept, then the state; of the first process."""
        if not self.engine.is_main:
            return
        if not self.recipe.training.patience and self.done:
            self._keep()
        tensors = self.learner.state()
        if self.average is not self.module:
            tensors |= {f"ema.{n}": t for n, t in self.average.state_dict().items()}
        for name, learner in self.others.items():
            tensors |= {f"{name}.{n}": t for n, t in learner.state().items()}
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
        self.learner.restore(parts)
        if self.average is not self.module:
            self.average.load_state_dict(parts["ema"])
        for name, learner in self.others.items():
            learner.restore(sorted_by_part(parts[name]))
        self.done, self.bad, self.finished = facts.step, facts.bad, facts.finished
        self.best = math.inf if facts.best is None else facts.best
        self.best_step = facts.best_step

    def close(self) -> None:
        """Drops what the process group still holds; see `Engine.close`."""
        del self.model, self.learner, self.others, self.module, self.average

    def _place(self, micro: int) -> tuple[int, int, int, int]:
        """What everything random in a batch is drawn from."""
        return self.recipe.training.seed, self.done, micro, self.engine.rank

    def _noise(self, micro: int) -> torch.Generator:
        """A generator on the device for a batch; the global one, of dropout, is seeded too."""
        torch.manual_seed(derive("dropout", *self._place(micro)))
        source = torch.Generator(self.engine.device)
        return source.manual_seed(derive("noise", *self._place(micro)))

    def _last(self, micro: int) -> bool:
        """Whether it is the last batch of a step."""
        return micro == self.recipe.training.accumulate - 1

    def batches(self) -> Iterator[Batch]:
        """Those of the steps that are left."""
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
                balance=plan.balance,
            )
        )

    def _judge(self, measured: dict[str, float], journal: Journal | None) -> None:
        """Says and writes down what validation found, keeps the best, ends where patience does."""
        loss, patience = measured["loss"], self.recipe.training.patience
        if not math.isfinite(loss):
            raise TrainingError(f"step {self.done}: validation loss {loss}; nothing saved")
        improved = loss < self.best
        if improved:
            self.best, self.best_step = loss, self.done
        self.bad = 0 if improved else self.bad + 1
        others = "".join(f", {name} {x:.4g}" for name, x in measured.items() if name != "loss")
        self.report.say(
            f"step {self.done}: validation loss {loss:.5f}{others}"
            + ("" if improved else f" (best {self.best:.5f} at step {self.best_step})")
        )
        if journal is not None:
            with writing(journal.path):
                journal.write("validation", self.done, best=self.best, **measured)
        if improved and patience and self.engine.is_main:
            self._keep()
        self.finished = self.finished or 0 < patience <= self.bad

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
            save(self.folder, self.recipe, self.average)

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
