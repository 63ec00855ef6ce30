"""The ledger of a run: how each epoch did, and the checkpoints and the log that follow from it."""

from dataclasses import dataclass, field
from typing import Any

from bench.compute import environment
from bench.models import checkpoint
from bench.models.checkpoint import Metadata, Tag
from bench.training.job import Job
from bench.training.log import Row, check_tensorboard, write_csv, write_tensorboard
from bench.training.nets import Net
from bench.training.selection import Heldout, Measure, diagnose


@dataclass
class Ledger:
    """A row an epoch; `select` names the held-out accuracy that decides which one is `best`."""

    job: Job
    defense: str
    config: dict[str, Any]
    select: str
    measure: Measure | None = None
    history: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        job = self.job
        if job.tensorboard:
            check_tensorboard()
        self._heldout = Heldout(job.data.heldout, job.threats, job.fabric.device)
        self._data_sha256 = job.data.train.take(job.examples).sha256()

    def enter(self, row: Row, net: Net, companions: dict[str, Net]) -> None:
        """Add the epoch's `row`, measure `net`, and keep it and its companions where they are due.

        Of several devices, the first one writes.
        """
        accuracies = self._heldout.accuracies(net, self.measure)
        self.history.append(row | accuracies)
        if not self.job.fabric.is_global_zero:
            return
        tags: list[Tag] = ["last"]
        if self._merit(-1) > max(map(self._merit, range(len(self.history) - 1)), default=(-1.0,)):
            tags.append("best")
        for tag in tags:
            self._keep(tag, net, accuracies)
            for name, companion in companions.items():
                self._keep(tag, companion, {}, name)
        write_csv(self.job.out / "log.csv", self.history, self.job.data.classes)
        if self.job.tensorboard:
            write_tensorboard(self.job.out / "tensorboard", self.history[-1])
        self._say_notice()

    def _merit(self, epoch: int) -> tuple[float, ...]:
        return self.history[epoch][self.select], self.history[epoch]["clean"]

    def _say_notice(self) -> None:
        classes = self.job.data.classes
        notice, before = diagnose(self.history, classes), diagnose(self.history[:-1], classes)
        if notice and not before:
            self.job.say(f"{self.defense}, epoch {len(self.history)}: {notice}")

    def _keep(self, tag: Tag, net: Net, heldout: dict[str, float], folder: str = "") -> None:
        job, row = self.job, self.history[-1]
        metadata = Metadata(
            defense=self.defense,
            config=self.config,
            dataset=job.dataset,
            data_sha256=self._data_sha256,
            arch=net.arch,
            classes=job.data.classes,
            channels=job.data.channels,
            size=job.data.size,
            threats=tuple(map(str, job.threats)),
            epoch=len(self.history),
            epochs=job.epochs,
            selected_on=f"{self.select} accuracy on {len(self._heldout)} held-out examples",
            seed=job.seed,
            forward_passes=round(row["forward_passes"]),
            backward_passes=round(row["backward_passes"]),
            seconds=row["seconds"],
            versions=environment.versions(),
            commit=environment.commit()[0],
            heldout=heldout,
        )
        checkpoint.save(job.out / folder, tag, net.body, metadata)
