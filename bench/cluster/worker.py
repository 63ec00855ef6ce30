"""A worker's task: attack a chunk of examples with one stage and return the result."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from bench.evaluation.attacked import AttackedModel
from bench.evaluation.queue import Array, Column, Examples, Job

_CACHED: dict[str, AttackedModel] = {}


@dataclass(frozen=True)
class Result:
    """A chunk's column (m,), the adversarial examples (b, c, h, w) of its broken rows, and the
    device and arithmetic of the attack."""

    column: dict[str, Array]
    found: Array
    device: str
    precision: str


def attack(
    key: str, fetch: Callable[[], AttackedModel], job: Job, examples: Examples, device: str
) -> Result:
    """Attack a chunk with one stage; `fetch` returns the model of hash `key` if it isn't cached.

    Raises:
        gates.Refusal: the model changed its own weights meanwhile.
    """
    if key not in _CACHED:
        _CACHED.clear()
        _CACHED[key] = fetch()
        _CACHED[key].prepare(torch.device(device))
    model = _CACHED[key]
    found = np.zeros(tuple(examples.images.shape), np.float32)
    column = Column.of(np.ones(len(examples), bool), found)
    alone = replace(job, column=0, prune=False, alarms=None, stage=replace(job.stage, sample=None))
    model.engine(lambda state: None).run([alone], examples, [column], {})
    model.check_unchanged()
    device_name, precision = model.arithmetic
    return Result(column.arrays(), found[~column.robust], device_name, precision)
