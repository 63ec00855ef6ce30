"""The rules for which the model is needed: V05, V09 and V10."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from bench import losses
from bench.data.splits import floats
from bench.evaluation import gates
from bench.evaluation.attacked import SAMPLE
from bench.evaluation.protocol import VERSION
from bench.verify.case import Case

CLOSE = 1e-3
"""Share of the spread of an image's logits by which rounding with another batch size may change a
margin."""
TIES = 0.01
"""Share of the images whose prediction may change by rounding, because two logits are as good as
equal; two images always may."""
CHANCE = 0.1
"""Share of a random model's predictions that may differ from the recorded ones, beyond twice as
many as differ between two draws here."""


def weights_match(case: Case) -> Iterator[str]:
    """V05."""
    model, loaded = case.record.model, case.loaded
    if case.options.model is None and loaded.arch != model.arch:
        yield f"the checkpoint is a {loaded.arch}, not a {model.arch}"


def clean_predictions_match(case: Case) -> Iterator[str]:
    """V09."""
    yield from _unflagged(case)
    rows = case.some(case.record.data.examples)
    logits = case.judge.logits(case.images(rows))
    predicted = torch.from_numpy(case.table["prediction"].to_numpy(copy=True))[rows]
    changed = int((logits.argmax(1) != predicted).sum())
    if case.random:
        again = case.judge.logits(case.images(rows)).argmax(1)
        limit = CHANCE * len(rows) + 2 * int((again != logits.argmax(1)).sum())
    else:
        limit = max(2, TIES * len(rows))
        differs = _differs(case, rows, logits, predicted)
        if differs:
            yield f"{differs} of {len(rows)} predictions or margins differ from the table's"
    if changed > limit:
        yield f"{changed} of {len(rows)} predictions differ from the table's"


def _unflagged(case: Case) -> Iterator[str]:
    """Flags that the checks before the attacks open and the record doesn't have; older programs
    had other checks."""
    if case.record.protocol.version < VERSION:
        return
    rows = torch.arange(min(SAMPLE, case.record.data.examples))
    recorded = {finding.id for finding in case.record.findings}
    model = case.loaded.model.eval()
    for finding in gates.preflight(model, case.images(rows), case.split.labels[rows]):
        if finding.gate == "flag" and finding.id not in recorded:
            yield f"the record lacks the finding {finding.id}: {finding.message}"


def _differs(case: Case, rows: Tensor, logits: Tensor, predicted: Tensor) -> int:
    """In how many rows margin or prediction differ from the table's by more than rounding."""
    margins, close = -losses.margin(logits, case.split.labels[rows]), _close(logits)
    recorded = torch.from_numpy(case.table["margin"].to_numpy(dtype=np.float64)[rows.numpy()])
    agrees = logits.gather(1, predicted[:, None])[:, 0] >= logits.max(1).values - close
    # A NaN logit compares as False here, and so counts as a difference.
    return int((~((margins - recorded).abs() <= close) | ~agrees).sum())


def adversarial_examples_are_misclassified(case: Case) -> Iterator[str]:
    """V10."""
    for verdict in case.record.verdicts:
        images, indices = case.adversarial(verdict)
        some = case.some(len(indices))
        images, labels = floats(images[some]), case.split.labels[indices[some]]
        if not len(some):
            continue
        logits = case.judge.logits(images)
        right = -losses.margin(logits, labels) > _close(logits)
        if right.any():
            yield (
                f"{verdict.threat} {verdict.suite}: {int(right.sum())} of {len(some)} adversarial "
                "examples are classified correctly"
            )


def _close(logits: Tensor) -> Tensor:
    return CLOSE * (logits.amax(1) - logits.amin(1))
