"""Training runs of a few hundredths of a second: a tiny network on 64 digits."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import torch

from bench.models.checkpoint import load, weights_sha256
from bench.threats import Threat
from bench.training import Batch, Job, Run
from bench.training.batches import Batches

torch.set_num_threads(1)  # networks this small are slower on several

LINF = Threat.parse("linf:0.1")
L2 = Threat.parse("l2:0.4")
L1 = Threat.parse("l1:1")


def small_job(out: Path, **settings: Any) -> Job:  # noqa: ANN401
    """A job whose settings may each be overridden."""
    defaults: dict[str, Any] = {
        **{"out": out, "threats": (LINF,), "arch": "cnn-w4", "device": "cpu"},
        **{"examples": 64, "batch_size": 32, "epochs": 2, "precision": "fp32"},
    }
    return Job(**(defaults | settings))


@contextmanager
def watched_runs() -> Iterator[Mock]:
    """Records the arguments of each run: its job, its defense, its network, and options."""
    with patch.object(Run, "__init__", autospec=True, side_effect=Run.__init__) as begun:
        yield begun


def first_batch(job: Job) -> Batch:
    """The first batch of a job."""
    made = Batches(
        job.train,
        job.batch_size,
        seed=job.seed,
        augment=job.augmentation,
        device=job.fabric.device,
    )
    return made(0, 0)


def sha256(folder: Path, tag: str = "last") -> str:
    """The hash of a checkpoint's weights."""
    return weights_sha256(load(folder / f"{tag}.safetensors")[0])
