"""The training loop: epochs, selection, schedule, checkpoints. It is the same for all methods."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from train.engine import checkpoint
from train.engine.checks import warn_of_chance
from train.engine.distributed import World
from train.engine.job import Job
from train.engine.profiling import profiler
from train.engine.progress import Progress, Waiting
from train.engine.run import RunFolder
from train.engine.signals import Stopped, noted
from train.engine.step import Stepper, seed_step
from train.feed import slices
from train.feed.data import Batch, Stream
from train.feed.workers import batches
from train.recipes.schedules import Schedule

CHECK_EVERY = 20  #: steps between looks at the losses; each look makes a GPU wait
TRAINING, SELECTING = 0, 1  #: two families of random numbers
KEYS_NAMED = 8


class TrainingError(ValueError):
    """Training cannot continue; the message says why, and names the samples of a batch."""


@dataclass
class State:
    """Where a training is. Plain values, saved and restored as they are."""

    schedule: Schedule
    epoch: int = 0  #: epochs done
    step: int = 0  #: steps done in the current epoch
    sums: dict[str, float] = field(default_factory=dict)  #: losses of this epoch, summed over this rank's steps
    history: list[dict] = field(default_factory=list)  #: one row per epoch, the first before any training
    best: dict = field(default_factory=dict)


class Training:
    def __init__(self, job: Job, folder: RunFolder, world: World):
        self.job, self.folder, self.world = job, folder, world
        chosen = job.settings
        self.stepper = Stepper(
            job.network, job.method, world, lr=job.schedule.lr, recipe=job.recipe, teacher=job.teacher,
            accumulate=chosen.accumulate, amp=chosen.amp, compile=chosen.compile, ema=chosen.ema, flip=chosen.flip,
        )  # fmt: skip
        self.micro_batch = job.batch // (world.size * chosen.accumulate)
        self.workers = max(chosen.workers, 1)
        self.state = State(job.schedule)
        #: Layout of the current epoch; it may differ from the next one's after a change of ranks or workers.
        self.layout = self._own_layout()
        self.pending: list[tuple[torch.Tensor, list[str]]] = []
        self.latest: dict[str, float] = {}  #: losses of the last step that was looked at
        self.saved = time.monotonic()
        self.traced = False

    def run(self) -> None:
        """Train to the end, from wherever the state is. Raises Stopped on a signal, TrainingError on NaN."""
        state = self.state
        with noted() as self.note:
            if not state.history:
                self._finish_epoch()
                self._save()
            while state.epoch < self.job.epochs and not state.schedule.stopped:
                measured = self._train_epoch()
                state.epoch, state.step, state.sums = state.epoch + 1, 0, {}
                self.layout = self._own_layout()
                self._finish_epoch(measured)
                self._save()

    def _own_layout(self) -> slices.EpochLayout:
        chosen, accumulate = self.job.settings, self.job.settings.accumulate
        if self.job.training.scattered:
            return slices.EpochLayout(shuffle=chosen.shuffle, scattered=True)
        return slices.EpochLayout(self.world.size, self.workers, accumulate, chosen.shuffle)

    def _stream(self) -> Stream:
        """What is left of this rank's epoch."""
        state, chosen, part = self.state, self.job.settings, self.job.training
        order = slices.training(
            part.pool, seed=chosen.seed, epoch=state.epoch, batch=self.job.batch, layout=self.layout
        )
        mine = slices.of_rank(order[state.step :], self.world.rank, self.world.size, chosen.accumulate)
        ahead = chosen.shuffle if self.layout.scattered else None
        return Stream(part.source, mine, chosen.seed, state.epoch, ahead)

    def _train_epoch(self) -> dict[str, float]:
        """The rest of an epoch; returns means of its losses over all ranks and steps."""
        state, steps, seed = self.state, self.job.steps, self.job.settings.seed
        title = f"epoch {state.epoch + 1}/{self.job.epochs}"
        total, done, quiet = steps * self.job.batch, state.step * self.job.batch, not self.world.first
        with (
            Progress(title, total, done, quiet) as bar,
            self._batches(self._stream()) as items,
            self._trace() as trace,
        ):
            feed = Waiting(items)
            while state.step < steps:
                seed_step(seed, TRAINING, state.epoch, state.step, self.world.rank)
                self.stepper.set_lr(state.schedule.at(state.epoch + (state.step + 0.5) / steps))
                losses, keys = self.stepper.step(feed)
                self.names = list(losses)
                self.pending.append((torch.stack(list(losses.values())), keys))
                state.step += 1
                if bar.due or len(self.pending) >= CHECK_EVERY:
                    self._look()
                bar.update(self.job.batch, feed.seconds, self.latest)
                self._between_steps()
                if trace:
                    trace.step()
            self._look()
        totals = self.world.sum(list(state.sums.values()))
        count = steps * self.world.size
        means = {f"train_{name}": value / count for name, value in zip(state.sums, totals, strict=True)}
        return means | {"images_per_s": round(bar.rate(), 1), "waiting": round(bar.share(), 3)}

    def _trace(self) -> AbstractContextManager[Any]:
        wanted, self.traced = self.job.settings.profile and self.world.first and not self.traced, True
        return profiler(self.folder.path) if wanted else nullcontext()

    def _batches(self, stream: Stream) -> AbstractContextManager[Iterator[Batch]]:
        pin = self.world.device.type == "cuda"
        return batches(stream, self.job.settings.workers, pin=pin)

    def _look(self) -> None:
        """Fetch the last steps' losses. Raises TrainingError naming the samples of one that is not finite."""
        if not self.pending:
            return
        rows = torch.stack([values for values, _ in self.pending]).double().cpu()
        for row, (_, keys) in zip(rows, self.pending, strict=True):
            if not torch.isfinite(row).all():
                raise TrainingError(self._not_finite(dict(zip(self.names, row.tolist(), strict=True)), keys))
            for name, value in zip(self.names, row.tolist(), strict=True):
                self.state.sums[name] = self.state.sums.get(name, 0.0) + value
        self.pending.clear()
        self.latest = dict(zip(self.names, rows[-1].tolist(), strict=True))

    def _not_finite(self, losses: dict[str, float], keys: list[str]) -> str:
        file = self.folder.path / f"not-finite-keys-rank{self.world.rank}.txt"
        file.write_text("\n".join(keys) + "\n")
        named = ", ".join(keys[:KEYS_NAMED]) + (f" and {len(keys) - KEYS_NAMED} more" if keys[KEYS_NAMED:] else "")
        return not_finite(self.state.epoch + 1, losses, f"the batch holds {named} (all in {file}); ")

    def _between_steps(self) -> None:
        """Save when due and stop after a signal, on all ranks after the same step."""
        late = time.monotonic() - self.saved >= 60 * self.job.settings.checkpoint_minutes
        signum, due = map(int, self.world.maximum([self.note.signum, self.world.first and late]))
        if signum or due:
            self._save()
        if signum:
            where = f"in epoch {self.state.epoch + 1} after step {self.state.step} of {self.job.steps}"
            raise Stopped(signum, where)

    def _finish_epoch(self, measured: dict[str, float] | None = None) -> None:
        """Evaluate the student on the selection slice, adapt the learning rate, keep the best weights."""
        state, start = self.state, time.perf_counter()
        self.world.broadcast(self.stepper.model)
        if self.stepper.judged is not self.stepper.forward:
            self.world.broadcast(self.stepper.judged.model)
        scores = self.select()
        row = {"epoch": state.epoch, "lr": state.schedule.at(state.epoch), **(measured or {}), **scores}
        row["select_seconds"] = round(time.perf_counter() - start, 1)
        if state.schedule.update(state.epoch, scores["select_loss"]):
            self.stepper.start_optimiser(state.schedule.at(state.epoch))
        state.history.append(row)
        # The history lists the network before training for comparison; it cannot be selected.
        better = state.epoch > 0 and (scores["select_top1"], -scores["select_loss"]) > (
            state.best.get("select_top1", -1.0), -state.best.get("select_loss", 0.0),
        )  # fmt: skip
        if better:
            state.best = {"epoch": state.epoch, **scores}
        if self.world.first:
            for name in ("last", *(["best"] if better else [])):
                result = self.stepper.result
                meta = self.job.meta(state.epoch, name, result)
                self.folder.save_weights(f"{name}.safetensors", result.net, meta)
            self.folder.log(state.history)
            if state.epoch == 0 and self.job.foreign:
                selected, classes = self.job.selection.samples, len(self.job.classes)
                warn_of_chance(self.job.settings.weights, scores["select_top1"], selected, classes)
            report(row, self.job.epochs, better)

    @torch.no_grad()
    def select(self) -> dict[str, float]:
        """Mean losses and top-1 of the result on the selection slice, every sample once over all ranks.

        Raises TrainingError when a loss is not finite.
        """
        part, judged = self.job.selection, self.stepper.judged.eval()
        planned = slices.evaluation(part.pool, rank=self.world.rank, ranks=self.world.size, batch=self.micro_batch)
        total, names = torch.zeros(0), ["loss"]
        stream = Stream(part.source, planned, self.job.settings.seed)
        with self._batches(stream) as feed:
            for number, batch in enumerate(feed):
                seed_step(self.job.settings.seed, SELECTING, number, self.world.rank)
                batch = batch.to(self.world.device)
                with self.stepper.autocast():
                    losses, logits = judged(batch)
                names, count = list(losses), len(batch.labels)
                correct = (logits.argmax(1) == self.job.method.targets(batch)).sum()
                # Terms are means over their batch; weighting by batch size makes the overall mean exact.
                row = torch.stack([*(value.double() * count for value in losses.values()), correct.double()])
                row = torch.cat([row, row.new_tensor([count])])
                total = row if not number else total + row
        *sums, right, counted = self.world.sum(total.tolist())
        if counted != part.samples:
            raise TrainingError(f"selection counted {counted:.0f} samples, but there are {part.samples}")
        means = {f"select_{name}": value / counted for name, value in zip(names, sums, strict=True)}
        if not all(map(math.isfinite, means.values())):  # the sums, and so the answer, are the same on all ranks
            raise TrainingError(not_finite(self.state.epoch, means))
        return means | {"select_top1": right / counted}

    def _save(self) -> None:
        self._look()
        everyone = self.world.gather(self.state.sums)
        if self.world.first:
            state = vars(self.state) | {"schedule": self.state.schedule.state(), "sums": everyone}
            checkpoint.save(
                self.folder.last,
                {
                    "meta": self.job.meta(self.state.epoch, "last", self.stepper.result),
                    **self.stepper.state(),
                    "state": state,
                    "identity": self.job.identity,
                    "order": self.layout._asdict(),
                },
            )
        self.saved = time.monotonic()

    def restore(self) -> None:
        """Continue from the folder's checkpoint. Raises CheckpointError when it belongs to another run."""
        there = checkpoint.load(self.folder.last)
        state = dict(there["state"])
        checkpoint.require_same(self.folder.last, there["identity"], self.job.identity)
        everyone = state.pop("sums")
        schedule = self.state.schedule
        schedule.load(state.pop("schedule"))
        sums = self._share_of(everyone) if state["step"] else {}
        self.state = State(schedule, **state, sums=sums)
        if self.state.step:
            self.layout = slices.EpochLayout(**there["order"])
        self.stepper.load(there)

    def _share_of(self, everyone: list[dict[str, float]]) -> dict[str, float]:
        """This rank's share of the summed losses. Their mean stays right when the number of ranks changes."""
        if len(everyone) == self.world.size:
            return everyone[self.world.rank]
        total = {name: sum(part[name] for part in everyone) for name in everyone[0]}
        return {name: value / len(everyone) for name, value in total.items()}


def not_finite(epoch: int, losses: dict[str, float], where: str = "") -> str:
    """The message about losses that are not finite; in epoch 0 those of the network before training."""
    terms = ", ".join(f"{name} {value:g}" for name, value in losses.items())
    if not epoch:
        return (
            f"the loss is not finite before training ({terms}): the starting weights are damaged, or their "
            "answers too large for --amp fp16"
        )
    return (
        f"the loss is not finite in epoch {epoch} ({terms}); {where}lower --lr, or use --amp bf16 or none. "
        f"{checkpoint.LAST} was saved before"
    )


def report(row: dict, epochs: int, best: bool) -> None:
    """One line per epoch on stdout."""
    measured = {k: v for k, v in row.items() if k.startswith(("train_", "select_")) and k != "select_seconds"}
    terms = ", ".join(f"{name} {value:.4f}" for name, value in measured.items())
    rate = f", {row['images_per_s']} images/s, waiting {row['waiting']:.0%}" if "images_per_s" in row else ""
    mark = ", best so far" if best else ""
    print(f"epoch {row['epoch']}/{epochs}: lr {row['lr']:.3g}, {terms}{rate}{mark}", flush=True)
