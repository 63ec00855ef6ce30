"""Selection: how a network does on the held-out split, and what it means when it does badly."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from bench import cpu
from bench.attacks.pgd import pgd
from bench.data import Split
from bench.threats import Threat
from bench.training.nets import Net, attacking

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

    def accuracies(self, net: Net) -> dict[str, float]:
        """Accuracy in [0, 1]: `clean`, `fgsm`, under PGD-10 of each threat by its name, `union`.

        `fgsm` is one full step for the first threat, which gives catastrophic overfitting away.
        """
        parts = [self._flags(net, start) for start in range(0, len(self), CHUNK)]
        return {key: torch.cat([p[key] for p in parts]).float().mean().item() for key in parts[0]}

    def _flags(self, net: Net, start: int) -> dict[str, Tensor]:
        """Whether the prediction stays right, for examples from `start` on; decided in float32."""
        indices = torch.arange(start, min(start + CHUNK, len(self)))
        part = self.split.select(indices)
        x, y = part.floats().to(self.device), part.labels.to(self.device)
        first = self.threats[0]
        attack = partial(pgd, net, x, y, indices=indices, steps=STEPS)
        with attacking(net):
            attacked = cpu.share([partial(attack, threat) for threat in self.threats], x.device)
            images = {"clean": x} | dict(zip(map(str, self.threats), attacked, strict=True))
            with torch.no_grad():
                flags = {key: net.body(image).argmax(1) == y for key, image in images.items()}
                union = torch.stack(list(flags.values())).all(0)
            single = pgd(net, x, y, first, steps=1, step_size=first.eps, random_start=False)
            with torch.no_grad():
                return flags | {"union": union, "fgsm": net.body(single).argmax(1) == y}


def diagnose(history: Sequence[dict[str, int | float]], classes: int) -> str | None:
    """What has gone wrong by the last epoch of `history`, in words; None if nothing has.

    Catastrophic overfitting (Wong et al. 2020, section 5): single-step accuracy stays up while
    PGD accuracy falls to nothing. Collapse: clean accuracy is that of guessing.
    """
    if len(history) < 3:
        return None
    now, best = history[-1], max(row["union"] for row in history)
    if best > 0.1 and now["union"] < best / 3 and now["fgsm"] > 2 * now["union"] + 0.1:
        return (
            f"catastrophic overfitting: PGD accuracy fell from {best:.0%} to {now['union']:.0%} "
            f"while single-step accuracy is {now['fgsm']:.0%}"
        )
    if now["clean"] < 1.2 / classes:
        return f"collapse: clean accuracy is {now['clean']:.0%}, that of guessing; lower --lr"
    return None
