"""Robust distillation: a student is trained on the predictions of a robust teacher.

With f the student, t the teacher, x' an adversarial image, and KL at temperature T times T² (the
student's own, KL(f(x) ‖ f(x')), is at temperature 1, and times T² in iad2 only):

    ard     α KL(t(x) ‖ f(x')) + (1 − α) CE(f(x), y)
    rslad   α KL(t(x) ‖ f(x')) + (1 − α) KL(t(x) ‖ f(x))
    iad1    α KL(t(x) ‖ f(x')) + α (1 − A) KL(f(x) ‖ f(x')) + (1 − α) CE(f(x), y)
    iad2    α A KL(t(x') ‖ f(x')) + α (1 − A) KL(f(x) ‖ f(x'))
            + γ KL(n(x') ‖ f(x')) + (1 − α − γ) CE(f(x'), y)
    adaad   α KL(t(x') ‖ f(x')) + (1 − α) KL(t(x) ‖ f(x))
    active  queries the teacher at some of the x'; our own, see `defenses/_active.py`

A = t_y(x')^β, or 1 in the first epochs; n is a naturally trained teacher. x' raises the student's
cross-entropy, except KL(t(x) ‖ f(x')) in rslad and KL(t(x') ‖ f(x')), through both networks, in
adaad, both at temperature 1. Sources: Goldblum et al. 2020, Zi et al. 2021, Zhu et al. 2022, Huang
et al. 2023, each with its code, of which the recipes are those of CIFAR-10. Three departures:
examples are made with the student in eval mode (ard, iad: train mode), divergences sum over the
classes (the code of ard, rslad and adaad averages: `--mean`), and where α = 1 makes f(x)
superfluous (ard, adaad, first epochs of iad1) batch norm does not see x either. The log and the
checkpoint hold the agreement of student and teacher on held-out images.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal

import torch

from bench.errors import CrossfireError
from bench.losses import kl
from bench.threats import Threat
from bench.training import (
    Job,
    Net,
    Run,
    adversarial,
    adversarial_kl,
    ascend,
    attacking,
    check_ranges,
    small_start,
)
from bench.types import Images, Labels, Values
from defenses._active import active
from defenses._distillation import (
    ALPHA,
    BEGIN,
    FLOAT_BITS,
    DistillationStep,
    Response,
    Terms,
    adaad,
    ard,
    iad1,
    iad2,
    rslad,
)
from defenses._teachers import natural_teacher, robust_teacher

Variant = Literal["ard", "rslad", "iad1", "iad2", "adaad", "active"]
LOSSES: dict[Variant, Callable[[DistillationStep], Values]] = {
    "ard": ard,
    "rslad": rslad,
    "iad1": iad1,
    "iad2": iad2,
    "adaad": adaad,
    "active": active,
}
_ONE_DROP: dict[str, Any] = {
    **{"arch": "preactresnet18", "epochs": 200, "lr": 0.1, "weight_decay": 2e-4},
    **{"schedule": "steps", "drops": (100.0,), "clip": 0.0},
}


@dataclass(frozen=True)
class TeacherStudent:
    """A student that is trained by distillation from a robust teacher."""

    variant: Variant = field(default="rslad", metadata={"help": "Loss of the distillation."})
    teacher: str = field(
        default="", metadata={"help": "Any model, as for evaluate.  [default: one trained by at]"}
    )
    natural_teacher: str = field(
        default="",
        metadata={
            "help": "iad2: any model.  [default: one trained by undefended]",
            "variants": ("iad2",),
        },
    )
    alpha: float | None = field(
        default=None,
        metadata={
            "help": "Weight of the teacher, but in active.  [default: by variant]",
            "most": 1,
            "variants": tuple(variant for variant in LOSSES if variant != "active"),
        },
    )
    temperature: float | None = field(
        default=None,
        metadata={"help": "Temperature T.  [default: 30 for ard, 1 otherwise]", "least": 0.001},
    )
    gamma: float = field(
        default=0.25,
        metadata={"help": "iad2: weight of the natural teacher.", "variants": ("iad2",)},
    )
    beta: float = field(
        default=0.1,
        metadata={
            "help": "iad1, iad2: exponent of the trust in the teacher.",
            "variants": ("iad1", "iad2"),
        },
    )
    # Other variants may set it too, because recipes of published boards do.
    begin: float | None = field(
        default=None,
        metadata={
            "help": "iad1, iad2: share of the epochs in which A is 1.  [default: 0.3, 0.2]",
            "most": 1,
        },
    )
    mean: bool = field(
        default=False, metadata={"help": "Divide divergences by the number of classes."}
    )
    response: Response = field(
        default="soft",
        metadata={
            "help": "active: what the teacher returns for a query.",
            "variants": ("active",),
        },
    )
    queries: float = field(
        default=0.5,
        metadata={
            "help": "active: share of the examples at which the teacher is queried.",
            "most": 1,
            "variants": ("active",),
        },
    )
    slope: float = field(
        default=1.0,
        metadata={"help": "active: weight of matching gradients.", "variants": ("active",)},
    )
    steps: int = field(default=10, metadata={"help": "PGD steps.", "least": 1})
    step_size: float = field(default=0.25, metadata={"help": "PGD step size, in epsilons."})

    recipes: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            **{"variant": "rslad", "arch": "preactresnet18", "epochs": 300, "lr": 0.1},
            **{"schedule": "steps", "drops": (215.0, 260.0, 285.0), "clip": 0.0},
            **{"weight_decay": 2e-4, "mean": True},
        },
        "adaad": {
            **{"variant": "adaad", "arch": "preactresnet18", "epochs": 200, "lr": 0.1},
            **{"schedule": "steps", "drops": (100.0, 150.0), "clip": 0.0, "mean": True},
        },
        # The rate of these falls once: their code sets it to 0.01 after epoch 100, and again to
        # 0.01 after epoch 150.
        "ard": {"variant": "ard", "mean": True, **_ONE_DROP},
        "iad1": {"variant": "iad1", **_ONE_DROP},
        "iad2": {"variant": "iad2", **_ONE_DROP},
    }

    def __post_init__(self) -> None:
        """Check the weights of iad2.

        Raises:
            CrossfireError: they leave less than nothing to the labels.
        """
        if self.variant == "iad2" and self._alpha + self.gamma > 1:
            raise CrossfireError(
                f"alpha and gamma of iad2 are {self._alpha} + {self.gamma}: lower one, their sum "
                "must be at most 1"
            )

    def fit(self, job: Job) -> None:
        """Train a teacher if none is named, then the student; save its checkpoints."""
        check_ranges(self)  # before a teacher is trained
        threat, teacher = job.threat, robust_teacher(job, self.teacher)
        natural = natural_teacher(job, self.natural_teacher) if self.variant == "iad2" else None
        begin = BEGIN.get(self.variant, 0.0) if self.begin is None else self.begin
        student = job.model()
        teachers = {net.role: net for net in (teacher, natural) if net}
        run = Run(job, self, student, teachers=teachers, measure=partial(agreement, teacher))
        for batch in run:
            trusting = batch.epoch / job.epochs < begin
            step = DistillationStep(student, teacher, natural, batch, self.terms(trusting))
            step.x_adv = self.perturb(step, threat)
            run.step(LOSSES[self.variant](step).mean())
            job.passes.tally("teacher_bits", step.bits)

    def terms(self, trusting: bool = False) -> Terms:
        """The hyper-parameters of the losses, with the variant's defaults."""
        return Terms(
            alpha=self._alpha,
            temperature=self.temperature or (30.0 if self.variant == "ard" else 1.0),
            gamma=self.gamma,
            beta=0.0 if trusting else self.beta,
            mean=self.mean,
            response=self.response,
            queries=self.queries,
            slope=self.slope,
        )

    @property
    def _alpha(self) -> float:
        return ALPHA[self.variant] if self.alpha is None else self.alpha

    def perturb(self, step: DistillationStep, threat: Threat) -> Images:
        """x' by the variant's own objective."""
        net, batch = step.student, step.batch
        settings: dict[str, Any] = {"steps": self.steps, "step_size": self.step_size}
        if self.variant == "rslad":
            return adversarial_kl(net, batch, threat, step.teacher_clean, **settings)
        if self.variant != "adaad":
            return adversarial(net, batch, threat, **settings)
        start = small_start(batch, threat)
        with attacking(net):
            objective = partial(_disagreement, step)
            return ascend(objective, batch.x, threat, start=start, **settings)


@torch.no_grad()
def agreement(teacher: Net, net: Net, y: Labels, images: Mapping[str, Images]) -> dict[str, float]:
    """The share of clean and attacked images on which student and teacher predict the same class.

    Ma & Ying 2020 define robustness with respect to the teacher. This is a proxy of it: the attack
    raises the cross-entropy of the labels, not the disagreement.
    """
    return {
        f"agreement {name}": (net.body(x).argmax(1) == teacher.body(x).argmax(1))
        .float()
        .mean()
        .item()
        for name, x in images.items()
    }


def _disagreement(step: DistillationStep, x: Images) -> Values:
    logits = step.teacher(x)
    step.bits += FLOAT_BITS * (logits.numel() + x.numel())  # the attack asks for the slope too
    return kl(logits, step.student(x))
