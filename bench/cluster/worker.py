"""What a worker does: attack a chunk of examples with one pass, and say what came of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from bench.evaluation.attacked import AttackedModel
from bench.evaluation.queue import Array, Column, Examples, Job

_KEPT: dict[str, AttackedModel] = {}


@dataclass(frozen=True)
class Result:
    """A chunk's column (m,), its adversarial examples (b, c, h, w) for the rows that broke, and the
    device and the arithmetic that it was attacked with."""

    column: dict[str, Array]
    found: Array
    device: str
    precision: str


def attack(
    key: str, fetch: Callable[[], AttackedModel], job: Job, examples: Examples, device: str
) -> Result:
    """Attack a chunk with one pass; `fetch` gives the model called `key` if it isn't here yet.

    Raises:
        gates.Refusal: the model changed its own weights meanwhile.
    """
    if key not in _KEPT:
        _KEPT.clear()
        _KEPT[key] = fetch()
        _KEPT[key].settle(torch.device(device))
    model = _KEPT[key]
    found = np.zeros(tuple(examples.images.shape), np.float32)
    column = Column.of(np.ones(len(examples), bool), found)
    alone = replace(job, column=0, prune=False, alarms=None, work=replace(job.work, sample=None))
    model.engine(lambda state: None).run([alone], examples, [column], {})
    model.check_unchanged()
    device_name, precision = model.arithmetic
    return Result(column.arrays(), found[~column.robust], device_name, precision)
