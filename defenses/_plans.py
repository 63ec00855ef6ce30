"""Who learns what from whom: the plan of a run of `mat`, and the logits that it needs."""

from dataclasses import dataclass, replace
from typing import Literal

import torch

from bench.threats import Threat
from bench.training import Net, evaluating
from bench.types import Images, Logits

Labelled = Literal["own", "all"]
Whose = Literal["own", "peer", "both"]
Makers = Literal["generalist", "specialists", "both"]
Asked = Literal["nobody", "specialists", "generalist", "all"]


@dataclass(frozen=True)
class Plan:
    """Who learns what: `images` are made by a network under a threat, the rest names their places.

    `labels[i]` are the image sets on which network i learns the labels, `lessons[i]` the pairs of
    a teaching network and an image set.
    """

    images: list[tuple[int, Threat]]
    labels: list[list[int]]
    lessons: list[list[tuple[int, int]]]

    def without_lessons(self) -> "Plan":
        """The same labels, and nobody teaches."""
        return replace(self, lessons=[[] for _ in self.lessons])


def peers_plan(networks: int, threat: Threat, labels_on: Labelled, lessons_on: Whose) -> Plan:
    """One threat: each network makes its own examples, and learns from all others."""
    everyone = range(networks)

    def asked(i: int, j: int) -> list[int]:
        return sorted({"own": {i}, "peer": {j}, "both": {i, j}}[lessons_on])

    return Plan(
        images=[(i, threat) for i in everyone],
        labels=[[i] if labels_on == "own" else list(everyone) for i in everyone],
        lessons=[[(j, k) for j in everyone if j != i for k in asked(i, j)] for i in everyone],
    )


def classroom_plan(threats: tuple[Threat, ...], examples_by: Makers, ask: Asked) -> Plan:
    """Several threats: network 0 is the generalist, network p the specialist of threat p.

    Image set p − 1 is made by specialist p; sets made by the generalist come behind these.
    """
    count = len(threats)
    specialists = range(1, count + 1)
    images = list(zip(specialists, threats, strict=True))
    taught = [(p, p - 1) for p in specialists] if examples_by != "generalist" else []
    if examples_by != "specialists":
        images += [(0, threat) for threat in threats]
        taught += [(p, count + p - 1) for p in specialists]
    asked = {"nobody": [], "generalist": [0], "specialists": [*specialists]}
    asked["all"] = [0, *specialists]
    own = [[(q, p - 1) for q in asked[ask] if q != p] for p in specialists]
    return Plan(
        images=images,
        labels=[[k for _, k in taught], *([p - 1] for p in specialists)],
        lessons=[taught, *own],
    )


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
