"""Who learns what from whom: the plan of a run of `mat`, and the logits that it needs."""

from collections import ChainMap
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch

from bench import cpu
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
    eval mode and without gradients. On a processor several networks are asked at the same time.
    """
    asked = {lesson for lessons in plan.lessons for lesson in lessons}

    def logits_of(i: int, net: Net) -> dict[tuple[int, int], Logits]:
        learns = sorted({*plan.labels[i], *(k for _, k in plan.lessons[i])})
        teaches = sorted(k for j, k in asked if j == i and k not in learns)
        found = zip(learns, _in_one_batch(net, images, learns), strict=True)
        with evaluating(net), torch.no_grad():
            further = zip(teaches, _in_one_batch(net, images, teaches), strict=True)
        return {(i, k): z for k, z in (*found, *further)}

    works = [partial(logits_of, i, net) for i, net in enumerate(nets)]
    return dict(ChainMap(*cpu.share(works, images[0].device)))


def _in_one_batch(net: Net, images: list[Images], sets: list[int]) -> tuple[Logits, ...]:
    return net(torch.cat([images[k] for k in sets])).chunk(len(sets)) if sets else ()
