"""Selection: how a network does on the held-out split, and what it means when it does badly."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from bench.attacks.pgd import pgd
from bench.compute import processor
from bench.data import Split
from bench.threats import Threat
from bench.training.nets import Net, attacking
from bench.types import Images, Labels

Measure = Callable[[Net, Labels, Mapping[str, Images]], dict[str, float]]
"""From a network in eval mode, labels and images, `clean` and by the name of the threat under which
PGD-10 made them: what else to say of these examples, by its name."""

EXAMPLES = 1000
CHUNK = 250
STEPS = 10


@dataclass(frozen=True)
class Heldout:
    """The first held-out examples, at most `EXAMPLES`, on the device that trains."""

    split: Split
    threats: tuple[Threat, ...]
    device: torch.device

    def __len__(self) -> int:
        return min(len(self.split), EXAMPLES)

    def accuracies(self, net: Net, measure: Measure | None = None) -> dict[str, float]:
        """Accuracy in [0, 1]: `clean`, `fgsm`, under PGD-10 of each threat by its name, `union`.

        `fgsm` is one full step for the first threat, which gives catastrophic overfitting away.
        What `measure` finds comes behind these, as its mean over pieces of `CHUNK` examples.
        """
        pieces = [self._piece(net, start, measure) for start in range(0, len(self), CHUNK)]
        flags, more = zip(*pieces, strict=True)
        found = {key: torch.cat([f[key] for f in flags]).float().mean().item() for key in flags[0]}
        sizes = [len(f["clean"]) for f in flags]
        return found | {
            key: sum(n * m[key] for n, m in zip(sizes, more, strict=True)) / len(self)
            for key in more[0]
        }

    def _piece(
        self, net: Net, start: int, measure: Measure | None
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Whether predictions stay right, for examples from `start` on, decided in float32; and
        what `measure` finds."""
        indices = torch.arange(start, min(start + CHUNK, len(self)))
        part = self.split.select(indices)
        x, y = part.floats().to(self.device), part.labels.to(self.device)
        first = self.threats[0]
        attack = partial(pgd, net, x, y, indices=indices, steps=STEPS)
        with attacking(net):
            attacked = processor.in_parallel(
                [partial(attack, threat) for threat in self.threats], x.device
            )
            images = {"clean": x} | dict(zip(map(str, self.threats), attacked, strict=True))
            with torch.no_grad():
                flags = {key: net.body(image).argmax(1) == y for key, image in images.items()}
                union = torch.stack(list(flags.values())).all(0)
            single = pgd(net, x, y, first, steps=1, step_size=first.eps, random_start=False)
            with torch.no_grad():
                flags |= {"union": union, "fgsm": net.body(single).argmax(1) == y}
            return flags, measure(net, y, images) if measure else {}


def diagnose(history: Sequence[dict[str, int | float]], classes: int) -> str | None:
    """What has gone wrong by the last epoch of `history`, in words; None if nothing has.

    Catastrophic overfitting (Wong et al. 2020, section 5): PGD accuracy falls to nothing while
    accuracy against what is weaker stays up: a single step, or the `attacker` that a network is
    trained with. Collapse: clean accuracy is that of guessing.
    """
    if len(history) < 3:
        return None
    now, best = history[-1], max(row["union"] for row in history)
    weaker = {"single-step accuracy": now["fgsm"]}
    if "attacker" in now:
        weaker["accuracy against the learned attacker"] = now["attacker"]
    name = max(weaker, key=weaker.__getitem__)
    if best > 0.1 and now["union"] < best / 3 and weaker[name] > 2 * now["union"] + 0.1:
        return (
            f"catastrophic overfitting: PGD accuracy fell from {best:.0%} to {now['union']:.0%} "
            f"while {name} is {weaker[name]:.0%}"
        )
    if now["clean"] < 1.2 / classes:
        return f"collapse: clean accuracy is {now['clean']:.0%}, that of guessing; lower --lr"
    return None
