"""FAB-T with the gradient at the point that crossed the boundary, and with a new one after the step
back.

    python benchmarks/fab.py FOLDER [NETWORK ...]

The second needs one more query at each adversarial point. Compares the distances of their
adversarial examples after the same number of queries, and with twice as many for the second. FOLDER
has cifar10.npz and mnist.npz; the networks are those of breadth.py with split `choose`, each with
images that it classifies correctly and their largest wrong classes as targets.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from breadth import network, spec
from networks import SUBJECTS, register
from torch import Tensor, nn

from bench.attacks._hyperplane import toward
from bench.attacks.base import Attack, Response, Slots, query
from bench.attacks.fab import FAB
from bench.compute import random_streams
from bench.data import load
from bench.losses import margin
from bench.threats import Threat, budget_dataset, resolve
from bench.threats.geometry import GEOMETRY, lift, pick

IMAGES, TARGETS, QUERIES = 32, 3, 101
CLOSER = 0.999
"""A distance is less than another if it is less than this share of it."""


@dataclass(frozen=True)
class Fresh(FAB):
    """FAB with a query after each step back."""

    def start(self, slots: Slots, threat: Threat) -> Slots:
        """The image."""
        return slots.next(slots.x, slots.done, back=torch.zeros_like(slots.done))

    def step(self, slots: Slots, response: Response, threat: Threat) -> Slots:
        """Step back if the point is adversarial and not a step back itself; else cross the
        plane."""
        gradient, away = response.ascent, slots.point - slots.x
        back = (response.logits.argmax(1) != slots.y) & ~slots.memory["back"]
        at_point = response.loss.nan_to_num(0, 0, 0)
        at_image = at_point - (gradient * away).flatten(1).sum(1)
        reach, distance = toward(threat.norm, gradient), GEOMETRY[threat.norm].distance
        own, image = reach(slots.point, at_point), reach(slots.x, at_image)
        near_by, far_off = distance(own), distance(image)
        alpha = (near_by / (near_by + far_off).clamp_min(1e-12)).clamp_max(self.alpha)
        across = torch.lerp(away + self.eta * own, self.eta * image, lift(alpha, away))
        moved = pick(back, self.beta * away, across)
        return slots.next((slots.x + moved).clamp_(0, 1), slots.t >= self.steps, back=back)


def nearest(model: nn.Module, attack: Attack, slots: Slots, threat: Threat, queries: int) -> Tensor:
    """Distance (n,) of each slot's nearest adversarial example after a number of queries."""
    best = torch.full((len(slots),), torch.inf, dtype=torch.float64)
    slots = attack.start(slots, threat)
    for _ in range(queries):
        response = query(model, attack, slots)
        distance = GEOMETRY[threat.norm].distance(slots.point.double() - slots.x.double())
        wrong = margin(response.logits, slots.y) > 0
        best = torch.where(wrong, torch.minimum(best, distance), best)
        slots = attack.step(slots, response, threat)
    return best


def work(model: nn.Module, x: Tensor, y: Tensor) -> Slots:
    """A slot for each image that is classified correctly and each of its targets."""
    with torch.no_grad():
        logits = model(x)
    right = (logits.argmax(1) == y).nonzero().flatten()[:IMAGES]
    x, y, logits = x[right], y[right], logits[right]
    target_classes = logits.scatter(1, y[:, None], -torch.inf).topk(TARGETS).indices.flatten()
    x, y = x.repeat_interleave(TARGETS, 0), y.repeat_interleave(TARGETS)
    return Slots.fresh(x, y, target_classes, random_streams.keys(0, torch.arange(len(x)), "fab"))


def compare(model: nn.Module, slots: Slots, threat: Threat) -> list[str]:
    """How often each is nearer, the median ratio of distances, and what each breaks in the
    budget."""

    def run(attack: Attack, queries: int) -> Tensor:
        return nearest(model, attack, slots, threat, queries).view(-1, TARGETS).amin(1)

    own, *others = run(FAB(), QUERIES), run(Fresh(), QUERIES), run(Fresh(), 2 * QUERIES)
    cells = [str(len(own)), str(int((own <= threat.eps).sum()))]
    for other in others:
        nearer = int((own < CLOSER * other).sum()), int((other < CLOSER * own).sum())
        ratio = float((other / own)[own.isfinite() & other.isfinite()].median())
        broken = int((other <= threat.eps).sum())
        cells += [str(broken), f"{nearer[0]} : {nearer[1]}", f"{ratio:.4f}"]
    return cells


def main(folder: Path, *names: str) -> None:
    """Print a row for each network, of all or of those named, and each norm."""
    register()
    print("network | threat | images | broken: stale", end=" | ")
    print("fresh | nearer, stale : fresh | fresh / stale", end=" | ")
    print("twice fresh | nearer, stale : twice | twice / stale")
    chosen = [subject for subject in SUBJECTS if subject.split == "choose"]
    for subject in (subject for subject in chosen if not names or subject.name in names):
        model = network(subject).requires_grad_(False)
        split = load(spec(subject.dataset, folder)).test.take(10 * IMAGES)
        slots = work(model, split.floats(), split.labels)
        for threat in resolve("union", budget_dataset(subject.dataset, tuple(slots.x.shape[1:]))):
            print(subject.name, threat, *compare(model, slots, threat), sep=" | ", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
