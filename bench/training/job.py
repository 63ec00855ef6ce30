"""A job: all settings of a training run that do not belong to the defense."""

import copy
import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from torch import nn

from bench.compute.compilation import operations
from bench.compute.precision import Precision, resolve
from bench.compute.processor import keep_memory
from bench.data import Dataset, Split, load
from bench.errors import CrossfireError
from bench.models.sources import Found, allow, stored, untrained
from bench.threats import Threat
from bench.training.batches import Augmentation
from bench.training.nets import Net, Passes
from bench.training.ranges import check_ranges, check_threats
from bench.training.schedules import Schedule
from bench.training.selection import Heldout

LONG = 1e12
"""Training is long from so many operations, of one forward pass over all images of all epochs."""


def _no_progress(done: int, total: int, text: str) -> None:
    pass


@dataclass(frozen=True)
class Job:
    """Data, threats, hyper-parameters and devices of a training, with which a defense is run.

    Checkpoints `best` and `last`, `log.csv` and, until the end, `state.pt` are written to `out`,
    which may be given as a text. `notify` gets warnings, of collapse or overfitting, and news.
    """

    out: Path
    threats: tuple[Threat, ...]
    dataset: str = field(default="digits", metadata={"help": "Data set to train on."})
    arch: str = field(
        default="auto",
        metadata={
            "help": "Architecture, or your own network as FILE.py:FUNCTION; "
            "auto is cnn for grey images, preactresnet18 for colour."
        },
    )
    start: str = field(
        default="",
        metadata={"help": "Run, or file of weights, from which the network begins."},
    )
    examples: int | None = field(
        default=None, metadata={"help": "Train on the first so many examples only."}
    )
    epochs: int = field(
        default=20, metadata={"help": "Times that the training set is gone through.", "least": 1}
    )
    batch_size: int = field(
        default=128,
        metadata={"help": "Examples in a step, over all devices together.", "least": 1},
    )
    lr: float = field(default=0.2, metadata={"help": "Highest learning rate."})
    momentum: float = field(default=0.9, metadata={"help": "Momentum of SGD."})
    weight_decay: float = field(default=5e-4, metadata={"help": "Weight decay, on all parameters."})
    clip: float = field(
        default=5.0, metadata={"help": "Largest norm of a network's gradient; 0 for no limit."}
    )
    schedule: Schedule = field(
        default="cyclic", metadata={"help": "Schedule of the learning rate."}
    )
    drops: tuple[float, ...] = field(
        default=(), metadata={"help": "Epochs after which `steps` divides the rate by 10."}
    )
    average: float = field(
        default=0.0,
        metadata={"help": "Decay of the moving average of the main network's weights; 0 for none."},
    )
    augment: Literal["auto", "crop-flip", "crop", "none"] = field(
        default="auto",
        metadata={"help": "Augmentation; auto crops and flips colour images of 32x32 pixels."},
    )
    seed: int = field(
        default=0,
        metadata={"help": "Seed of weights, batches and random starts.", "most": 2**31 - 1},
    )
    device: Literal["auto", "cpu", "cuda"] = field(
        default="auto", metadata={"help": "Where to train."}
    )
    devices: int = field(
        default=1, metadata={"help": "Devices of each node to train on.", "least": 1}
    )
    nodes: int = field(
        default=1,
        metadata={
            "help": "Nodes to train on; torchrun or SLURM starts the processes.",
            "least": 1,
        },
    )
    precision: Precision = field(
        default="auto", metadata={"help": "Arithmetic; auto is bf16 where that is fast."}
    )
    compile: bool | None = field(
        default=None,
        metadata={"help": "Compile the networks for attacks.  [default: if training is long]"},
    )
    resume: bool = field(
        default=True, metadata={"help": "Resume an earlier run in the same folder."}
    )
    tensorboard: bool = field(
        default=False, metadata={"help": "Write TensorBoard's event files too."}
    )
    progress: Callable[[int, int, str], None] = _no_progress
    notify: Callable[[str], None] = logging.getLogger("bench").warning

    def __post_init__(self) -> None:
        """Check the settings; from now on the user's own network that is named here may be built.

        Raises:
            CrossfireError: one of them is out of range, or no choice of its field.
        """
        object.__setattr__(self, "out", Path(self.out))
        check_threats(self.threats)
        check_ranges(self)
        allow(self.arch)
        if not (self.lr > 0 and self.average < 1 and self.momentum < 1):
            raise CrossfireError("lr must be above 0, and average and momentum below 1")
        if list(self.drops) != sorted(set(self.drops)):
            raise CrossfireError("drops must be epochs in ascending order, such as 75,90")

    @cached_property
    def data(self) -> Dataset:
        """The data set; its test split is for the evaluation only.

        Raises:
            CrossfireError: it has no training images, too few to hold some out, or those that are
                used are of a single class.
        """
        data = load(self.dataset)
        if not len(data.train) or not len(data.heldout):
            raise CrossfireError(f"{self.dataset} has fewer than two training images; add some")
        labels = data.train.labels
        used = labels[: self.examples]
        if len(used) and (used == used[0]).all():
            first = "" if len(used) == len(labels) else f"first {len(used)} "
            mend = "raise --examples, or shuffle them" if first else "add others"
            raise CrossfireError(
                f"the {first}training images of {self.dataset} are all of one class; {mend}"
            )
        return data

    @cached_property
    def train(self) -> Split:
        """The training examples that are used.

        Raises:
            CrossfireError: there are fewer than `examples`.
        """
        return self.data.train.take(self.examples)

    @cached_property
    def heldout(self) -> Heldout:
        """The held-out examples by which the best epoch is chosen."""
        return Heldout(self.data.heldout, self.threats, self.fabric.device)

    @cached_property
    def fabric(self) -> Fabric:
        """Devices and arithmetic, launched.

        Raises:
            CrossfireError: CUDA is requested, but there is no CUDA device.
        """
        cuda = torch.cuda.is_available()
        if self.device == "cuda" and not cuda:
            raise CrossfireError("there is no CUDA device here; train with --device cpu")
        place = "cuda" if cuda and self.device != "cpu" else "cpu"
        half = resolve(self.precision, torch.device(place)) == "bf16"
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        fabric = Fabric(
            accelerator=place,
            devices=self.devices,
            num_nodes=self.nodes,
            strategy="ddp" if self.devices * self.nodes > 1 else "auto",
            precision="bf16-mixed" if half else "32-true",
        )
        fabric.launch()
        keep_memory()
        return fabric

    @property
    def arithmetic(self) -> Precision:
        """`precision`, or what `auto` stands for on the run's device."""
        return resolve(self.precision, self.fabric.device)

    @cached_property
    def passes(self) -> Passes:
        """The passes of the run's networks so far."""
        return Passes()

    @property
    def threat(self) -> Threat:
        """The only threat.

        Raises:
            CrossfireError: there are several.
        """
        if len(self.threats) != 1:
            raise CrossfireError(
                f"this defense is for one threat, not {len(self.threats)}; choose with --threat"
            )
        return self.threats[0]

    @cached_property
    def beginning(self) -> Found | None:
        """The network of `start`; None without one."""
        if not self.start:
            return None
        return stored(self.start, None if self.arch == "auto" else self.arch, self.data)

    @property
    def architecture(self) -> str:
        """`arch`, or what `auto` stands for: the architecture of `start`, if there is one.

        Raises:
            CrossfireError: the network of `start` can't be loaded, is another, or doesn't fit the
                data.
        """
        if self.arch != "auto":
            return self.arch
        if self.beginning:
            return self.beginning.arch
        return "cnn" if self.data.channels == 1 else "preactresnet18"

    @property
    def augmentation(self) -> Augmentation:
        """`auto` resolved: crops and flips for 32x32 colour images, but no flips for svhn."""
        if self.augment != "auto":
            return self.augment
        if self.data.channels != 3 or self.data.size != (32, 32):
            return "none"
        return "crop" if self.dataset == "svhn" else "crop-flip"

    def model(self, role: str = "net", arch: str | None = None) -> Net:
        """A freshly initialised network; its weights depend on the seed and the role only. That of
        the role `net` begins from `start`, if there is one.

        Raises:
            CrossfireError: there is no such architecture, it is the user's and doesn't fit the
                data, or `start` can't be loaded.
        """
        arch = arch or self.architecture
        with torch.random.fork_rng():
            torch.manual_seed(zlib.crc32(f"{self.seed} {role}".encode()))
            begun = self.beginning if role == "net" else None
            body = copy.deepcopy(begun.model).train() if begun else untrained(arch, self.data)
        compiling = self._long(body) if self.compile is None else self.compile
        return self.place(body, role, arch, compiling=compiling)

    def _long(self, body: nn.Module) -> bool:
        """Whether training is so long that compilation, about half a minute, pays.

        This does not depend on measured time, so that a resumed run has the same arithmetic.
        """
        if self.fabric.device.type != "cpu":
            return False
        images = min(self.examples or len(self.data.train), len(self.data.train))
        image = torch.zeros(1, self.data.channels, *self.data.size)
        return self.epochs * images * operations(body, image) >= LONG

    def with_settings(self, **changes: Any) -> "Job":  # noqa: ANN401
        """Another job on the same devices and data, with other settings."""
        other = replace(self, **changes)
        other.__dict__.update(fabric=self.fabric, data=self.data)
        return other

    def place(self, body: nn.Module, role: str, arch: str = "", *, compiling: bool = False) -> Net:
        """Any network, on the run's device, in its arithmetic, counted under `role`; with
        `compiling`, attacks run it as compiled code. To be saved by a run it needs its `arch`."""
        body = body.to(self.fabric.device)
        return Net(body, arch, self.fabric.autocast, self.passes, role, compiling=compiling)

    def sgd(self, *nets: nn.Module) -> torch.optim.SGD:
        """Stochastic gradient descent on the weights of `nets`, by the job's hyper-parameters."""
        groups = [{"params": list(net.parameters())} for net in nets]
        return torch.optim.SGD(groups, self.lr, self.momentum, weight_decay=self.weight_decay)
