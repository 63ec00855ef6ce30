"""The history of a run: a row for each epoch, from which checkpoints and log are written."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bench.compute import environment
from bench.errors import CrossfireError
from bench.models import checkpoint
from bench.models.checkpoint import Metadata, Tag
from bench.training.job import Job
from bench.training.log import Row, check_tensorboard, write_csv, write_tensorboard
from bench.training.nets import Net
from bench.training.selection import Measure, diagnose


@dataclass
class History:
    """A row for each epoch; `select` names the held-out accuracy by which `best` is chosen."""

    job: Job
    defense: str
    config: dict[str, Any]
    select: str
    measure: Measure | None = None
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        job = self.job
        if job.tensorboard:
            check_tensorboard()
        if not self.measure:  # otherwise its metrics are known after the first epoch
            self._check_select(("clean", *map(str, job.threats), "union", "fgsm"))
        self._data_sha256 = job.train.sha256()

    def add_epoch(self, row: Row, net: Net, companions: dict[str, Net]) -> None:
        """Add the epoch's `row` with the held-out accuracies of `net`; save checkpoints and log.

        Of several devices, only the first one writes files.

        Raises:
            CrossfireError: `select` names none of the accuracies.
        """
        accuracies = self.job.heldout.accuracies(net, self.measure)
        self._check_select(accuracies)
        self.rows.append(row | accuracies)
        if not self.job.fabric.is_global_zero:
            return
        tags: list[Tag] = ["last"]
        if self._selection_key(-1) > max(
            map(self._selection_key, range(len(self.rows) - 1)), default=(-1.0,)
        ):
            tags.append("best")
        for tag in tags:
            self._save(tag, net, accuracies)
            for name, companion in companions.items():
                self._save(tag, companion, {}, name)
        write_csv(self.job.out / "log.csv", self.rows, self.job.data.classes)
        if self.job.tensorboard:
            write_tensorboard(self.job.out / "tensorboard", self.rows[-1])
        self._notify()

    def _check_select(self, accuracies: Iterable[str]) -> None:
        if self.select not in accuracies:
            raise CrossfireError(
                f"select='{self.select}' of {self.defense} is no held-out accuracy; choose one of "
                f"{', '.join(accuracies)}"
            )

    def _selection_key(self, epoch: int) -> tuple[float, ...]:
        return self.rows[epoch][self.select], self.rows[epoch]["clean"]

    def _notify(self) -> None:
        classes = self.job.data.classes
        notice, before = diagnose(self.rows, classes), diagnose(self.rows[:-1], classes)
        if notice and not before:
            self.job.notify(f"{self.defense}, epoch {len(self.rows)}: {notice}")

    def _save(self, tag: Tag, net: Net, heldout: dict[str, float], folder: str = "") -> None:
        job, row = self.job, self.rows[-1]
        whose = " of the main network" if folder else ""
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
            epoch=len(self.rows),
            epochs=job.epochs,
            selected_on=f"{self.select} accuracy{whose} on {len(job.heldout)} held-out examples",
            seed=job.seed,
            forward_passes=round(row["forward_passes"]),
            backward_passes=round(row["backward_passes"]),
            seconds=row["seconds"],
            versions=environment.versions() | {"arithmetic": job.arithmetic},
            commit=environment.commit()[0],
            heldout=heldout,
        )
        checkpoint.save(job.out / folder, tag, net.body, metadata)
