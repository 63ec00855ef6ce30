"""Selection: accuracies on the held-out split, and the detection of overfitting and collapse."""

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
"""Further metrics of held-out examples by name, from the network in eval mode, the labels, and the
images: `clean`, and after PGD-10 under each threat by its name."""

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

    def sha256(self) -> str:
        """The hash of the examples, in hexadecimal."""
        return self.split.take(len(self)).sha256()

    def accuracies(self, net: Net, measure: Measure | None = None) -> dict[str, float]:
        """Accuracy in [0, 1]: `clean`, `fgsm`, under PGD-10 of each threat by its name, `union`.

        `fgsm` is one full step under the first threat, which shows catastrophic overfitting. The
        metrics of `measure` follow, as means over chunks of `CHUNK` examples.
        """
        chunks = [self._chunk(net, start, measure) for start in range(0, len(self), CHUNK)]
        flags, more = zip(*chunks, strict=True)
        found = {key: torch.cat([f[key] for f in flags]).float().mean().item() for key in flags[0]}
        sizes = [len(f["clean"]) for f in flags]
        return found | {
            key: sum(n * m[key] for n, m in zip(sizes, more, strict=True)) / len(self)
            for key in more[0]
        }

    def _chunk(
        self, net: Net, start: int, measure: Measure | None
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Whether predictions are correct, in float32, for the chunk of examples that begins at
        `start`; and the metrics of `measure`."""
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
    """Catastrophic overfitting or collapse in the last epoch of `history`, in words; else None.

    Catastrophic overfitting (Wong et al. 2020, section 5): PGD accuracy falls towards zero while
    accuracy under a weaker attack stays high: a single step, or the learned `attacker` of the
    training. Collapse: clean accuracy is that of guessing, after an epoch clearly above it;
    a slow start is none.
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
    learned = max(row["clean"] for row in history)
    if now["clean"] < 1.2 / classes and learned >= min(2 / classes, 0.75):
        return (
            f"collapse: clean accuracy fell from {learned:.0%} to {now['clean']:.0%}, that of "
            "guessing; lower --lr"
        )
    return None
