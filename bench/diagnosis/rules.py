"""The checks by id: thresholds of the verdicts, sources and advice.

Thresholds are those of the reference if it gives any. If the source is `proposed`, or the reference
tolerates no example at all, they were chosen so that the networks without defects of
benchmarks/diagnosis.py stay well below them.
"""

from dataclasses import dataclass, replace
from typing import Literal

from leaderboard.diagnosis import Check, Verdict

ATHALYE = "Athalye et al. 2018"
AUTOATTACK = "AutoAttack"
CARLINI = "Carlini et al. 2019"
CROCE = "Croce et al. 2022"
PINTOR = "Pintor et al. 2022"
WONG = "Wong et al. 2020"
ZIMMERMANN = "Zimmermann et al. 2022"
OURS = "proposed"

FEWEST = 3
"""One or two examples may be chance, however few there are, and fail no check but A18."""

_NEVER = float("inf")


@dataclass(frozen=True)
class Rule:
    """A check that warns where its value is above `warn`, and fails above `fail`."""

    id: str
    name: str
    source: str
    warn: float = _NEVER
    fail: float = _NEVER
    advice: str = ""
    unit: Literal["share", "number"] = "share"
    limits: str = ""
    """The threshold in words, if it is not a single number."""

    def found(self, value: float, verdict: Verdict | None = None, advice: str = "") -> Check:
        """The check for a measured value; `verdict` and `advice` replace those that follow from the
        value alone."""
        if verdict is None:
            verdict = "fail" if value > self.fail else "warn" if value > self.warn else "pass"
        return self._check(
            verdict, float(value), "" if verdict == "pass" else advice or self.advice
        )

    def among(self, share: float, examples: int, advice: str = "") -> Check:
        """The check for a share of some examples; fewer than `FEWEST` never fail."""
        if share > self.fail and round(share * examples) < FEWEST:
            limits = f"{self.threshold}, from {FEWEST} images"
            return replace(self, limits=limits).found(share, "warn", advice)
        return self.found(share, advice=advice)

    def counted(self, count: int, examples: int) -> Check:
        """The check for a number of broken examples among so many."""
        return self.among(count / examples, examples)

    def skipped(self, why: str) -> Check:
        """The check without a verdict."""
        return self._check("n/a", None, why)

    @property
    def threshold(self) -> str:
        """The thresholds in words."""
        named = {"warn": self.warn, "fail": self.fail}
        shown = [f"{word} > {self._text(limit)}" for word, limit in named.items() if limit < _NEVER]
        return self.limits or ", ".join(shown) or "yes or no"

    def _text(self, limit: float) -> str:
        return f"{100 * limit:.3g} %" if self.unit == "share" else f"{limit:.3g}"

    def _check(self, verdict: Verdict, value: float | None, advice: str) -> Check:
        return Check(
            self.id, self.name, verdict, value, self.unit, self.threshold, self.source, advice
        )


def _gate(id_: str, name: str, source: str, fail: float = _NEVER) -> Rule:
    """A gate of `bench.evaluation.gates`, whose findings bring their own advice."""
    return Rule(id_, name, source, fail=fail, unit="number")


_REPAIR = "evaluate with --suite crossfire, which repairs that"
_MASKED = "gradients are masked: evaluate with --suite crossfire"

_RULES = (
    _gate("P2", "pixels outside [0, 1]", OURS),
    _gate("P3", "not in evaluation mode", OURS),
    _gate("P9", "labels without a logit", OURS),
    _gate("P1", "outputs not finite", OURS),
    _gate("P4", "outputs are random", AUTOATTACK, 1e-4),
    _gate("P5", "outputs depend on the batch", CROCE, 1e-3),
    _gate("P6", "outputs are probabilities", AUTOATTACK),
    _gate("P8", "no gradient with respect to pixels", PINTOR),
    _gate("P12", "no gradient on the bounds 0 and 1", OURS),
    _gate("P13", "pixels without gradient", OURS),
    _gate("P11", "optimises in its forward pass", AUTOATTACK, 0.0),
    Rule("P7", "gradients exactly zero", PINTOR, 0.0, 0.01,
         f"a function is stepped or saturated: {_REPAIR}"),
    Rule("G1", "backward is not the derivative", OURS, 0.05, 0.25,
         "the model defines its own backward: correct it, or give a differentiable surrogate"),
    Rule("G2", "logits too large or too small", OURS, 0.0, 0.25,
         f"cross-entropy loses its gradient: divide the logits by their scale, or {_REPAIR}"),
    Rule("G3", "gradients change direction (ripples)", ATHALYE, 0.25, 0.4,
         f"ripples mask the gradient: average gradients over noise; {_REPAIR}", "number"),
    Rule("G4", "gradients vanish (saturation)", OURS, 0.02, 0.1,
         f"outputs are saturated on these images: {_REPAIR}"),
    Rule("P10", "steps differ from the gradient", OURS, unit="number",
         limits="0.4 (ℓ1: 0.2) to 3", advice=f"gradients are saturated or shattered: {_REPAIR}"),
    Rule("A13", "loss unstable under noise", PINTOR, 0.1, 0.5, "average gradients over noise"),
    Rule("A18", "outputs not finite during attack", OURS, fail=0.0,
         advice="the model returns NaN or infinity near its images: correct it"),
    Rule("A3", "silent success", PINTOR, 0.05,
         advice="keep every adversarial iterate, as bench does, and not only the last one"),
    Rule("A4", "incomplete optimisation", PINTOR, 0.05, 0.5,
         "take more steps, or another step size"),
    Rule("A20", "no break point in the loss", PINTOR, 0.25,
         advice="take more steps: the loss still rises"),
    Rule("A21", "the loss decreases", PINTOR, 0.25,
         advice="take smaller steps, or average gradients over noise"),
    Rule("A9", "a larger ε breaks fewer", ATHALYE, 0.01, 0.05, _MASKED),
    Rule("A10", "the unbounded attack fails", CARLINI, 0.0, 0.05, _MASKED),
    Rule("A19", "one step breaks far fewer", WONG, 0.45, 0.6,
         "catastrophic overfitting: single-step accuracies of this model are not meaningful; "
         "train with several steps"),
    Rule("A5", "more steps break more", CARLINI, 0.01, 0.05, "measure with more steps"),
    Rule("A6", "more restarts break more", CARLINI, 0.01, 0.05, "measure with more restarts"),
    Rule("A7", "a single step breaks more", ATHALYE, 0.005, 0.05, _MASKED),
    Rule("A8", "a black box breaks more", ATHALYE, 0.002, 0.05, _MASKED),
    Rule("A11", "uniform noise breaks more", CARLINI, 0.001, 0.05, _MASKED),
    Rule("A12", "transfer breaks more", PINTOR, 0.002, 0.05, _MASKED),
    Rule("R1", "rounding, clamps mask gradient", ATHALYE, 0.01, 0.05,
         f"pass gradients through them (BPDA): {_REPAIR}"),
    Rule("R2", "float32 masks the gradient", OURS, 0.01, 0.05, f"attack in float64: {_REPAIR}"),
    Rule("R3", "averaged gradients break more", ATHALYE, 0.02, 0.05,
         f"average gradients over noise: {_REPAIR}"),
    Rule("S1", "planted examples not found", ZIMMERMANN, 0.05, 0.1,
         "the attack does not reach some features: adapt it to this defense first"),
)  # fmt: skip
RULES: dict[str, Rule] = {rule.id: rule for rule in _RULES}
"""Every check by its id, in the order of the report."""
