"""Robust distillation: a student learns its robustness from a teacher.

With f the student, t the teacher, x' an adversarial image, and KL at temperature T times T²:

    ard     α KL(t(x) ‖ f(x')) + (1 − α) CE(f(x), y)
    rslad   α KL(t(x) ‖ f(x')) + (1 − α) KL(t(x) ‖ f(x))
    iad1    α KL(t(x) ‖ f(x')) + α (1 − A) KL(f(x) ‖ f(x')) + (1 − α) CE(f(x), y)
    iad2    α A KL(t(x') ‖ f(x')) + α (1 − A) KL(f(x) ‖ f(x'))
            + γ KL(n(x') ‖ f(x')) + (1 − α − γ) CE(f(x'), y)
    adaad   α KL(t(x') ‖ f(x')) + (1 − α) KL(t(x) ‖ f(x))
    active  asks the teacher about some of the x'; our own, see `defenses/_active.py`

A = t_y(x')^β, or 1 in the first epochs; n is a naturally trained teacher. x' raises the student's
cross-entropy, except KL(t(x) ‖ f(x')) in rslad and KL(t(x') ‖ f(x')), through both networks, in
adaad. Sources: Goldblum et al. 2020, Zi et al. 2021, Zhu et al. 2022, Huang et al. 2023, each with
its code. Two departures: examples are made with the student in eval mode (ard, iad: train mode),
and divergences sum over the classes (the code of ard, rslad and adaad averages: `--mean`). The log
and the checkpoint say how often the student agrees with its teacher on held-out images.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal

import torch

from bench.losses import kl
from bench.threats import Threat
from bench.training import Job, Net, Run, adversarial, ascend, attacking, diverging, small_start
from bench.types import Images, Labels, Values
from defenses._active import active
from defenses._lessons import ALPHA, BEGIN, LOSSES, Ask, Lesson, Terms
from defenses._teachers import natural_teacher, robust_teacher

Variant = Literal["ard", "rslad", "iad1", "iad2", "adaad", "active"]
_ONCE: dict[str, Any] = {
    **{"arch": "preactresnet18", "epochs": 200, "lr": 0.1, "weight_decay": 2e-4},
    **{"schedule": "steps", "drops": (100.0,), "clip": 0.0},
}


@dataclass(frozen=True)
class TeacherStudent:
    """A student that learns from a robust teacher."""

    variant: Variant = field(
        default="rslad", metadata={"help": "What is learned from the teacher."}
    )
    teacher: str = field(
        default="", metadata={"help": "Any model, as for evaluate; none trains one by at."}
    )
    natural_teacher: str = field(
        default="", metadata={"help": "For iad2; none trains one by undefended."}
    )
    alpha: float | None = field(
        default=None, metadata={"help": "Weight of the teacher.  [default: the variant's]"}
    )
    temperature: float | None = field(
        default=None, metadata={"help": "Temperature T.  [default: 30 for ard, 1 otherwise]"}
    )
    gamma: float = field(default=0.25, metadata={"help": "iad2: weight of the natural teacher."})
    beta: float = field(default=0.1, metadata={"help": "iad1, iad2: power of the teacher's trust."})
    begin: float | None = field(
        default=None,
        metadata={"help": "iad1, iad2: share of the epochs in which A is 1.  [default: 0.3, 0.2]"},
    )
    mean: bool = field(
        default=False, metadata={"help": "Divide divergences by the number of classes."}
    )
    ask: Ask = field(default="soft", metadata={"help": "active: what the teacher is asked for."})
    queries: float = field(
        default=0.5, metadata={"help": "active: share of the examples that are asked about."}
    )
    slope: float = field(default=1.0, metadata={"help": "active: weight of matching gradients."})
    steps: int = field(default=10, metadata={"help": "PGD steps."})
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
        "ard": {"variant": "ard", "mean": True, **_ONCE},
        "iad1": {"variant": "iad1", **_ONCE},
        "iad2": {"variant": "iad2", **_ONCE},
    }

    def fit(self, job: Job) -> None:
        """Train the student, its teacher first if need be; leave the checkpoints best and last."""
        threat, teacher = job.threat, robust_teacher(job, self.teacher)
        natural = natural_teacher(job, self.natural_teacher) if self.variant == "iad2" else None
        losses = LOSSES | {"active": active}
        begin = BEGIN.get(self.variant, 0.0) if self.begin is None else self.begin
        student = job.model()
        run = Run(job, self, student, measure=partial(agreement, teacher))
        for batch in run:
            trusting = batch.epoch < begin * job.epochs
            lesson = Lesson(student, teacher, natural, batch, self.terms(trusting))
            lesson.x_adv = self.perturb(lesson, threat)
            run.step(losses[self.variant](lesson).mean())
            job.passes.tally("teacher_bits", lesson.bits)

    def terms(self, trusting: bool = False) -> Terms:
        """The hyper-parameters of the losses, with the variant's own where none are given."""
        return Terms(
            alpha=ALPHA[self.variant] if self.alpha is None else self.alpha,
            temperature=self.temperature or (30.0 if self.variant == "ard" else 1.0),
            gamma=self.gamma,
            beta=0.0 if trusting else self.beta,
            mean=self.mean,
            ask=self.ask,
            queries=self.queries,
            slope=self.slope,
        )

    def perturb(self, lesson: Lesson, threat: Threat) -> Images:
        """x' by the variant's own objective."""
        net, batch = lesson.student, lesson.batch
        settings: dict[str, Any] = {"steps": self.steps, "step_size": self.step_size}
        if self.variant == "rslad":
            return diverging(net, batch, threat, lesson.teacher_clean, **settings)
        if self.variant != "adaad":
            return adversarial(net, batch, threat, **settings)
        start = small_start(batch, threat)
        with attacking(net):
            objective = partial(_disagreement, lesson.teacher, net)
            return ascend(objective, batch.x, threat, start=start, **settings)


@torch.no_grad()
def agreement(teacher: Net, net: Net, y: Labels, images: Mapping[str, Images]) -> dict[str, float]:
    """How often the student predicts what the teacher does, on clean and on attacked images.

    Robustness with respect to the teacher, as Ma & Ying 2020 have it. The images are attacked with
    the labels' cross-entropy, so that this is a proxy: no attack looks for disagreement.
    """
    return {
        f"agreement {name}": (net.body(x).argmax(1) == teacher.body(x).argmax(1))
        .float()
        .mean()
        .item()
        for name, x in images.items()
    }


def _disagreement(teacher: Net, student: Net, x: Images) -> Values:
    return kl(teacher(x), student(x))
