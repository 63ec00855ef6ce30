"""Findings that follow from the verdicts after the attacks."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from bench.attacks.external import ExternalAttack
from bench.evaluation.judge import allowed, distances
from bench.evaluation.outcome import Pair
from bench.evaluation.queue import CREDIT, Column, Examples
from bench.evaluation.suites import Stage
from bench.threats import Threat
from leaderboard.schema import Finding


def credit(columns: Mapping[Pair, Column], examples: Examples) -> Iterator[Finding]:
    """A15: count each adversarial example under every other threat whose budget it meets, in the
    column of the suite that found it."""
    broken = 0
    for (source_threat, source_suite), source in columns.items():
        for (other_threat, suite), column in columns.items():
            counts = source_suite == suite and source_threat != other_threat
            rows = np.flatnonzero(column.robust & (source.by >= 0) & counts)
            if not len(rows):
                continue
            threat = Threat.parse(other_threat)
            images = examples.floats(torch.from_numpy(rows), torch.device("cpu"))
            far = distances(images, torch.from_numpy(source.found[rows]), threat).numpy()
            for row, distance in zip(rows, far, strict=True):
                if distance <= allowed(threat):
                    step, point = int(source.step[row]), source.found[row]
                    column.broken(int(row), CREDIT, step, float(distance), point)
                    broken += 1
    if broken:
        message = f"{broken} flags were broken by an adversarial example of another threat"
        yield Finding("A15", "info", message, float(broken))


def alarms(
    columns: Mapping[Pair, Column], suites: Mapping[Pair, tuple[Stage, ...]]
) -> Iterator[Finding]:
    """A8: a black-box attack broke examples that attacks with gradients had left. The finding is
    only a remark if the suite has further stages after this alarm."""
    for pair, column in columns.items():
        alarming = [
            number
            for number, stage in enumerate(suites[pair])
            if stage.alarm is not None
            and not isinstance(stage.attack, ExternalAttack)
            and not stage.attack.needs_gradient
        ]
        broken = int(np.isin(column.by, alarming).sum())
        if broken:
            message = (
                f"{pair[0]}: a black-box attack broke {broken} examples that "
                "attacks with gradients had left: gradients are masked"
            )
            if any(stage.after for stage in suites[pair]):
                message += "; the suite attacked them again after this alarm"
                yield Finding("A8", "info", message, float(broken))
            else:
                yield Finding("A8", "flag", message, float(broken))


def escalations(
    columns: Mapping[Pair, Column], suites: Mapping[Pair, tuple[Stage, ...]]
) -> Iterator[Finding]:
    """A16: after an alarm, a suite ran stages that it otherwise leaves out."""
    for pair, column in columns.items():
        run = [number for number in column.run if suites[pair][number].after]
        if run:
            broken = int(np.isin(column.by, run).sum())
            names = ", ".join(suites[pair][number].attack.name for number in run)
            message = f"{pair[0]}: after an alarm {names} ran, and broke {broken} more"
            yield Finding("A16", "info", message, float(broken))
