"""Checks before any attack: each gate of `bench.evaluation.gates`."""

from collections.abc import Callable, Iterator
from functools import cache

from jaxtyping import Int
from torch import Tensor, nn

from bench.diagnosis.rules import RULES
from bench.evaluation import gates
from bench.threats.geometry import Points
from leaderboard.diagnosis import Check, Verdict
from leaderboard.schema import Finding

SAMPLE = 16
"""Images on which the gates run, as many as before an evaluation."""


def preflight(model: nn.Module, x: Points, y: Int[Tensor, " n"]) -> Iterator[Check]:
    """P1 to P6, P8, P9 and P11 to P13 on a few images (n, c, h, w) with labels (n,), up to the
    first one that forbids attacks."""
    x, y = x[:SAMPLE], y[:SAMPLE]
    logits = gates.predicted(model, x)

    @cache
    def gradients() -> list[Finding]:
        return list(gates.gradients(model, x, y))

    def named_among(id_: str) -> Callable[[], Iterator[Finding]]:
        return lambda: (finding for finding in gradients() if finding.id == id_)

    named: dict[str, Callable[[], Iterator[Finding]]] = {
        "P2": lambda: gates.image_range(x),
        "P3": lambda: gates.mode(model),
        "P9": lambda: gates.class_count(logits.shape[1], y),
        "P1": lambda: gates.finite(gates.with_noise(model, x, logits)),
        "P4": lambda: gates.determinism(model, x, logits),
        "P5": lambda: gates.batch_independence(model, x, logits),
        "P6": lambda: gates.probabilities(logits),
    } | {id_: named_among(id_) for id_ in ("P8", "P12", "P13")}
    named["P11"] = lambda: gates.optimisation(model, x)
    for id_, gate in named.items():
        check = _check(id_, list(gate()))
        yield check
        if check.verdict == "fail" and id_ != "P6":
            return


def _check(id_: str, findings: list[Finding]) -> Check:
    rule = RULES[id_]
    if not findings:
        return rule.found(0.0, "pass")
    (finding,) = findings
    verdict: Verdict = "warn" if finding.gate == "info" else "fail"
    value = finding.value if finding.value is not None else 1.0
    return rule.found(value, verdict, finding.message)
