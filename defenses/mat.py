"""Mutual adversarial training (Liu et al. 2021, arXiv:2112.05005): distillation among networks.

Several networks are trained together, each on labels and on its peers' predictions at adversarial
examples. Against one threat they are peers. Against several, one *specialist* for each threat
teaches a *generalist*, which is the checkpoint; the specialists are saved in sub-folders.

The published abstracts state this structure; the formula and its defaults are our reconstruction,
and what they leave open is an option. With h_i(x_k) the logits of network i at image set k, each
network minimises

    (1 − α) mean_k CE(h_i(x_k), y)  +  α T² mean_(j, k) KL(p_j(x_k) ‖ p_i(x_k)),   p_j held constant

over the sets k of its supervised loss and the pairs (j, k) of its distillation. With `combine`
"add" the supervised loss has weight 1 instead of 1 − α; in the warm-up α is 0. Without
distillation, and with labels on its own examples only, each network is `at`, bit for bit.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from bench.errors import CrossfireError
from bench.losses import cross_entropy, kl
from bench.training import Job, Net, Run, adversarial_each, check_ranges
from bench.types import Labels, Logits
from defenses._plans import (
    DistillOn,
    ExamplesBy,
    LabelsOn,
    LearnFrom,
    Plan,
    one_threat_plan,
    predictions,
    union_plan,
)

Combine = Literal["mix", "add"]


@dataclass(frozen=True)
class MAT:
    """Networks that exchange adversarial examples and their predictions on them."""

    alpha: float = field(default=0.5, metadata={"help": "Weight of the peers' predictions."})
    combine: Combine = field(
        default="mix", metadata={"help": "mix: (1 - alpha) CE + alpha KL; add: CE + alpha KL."}
    )
    warm_up: float = field(
        default=0.0,
        metadata={"help": "Share of the epochs, from the first, in which alpha is 0.", "most": 1},
    )
    temperature: float = field(
        default=1.0, metadata={"help": "Temperature of the predictions.", "least": 0.001}
    )
    networks: int = field(
        default=2,
        metadata={"help": "One threat: how many networks.", "least": 1, "threats": "one"},
    )
    peers: tuple[str, ...] = field(
        default=(),
        metadata={"help": "One threat: architectures of the further networks.", "threats": "one"},
    )
    labels_on: LabelsOn = field(
        default="all",
        metadata={
            "help": "One threat: on whose examples a network is trained with labels.",
            "threats": "one",
        },
    )
    distill_on: DistillOn = field(
        default="both",
        metadata={
            "help": "One threat: on whose examples peers teach each other.",
            "threats": "one",
        },
    )
    examples_by: ExamplesBy = field(
        default="generalist",
        metadata={
            "help": "Several threats: which networks make the generalist's examples.",
            "threats": "several",
        },
    )
    specialists_learn_from: LearnFrom = field(
        default="nobody",
        metadata={
            "help": "Several threats: the teachers of the specialists.",
            "threats": "several",
        },
    )
    steps: int = field(default=10, metadata={"help": "PGD steps.", "least": 1})
    step_size: float = field(default=0.25, metadata={"help": "PGD step size, in epsilons."})

    default_threat: ClassVar[str] = "union"
    recipes: ClassVar[dict[str, dict[str, Any]]] = {
        # Ours, the same as for `at`: no code was published.
        "paper": {
            **{"arch": "preactresnet18", "epochs": 200, "lr": 0.1, "clip": 0.0},
            **{"schedule": "steps", "drops": (100.0, 150.0)},
        },
        # The distillation of CAT (arXiv:2303.14922) with plain AT; `cat` is the complete defense.
        "cat": {
            **{"arch": "preactresnet18", "epochs": 200, "lr": 0.1, "alpha": 0.95},
            **{"schedule": "steps", "drops": (99.0, 149.0), "clip": 0.0},
            **{"labels_on": "own", "distill_on": "own", "threat": "linf"},
        },
    }

    def __post_init__(self) -> None:
        """Check the weight of the labels and the number of networks.

        Raises:
            CrossfireError: the weight is negative, or `networks` and `peers` differ.
        """
        if self.peers and self.networks not in (2, len(self.peers) + 1):
            raise CrossfireError(
                f"networks is {self.networks}, but there are {len(self.peers)} peers; leave it out"
            )
        if self.combine == "mix" and self.alpha > 1:
            raise CrossfireError(
                "the weight 1 - alpha is negative; lower alpha, or choose --combine add"
            )

    def fit(self, job: Job) -> None:
        """Train all networks, and save the checkpoints best and last of each."""
        check_ranges(self)  # before they choose a plan
        full_plan, companions = (
            self.networks_for_one_threat(job)
            if len(job.threats) == 1
            else self.networks_for_union(job)
        )
        nets = [job.model(), *companions.values()]
        run = Run(job, self, nets[0], companions=companions)
        for batch in run:
            warming = batch.epoch / job.epochs < self.warm_up
            plan = full_plan.without_distillation() if warming else full_plan
            attacked = [(nets[i], threat) for i, threat in plan.images]
            images = adversarial_each(attacked, batch, steps=self.steps, step_size=self.step_size)
            run.step(self.loss(plan, predictions(nets, images, plan), batch.y))

    def networks_for_one_threat(self, job: Job) -> tuple[Plan, dict[str, Net]]:
        """One threat: the plan, and the networks other than the first."""
        archs = self.peers or (None,) * (self.networks - 1)
        roles = [f"peer-{number}" for number in range(2, len(archs) + 2)]
        companions = {r: job.model(r, arch) for r, arch in zip(roles, archs, strict=True)}
        plan = one_threat_plan(1 + len(archs), job.threat, self.labels_on, self.distill_on)
        return plan if self.alpha else plan.without_distillation(), companions

    def networks_for_union(self, job: Job) -> tuple[Plan, dict[str, Net]]:
        """Several threats: the plan, and the specialists."""
        roles = [str(threat).replace(":", "-").replace("/", "_") for threat in job.threats]
        companions = {role: job.model(role) for role in roles}
        plan = union_plan(job.threats, self.examples_by, self.specialists_learn_from)
        return plan if self.alpha else plan.without_distillation(), companions

    def loss(self, plan: Plan, z: dict[tuple[int, int], Logits], y: Labels) -> Tensor:
        """The sum of all networks' losses; z[i, k] are the logits of network i at image set k."""
        total = torch.zeros((), device=y.device)
        for i, (labels, pairs) in enumerate(zip(plan.labels, plan.distilled, strict=True)):
            supervised = torch.stack([cross_entropy(z[i, k], y).mean() for k in labels]).mean()
            if not pairs:
                total = total + supervised
                continue
            distilled = torch.stack(
                [kl(z[j, k].detach(), z[i, k], self.temperature).mean() for j, k in pairs]
            ).mean()
            label_weight = 1 - self.alpha if self.combine == "mix" else 1.0
            weight = self.alpha * self.temperature**2
            total = total + label_weight * supervised + weight * distilled
        return total
