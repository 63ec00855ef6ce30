"""The checks by name: where each verdict turns, who says so, and what to do.

Thresholds are the references' where they give one. Where the source is `proposed`, or the reference
asks for no example at all, the limits were chosen so that the sound networks of
benchmarks/diagnosis.py stay well below them.
"""

from dataclasses import dataclass
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
"""One or two examples that fall to another attack are chance, however few were looked at."""

_NEVER = float("inf")


@dataclass(frozen=True)
class Rule:
    """A check that warns where its value is above `warn`, and fails above `fail`."""

    id: str
    name: str
    source: str
    warn: float = _NEVER
    fail: float = _NEVER
    mend: str = ""
    unit: Literal["share", "number"] = "share"
    limits: str = ""
    """Where the verdict turns, if that is no single number."""

    def found(self, value: float, verdict: Verdict | None = None, advice: str = "") -> Check:
        """The answer to a measured value; `verdict` and `advice` where the value alone does not
        decide."""
        if verdict is None:
            verdict = "fail" if value > self.fail else "warn" if value > self.warn else "pass"
        return self._check(verdict, float(value), "" if verdict == "pass" else advice or self.mend)

    def counted(self, count: int, examples: int) -> Check:
        """The answer to so many of the examples; fewer than `FEWEST` never fail."""
        share = count / examples
        few = share > self.fail and count < FEWEST
        return self.found(share, "warn" if few else None)

    def skipped(self, why: str) -> Check:
        """No answer."""
        return self._check("n/a", None, why)

    @property
    def threshold(self) -> str:
        """Where the verdict turns, in words."""
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
    """A gate of `bench.evaluation.gates`, which says itself what to do."""
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
    _gate("P8", "no gradient comes back", PINTOR),
    Rule("P11", "optimises in its forward pass", AUTOATTACK, fail=0.0, unit="number",
         mend="attack through the inner optimisation, and the model without it too"),
    Rule("P7", "gradients exactly zero", PINTOR, 0.0, 0.01,
         f"something is stepped or saturated: {_REPAIR}"),
    Rule("G1", "backward is not the derivative", OURS, 0.05, 0.25,
         "the model brings a backward of its own: mend it, or give a differentiable surrogate"),
    Rule("G2", "logits too large or too small", OURS, 0.0, 0.25,
         f"cross-entropy loses its gradient: divide the logits by their scale, or {_REPAIR}"),
    Rule("G3", "gradients turn (ripples)", ATHALYE, 0.25, 0.4,
         f"a ripple hides the slope: average gradients over noise; {_REPAIR}", "number"),
    Rule("G4", "gradients vanish (saturation)", OURS, 0.02, 0.1,
         f"outputs are saturated on these images: {_REPAIR}"),
    Rule("P10", "steps break the promise", OURS, unit="number",
         limits="0.4 (ℓ1: 0.2) to 3", mend=f"gradients are saturated or shattered: {_REPAIR}"),
    Rule("A13", "loss unstable under noise", PINTOR, 0.1, 0.5, "average gradients over noise"),
    Rule("A18", "outputs not finite on the way", OURS, fail=0.0,
         mend="the model answers NaN near its images: mend it"),
    Rule("A3", "silent success", PINTOR, 0.05,
         mend="keep every adversarial iterate, as bench does, and not the last one"),
    Rule("A4", "incomplete optimisation", PINTOR, 0.05, 0.5,
         "take more steps, or another step size"),
    Rule("A20", "no break point in the loss", PINTOR, 0.25,
         mend="take more steps: the loss still rises"),
    Rule("A21", "the loss falls on the way", PINTOR, 0.25,
         mend="take smaller steps, or average gradients over noise"),
    Rule("A9", "a larger ε breaks fewer", ATHALYE, 0.01, 0.05, _MASKED),
    Rule("A10", "the unbounded attack fails", CARLINI, 0.0, 0.05, _MASKED),
    Rule("A19", "one step breaks far fewer", WONG, 0.45, 0.6,
         "catastrophic overfitting: single-step figures of this model mean nothing; train with "
         "several steps"),
    Rule("A5", "more steps break more", CARLINI, 0.01, 0.05, "measure with more steps"),
    Rule("A6", "more restarts break more", CARLINI, 0.01, 0.05, "measure with more restarts"),
    Rule("A7", "a single step breaks more", ATHALYE, 0.005, 0.03, _MASKED),
    Rule("A8", "a black box breaks more", ATHALYE, 0.002, 0.03, _MASKED),
    Rule("A11", "uniform noise breaks more", CARLINI, 0.001, 0.03, _MASKED),
    Rule("A12", "transfer breaks more", PINTOR, 0.002, 0.03, _MASKED),
    Rule("R1", "rounding hides the gradient", ATHALYE, 0.01, 0.05,
         f"let rounding pass gradients on (BPDA): {_REPAIR}"),
    Rule("R2", "float32 hides the gradient", OURS, 0.01, 0.05, f"attack in float64: {_REPAIR}"),
    Rule("R3", "averaged gradients break more", ATHALYE, 0.02, 0.05,
         f"average gradients over noise: {_REPAIR}"),
    Rule("S1", "planted examples not found", ZIMMERMANN, 0.05, 0.1,
         "the attack is blind to some of the features: adapt it to this defense first"),
)  # fmt: skip
RULES: dict[str, Rule] = {rule.id: rule for rule in _RULES}
"""Every check by its id, in the order of the report."""
