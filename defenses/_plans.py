"""The plan of a run of `mat`: which network is trained on which images, by which teachers."""

from dataclasses import dataclass, replace
from typing import Literal

import torch

from bench.threats import Threat
from bench.training import Net, evaluating
from bench.types import Images, Logits

LabelsOn = Literal["own", "all"]
DistillOn = Literal["own", "peer", "both"]
ExamplesBy = Literal["generalist", "specialists", "both"]
LearnFrom = Literal["nobody", "specialists", "generalist", "all"]


@dataclass(frozen=True)
class Plan:
    """The image sets and losses of one step; networks and image sets are given by their indices.

    `images` holds for each image set the network that is attacked and the threat. `labels[i]` are
    the image sets on which network i is trained with labels, `distilled[i]` the pairs (teacher,
    image set) of its distillation.
    """

    images: list[tuple[int, Threat]]
    labels: list[list[int]]
    distilled: list[list[tuple[int, int]]]

    def without_distillation(self) -> "Plan":
        """The same labels, without distillation."""
        return replace(self, distilled=[[] for _ in self.distilled])


def one_threat_plan(
    networks: int, threat: Threat, labels_on: LabelsOn, distill_on: DistillOn
) -> Plan:
    """One threat: each network makes its own examples, and is taught by all others."""
    indices = range(networks)

    def image_sets(i: int, j: int) -> list[int]:
        return sorted({"own": {i}, "peer": {j}, "both": {i, j}}[distill_on])

    return Plan(
        images=[(i, threat) for i in indices],
        labels=[[i] if labels_on == "own" else list(indices) for i in indices],
        distilled=[[(j, k) for j in indices if j != i for k in image_sets(i, j)] for i in indices],
    )


def union_plan(threats: tuple[Threat, ...], examples_by: ExamplesBy, learn_from: LearnFrom) -> Plan:
    """Several threats: network 0 is the generalist, network p the specialist of threat p.

    Image set p − 1 is made by specialist p; the sets made by the generalist follow.
    """
    count = len(threats)
    specialists = range(1, count + 1)
    images = list(zip(specialists, threats, strict=True))
    generalist = [(p, p - 1) for p in specialists] if examples_by != "generalist" else []
    if examples_by != "specialists":
        images += [(0, threat) for threat in threats]
        generalist += [(p, count + p - 1) for p in specialists]
    teachers = {"nobody": [], "generalist": [0], "specialists": [*specialists]}
    teachers["all"] = [0, *specialists]
    specialist = [[(q, p - 1) for q in teachers[learn_from] if q != p] for p in specialists]
    return Plan(
        images=images,
        labels=[[k for _, k in generalist], *([p - 1] for p in specialists)],
        distilled=[generalist, *specialist],
    )


def predictions(nets: list[Net], images: list[Images], plan: Plan) -> dict[tuple[int, int], Logits]:
    """The logits that the plan's losses need, each computed once.

    The image sets on which a network is trained pass through it in one batch. Those on which it is
    only a teacher pass through it in eval mode and without gradients.
    """
    found: dict[tuple[int, int], Logits] = {}
    queries = {query for queries in plan.distilled for query in queries}
    for i, net in enumerate(nets):
        trained = sorted({*plan.labels[i], *(k for _, k in plan.distilled[i])})
        logits = net(torch.cat([images[k] for k in trained])).chunk(len(trained))
        found |= {(i, k): z for k, z in zip(trained, logits, strict=True)}
        queried = sorted(k for j, k in queries if j == i and k not in trained)
        if queried:
            with evaluating(net), torch.no_grad():
                logits = net(torch.cat([images[k] for k in queried])).chunk(len(queried))
            found |= {(i, k): z for k, z in zip(queried, logits, strict=True)}
    return found
