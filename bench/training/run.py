"""A run: an iterator over batches that counts passes, saves, selects and logs between them.

    run = Run(job, self, net)
    for batch in run:
        run.step(loss(net, batch))

Before it yields a batch, the run saves its state after each epoch and, on one device, at least once
a minute; a run that is started again resumes with the batch after the last saved one. Of several
devices the first one saves for all, because at the end of an epoch their states are the same.
"""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bench.errors import CrossfireError, reason
from bench.plugins.registry import name_of
from bench.training.averaging import Average
from bench.training.batches import Batch, Batches
from bench.training.config import config_of
from bench.training.history import History
from bench.training.job import Job
from bench.training.log import Row
from bench.training.nets import Net
from bench.training.ranges import check_ranges, check_used
from bench.training.schedules import factor, idle_drops
from bench.training.selection import Measure
from bench.training.state import AGAIN, Stateful, is_finished, read, write

SECONDS_BETWEEN_SAVES = 60.0


class Run:
    """The run that trains `net`. Iterate over it once; call `step` for each update of weights.

    `companions` become checkpoints of their own in sub-folders, of the epochs of `net`, and their
    weights are not averaged; `teachers` are networks whose weights don't change, and are recorded
    by their hash; `optimizer` (default: `Job.sgd` of `net` and the companions) follows the job's
    schedule; `state` is further state to be saved, which at the end of an epoch is the same on
    every device; `select` names the held-out accuracy by which the epoch `best` is chosen;
    `measure` computes further metrics on the held-out images, for the log and the checkpoint's
    metadata.
    """

    def __init__(
        self,
        job: Job,
        defense: Any,  # noqa: ANN401
        net: Net,
        *,
        companions: Mapping[str, Net] | None = None,
        teachers: Mapping[str, Net] | None = None,
        optimizer: Optimizer | None = None,
        state: Mapping[str, Stateful] | None = None,
        select: str = "union",
        measure: Measure | None = None,
    ) -> None:
        """Start, or resume a stopped run of the same options in the same folder.

        Raises:
            CrossfireError: an option of the defense is out of range or would not be read, a network
                has no architecture, `select` names no held-out accuracy, two parts of the state
                have one name, or the folder holds a run with other options or a damaged one.
        """
        check_ranges(defense)
        check_used(defense, several=len(job.threats) > 1)
        self._job, self._net, self._companions = job, net, dict(companions or {})
        self._nets = [net, *self._companions.values()]
        _check_recorded(self._nets)
        self._optimizer = optimizer or job.sgd(*self._nets)
        self._rates = [group["lr"] for group in self._optimizer.param_groups]
        self._average = Average(net.body, job.average) if job.average else None
        self._name = name_of(defense)
        self._config = config_of(job, defense, self._nets, teachers or {})
        self._history = History(job, self._name, self._config, select, measure)
        self._batches = _batches(job)
        self._parts = self._stateful(state or {})
        self._epoch = self._step = self._updates = 0
        self._seconds = self._loss = 0.0
        self._path = job.out / "state.pt"
        self._restore()
        self._saved = time.monotonic()
        if (idle := idle_drops(job.schedule, job.epochs, job.drops)) and job.fabric.is_global_zero:
            job.notify(f"{self._name}: {idle}")

    def _stateful(self, more: Mapping[str, Stateful]) -> dict[str, Stateful]:
        own: dict[str, Stateful] = {
            **{"net": self._net, "optimizer": self._optimizer, "passes": self._job.passes},
            **({"average": self._average} if self._average else {}),
        }
        groups: tuple[Mapping[str, Stateful], ...] = (own, self._companions, more)
        parts = [pair for group in groups for pair in group.items()]
        if len(dict(parts)) < len(parts):
            taken = ", ".join(name for name, _ in parts)
            raise CrossfireError(f"two parts of the state have one name; rename one of: {taken}")
        return dict(parts)

    def __iter__(self) -> Iterator[Batch]:
        """All remaining batches of all epochs; afterwards torch's own generator is as before."""
        device = self._job.fabric.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield from self._remaining()

    def _remaining(self) -> Iterator[Batch]:
        while self._epoch < self._job.epochs:
            while self._step < self._batches.steps:
                start = time.perf_counter()
                yield self._next_batch()
                if self._average:
                    self._average.update(self._net.body)
                self._seconds += time.perf_counter() - start
                self._step += 1
                self._show()
                alone = self._job.fabric.world_size == 1
                if alone and time.monotonic() - self._saved >= SECONDS_BETWEEN_SAVES:
                    self._save()
            self._synchronise()
            if not self._epoch:
                self._save()  # without it a run could not be resumed from its first checkpoint
            self._end_epoch()
        if self._job.fabric.is_global_zero:
            self._path.unlink(missing_ok=True)
        self._job.fabric.barrier()

    def step(self, loss: Tensor, optimizer: Optimizer | None = None) -> None:
        """One update down the gradient of `loss`, by default with the run's own optimiser.

        Raises:
            CrossfireError: the loss is NaN or infinite.
        """
        self.backward(loss, optimizer)
        self.update(optimizer)

    def backward(self, loss: Tensor, optimizer: Optimizer | None = None) -> None:
        """The gradients of `loss` for the optimiser's weights, averaged over devices.

        Raises:
            CrossfireError: the loss is NaN or infinite.
        """
        chosen = optimizer or self._optimizer
        value = loss.detach().clone()
        self.share([value])
        if not math.isfinite(value):
            raise self._diverged(f"the loss became {value:.0f}")
        if chosen is self._optimizer:
            self._loss += float(value)
            self._updates += 1
        chosen.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        weights = [weight for group in chosen.param_groups for weight in group["params"]]
        self.share([weight.grad for weight in weights if weight.grad is not None])

    def update(self, optimizer: Optimizer | None = None) -> None:
        """Move the weights by the gradients that `backward` left, each network's own clipped."""
        chosen = optimizer or self._optimizer
        if self._job.clip and chosen is self._optimizer:
            for group in chosen.param_groups:
                nn.utils.clip_grad_norm_(group["params"], self._job.clip)
        chosen.step()

    def _next_batch(self) -> Batch:
        job, steps = self._job, self._batches.steps
        # So a defense that draws from torch's own generator is resumed exactly too.
        torch.manual_seed((job.seed * 1009 + self._epoch) * 1_000_003 + self._step)
        middle = self._epoch + (self._step + 0.5) / steps
        share = factor(job.schedule, middle, job.epochs, job.drops)
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share
        return self._batches(self._epoch, self._step)

    def _synchronise(self) -> None:
        """Give all devices the same buffers, and the first one the counts of all."""
        self.share([b for net in self._nets for b in net.buffers() if b.is_floating_point()])
        passes, fabric = self._job.passes, self._job.fabric
        if fabric.world_size > 1:
            states = [passes.state_dict()] * fabric.world_size
            torch.distributed.all_gather_object(states, passes.state_dict())
            passes.pool(states, first=fabric.is_global_zero)

    def _end_epoch(self) -> None:
        if not all(bool(p.isfinite().all()) for net in self._nets for p in net.parameters()):
            raise self._diverged("a weight became infinite")
        self._epoch, self._step = self._epoch + 1, 0
        row: Row = {
            "epoch": self._epoch,
            "lr": self._optimizer.param_groups[0]["lr"],
            "loss": self._loss / max(1, self._updates),
            **self._cost(),
        }
        self._loss, self._updates = 0.0, 0
        measured = self._net.uncounted(self._average.net if self._average else self._net.body)
        self._history.add_epoch(row, measured, self._companions)
        self._save()

    def _cost(self) -> Row:
        passes = self._job.passes
        forwards, backwards = passes.forwards.total(), passes.backwards.total()
        spent: Row = {"forward_passes": forwards, "backward_passes": backwards}
        return spent | {"seconds": self._seconds} | passes.by_role()

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over the devices, in one collective operation."""
        tensors = list(tensors)
        if self._job.fabric.world_size == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        mean = self._job.fabric.all_reduce(flat, reduce_op="mean")
        sizes = [tensor.numel() for tensor in tensors]
        parts = torch.split(torch.as_tensor(mean), sizes)
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def _diverged(self, what: str) -> CrossfireError:
        kept = self._job.out / "last.safetensors"
        good = f"the last good checkpoint is {kept}" if kept.exists() else "no epoch was finished"
        return CrossfireError(
            f"{self._name}, epoch {self._epoch + 1}: {what}; {good}; try a lower --lr"
        )

    def _show(self) -> None:
        steps, history = self._batches.steps, self._history.rows
        text = f"{self._name}, epoch {min(self._epoch + 1, self._job.epochs)}/{self._job.epochs}"
        if history:
            text += (
                f", held out: clean {history[-1]['clean']:.0%}, union {history[-1]['union']:.0%}"
            )
        if self._job.fabric.is_global_zero:
            done, total = self._epoch * steps + self._step, self._job.epochs * steps
            self._job.progress(done, total, text)

    def _save(self) -> None:
        self._saved = time.monotonic()
        if not self._job.fabric.is_global_zero:
            return
        position = {
            **{"epoch": self._epoch, "step": self._step, "seconds": self._seconds},
            **{"loss": self._loss, "updates": self._updates, "history": self._history.rows},
        }
        parts = {name: part.state_dict() for name, part in self._parts.items()}
        state = {"place": position, "parts": parts}
        write(self._path, self._config, self._job.arithmetic, state)

    def _restore(self) -> None:
        if not self._job.resume:
            self._path.unlink(missing_ok=True)
        elif self._path.exists():
            saved = read(self._path, self._name, self._config, self._job.arithmetic)
            try:
                for name, part in self._parts.items():
                    part.load_state_dict(saved["parts"][name])
            except (KeyError, RuntimeError, ValueError) as error:
                raise CrossfireError(
                    f"{self._path} is of another program or network ({reason(error)}); {AGAIN}"
                ) from error
            passes = self._job.passes  # saved as those of all devices
            passes.pool([passes.state_dict()], first=self._job.fabric.is_global_zero)
            position = saved["place"]
            self._epoch, self._step = position["epoch"], position["step"]
            self._loss, self._updates = position["loss"], position["updates"]
            self._seconds, self._history.rows = position["seconds"], position["history"]
        elif is_finished(self._job.out, self._config):
            self._epoch = self._job.epochs
            self._job.notify(
                f"{self._job.out} is already trained; --no-resume (resume=False) trains it again"
            )


def _check_recorded(nets: Iterable[Net]) -> None:
    for net in nets:
        if not net.arch:
            raise CrossfireError(
                f"the network '{net.role}' has no architecture to record; make it by job.model, "
                'with --arch FILE.py:FUNCTION, or place it with arch="FILE.py:FUNCTION"'
            )


def _batches(job: Job) -> Batches:
    return Batches(
        job.train,
        job.batch_size,
        seed=job.seed,
        augment=job.augmentation,
        device=job.fabric.device,
        rank=job.fabric.global_rank,
        world=job.fabric.world_size,
    )
