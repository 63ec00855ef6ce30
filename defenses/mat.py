"""Mutual adversarial training (Liu et al. 2021, arXiv:2112.05004): networks that learn together.

Several networks train side by side, each on labels and on what its peers predict at adversarial
examples. Against one threat they are peers. Against several, one *specialist* for each threat
teaches a *generalist*, which is the checkpoint; the specialists lie beside it.

The published abstracts state this structure; the formula and its defaults are our reconstruction,
and what they leave open is an option. With h_i(x_k) the logits of network i at image set k, each
network minimises

    (1 − α) mean_k CE(h_i(x_k), y)  +  α T² mean_(j, k) KL(p_j(x_k) ‖ p_i(x_k)),   p_j held constant

over the sets k it has labels on and the lessons (j, k) it takes. Without lessons it is `at`, bit
for bit.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from bench.losses import cross_entropy, kl
from bench.threats import Threat
from bench.training import Job, Net, adversarial, evaluating
from bench.types import Images, Labels, Logits


@dataclass(frozen=True)
class Plan:
    """Who learns what: `images` are made by a network under a threat, the rest names their places.

    `labels[i]` are the image sets on which network i learns the labels, `lessons[i]` the pairs of
    a teaching network and an image set.
    """

    images: list[tuple[int, Threat]]
    labels: list[list[int]]
    lessons: list[list[tuple[int, int]]]


@dataclass(frozen=True)
class MAT:
    """Networks that share adversarial examples and what they predict on them."""

    alpha: float = field(default=0.5, metadata={"help": "Weight of the peers' predictions."})
    temperature: float = field(default=1.0, metadata={"help": "Temperature of the predictions."})
    networks: int = field(default=2, metadata={"help": "One threat: how many networks."})
    peers: tuple[str, ...] = field(
        default=(), metadata={"help": "One threat: architectures of the further networks."}
    )
    labels_on: Literal["own", "all"] = field(
        default="all", metadata={"help": "One threat: whose examples teach labels."}
    )
    lessons_on: Literal["own", "peer", "both"] = field(
        default="both", metadata={"help": "One threat: on whose examples peers are asked."}
    )
    examples_by: Literal["generalist", "specialists", "both"] = field(
        default="generalist", metadata={"help": "Several threats: who makes the generalist's."}
    )
    specialists_ask: Literal["nobody", "specialists", "generalist", "all"] = field(
        default="nobody", metadata={"help": "Several threats: whom the specialists learn from."}
    )
    steps: int = field(default=10, metadata={"help": "PGD steps."})
    step_size: float = field(default=0.25, metadata={"help": "PGD step size, in epsilons."})

    default_threat: ClassVar[str] = "union"
    recipes: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            **{"arch": "preactresnet18", "epochs": 200, "lr": 0.1},
            **{"schedule": "steps", "drops": (100.0, 150.0)},
        },
        # The exchange of CAT (arXiv:2303.14922) on top of plain AT; `cat` is the whole of it.
        "cat": {
            **{"arch": "preactresnet18", "epochs": 200, "lr": 0.1, "alpha": 0.95},
            **{"schedule": "steps", "drops": (100.0, 150.0)},
            **{"labels_on": "own", "lessons_on": "own", "threat": "linf"},
        },
    }

    def fit(self, job: Job) -> None:
        """Train all networks, and leave the checkpoints best and last of each."""
        plan, companions = self.peers_of(job) if len(job.threats) == 1 else self.classroom_of(job)
        nets = [job.model(), *companions.values()]
        run = job.run(self, nets[0], companions=companions)
        for batch in run:
            images = [
                adversarial(nets[i], batch, threat, steps=self.steps, step_size=self.step_size)
                for i, threat in plan.images
            ]
            run.step(self.loss(plan, predictions(nets, images, plan), batch.y))

    def peers_of(self, job: Job) -> tuple[Plan, dict[str, Net]]:
        """One threat: each network makes its own examples, and learns from all others."""
        archs = self.peers or (None,) * (self.networks - 1)
        companions = {
            f"peer-{i}": job.model(f"peer-{i}", arch) for i, arch in enumerate(archs, start=2)
        }
        everyone = range(1 + len(companions))
        asked = {"own": lambda i, j: {i}, "peer": lambda i, j: {j}, "both": lambda i, j: {i, j}}
        plan = Plan(
            images=[(i, job.threat) for i in everyone],
            labels=[[i] if self.labels_on == "own" else list(everyone) for i in everyone],
            lessons=[
                [(j, k) for j in everyone if j != i for k in sorted(asked[self.lessons_on](i, j))]
                for i in everyone
            ],
        )
        return self._without_lessons(plan), companions

    def classroom_of(self, job: Job) -> tuple[Plan, dict[str, Net]]:
        """Several threats: network 0 is the generalist, network p the specialist of threat p."""
        names = [str(threat).replace(":", "-").replace("/", "_") for threat in job.threats]
        companions = {name: job.model(name) for name in names}
        count = len(names)
        specialists = range(1, count + 1)
        images = [(p, threat) for p, threat in zip(specialists, job.threats, strict=True)]
        own = {p: p - 1 for p in specialists}  # the image set that specialist p made
        taught = [(p, own[p]) for p in specialists] if self.examples_by != "generalist" else []
        if self.examples_by != "specialists":
            images += [(0, threat) for threat in job.threats]
            taught += [(p, count + own[p]) for p in specialists]
        asked: dict[str, list[int]] = {
            **{"nobody": [], "generalist": [0]},
            **{"specialists": list(specialists), "all": [0, *specialists]},
        }
        plan = Plan(
            images=images,
            labels=[[k for _, k in taught], *([own[p]] for p in specialists)],
            lessons=[
                taught,
                *(
                    [(q, own[p]) for q in asked[self.specialists_ask] if q != p]
                    for p in specialists
                ),
            ],
        )
        return self._without_lessons(plan), companions

    def _without_lessons(self, plan: Plan) -> Plan:
        if self.alpha:
            return plan
        return Plan(plan.images, plan.labels, [[] for _ in plan.lessons])

    def loss(self, plan: Plan, z: dict[tuple[int, int], Logits], y: Labels) -> Tensor:
        """The sum of all networks' losses; z[i, k] are the logits of network i at image set k."""
        total = torch.zeros((), device=y.device)
        for i, (labels, lessons) in enumerate(zip(plan.labels, plan.lessons, strict=True)):
            supervised = torch.stack([cross_entropy(z[i, k], y).mean() for k in labels]).mean()
            if not lessons:
                total = total + supervised
                continue
            taught = torch.stack(
                [kl(z[j, k].detach(), z[i, k], self.temperature).mean() for j, k in lessons]
            ).mean()
            weight = self.alpha * self.temperature**2
            total = total + (1 - self.alpha) * supervised + weight * taught
        return total


def predictions(nets: list[Net], images: list[Images], plan: Plan) -> dict[tuple[int, int], Logits]:
    """The logits that the plan's losses need, each computed once.

    What a network learns on passes through it in one batch. Where it only teaches, it is asked in
    eval mode and without gradients.
    """
    found: dict[tuple[int, int], Logits] = {}
    asked = {lesson for lessons in plan.lessons for lesson in lessons}
    for i, net in enumerate(nets):
        learns = sorted({*plan.labels[i], *(k for _, k in plan.lessons[i])})
        logits = net(torch.cat([images[k] for k in learns])).chunk(len(learns))
        found |= {(i, k): z for k, z in zip(learns, logits, strict=True)}
        teaches = sorted(k for j, k in asked if j == i and k not in learns)
        if teaches:
            with evaluating(net), torch.no_grad():
                logits = net(torch.cat([images[k] for k in teaches])).chunk(len(teaches))
            found |= {(i, k): z for k, z in zip(teaches, logits, strict=True)}
    return found


DEFENSE = MAT
