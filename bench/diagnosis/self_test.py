"""A test of the checks themselves on this machine: a sound classifier of digits, and the same one
broken on purpose in three ways, each of which one check must name."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from bench.data import load
from bench.diagnosis.gradients import gradient_checks
from bench.diagnosis.preflight import preflight
from bench.diagnosis.subject import Subject
from bench.evaluation.repair import freeze
from bench.threats import Threat

EXAMPLES = 64
Change = Callable[[Tensor], Tensor]
BROKEN: dict[str, tuple[str, Change, Change]] = {
    "noise at every call": ("P4", lambda x: x + 0.05 * torch.randn_like(x), lambda z: z),
    "probabilities for logits": ("P6", lambda x: x, lambda z: z.softmax(1)),
    "images rounded to grey levels": ("P7", lambda x: (7 * x).round() / 7, lambda z: z),
}
"""What is wrong, the check that must fail, and what is done before and after the classifier."""


class Means(nn.Module):
    """Logits from the distances to the mean image of each class."""

    def __init__(
        self, means: Tensor, before: Change = lambda x: x, after: Change = lambda z: z
    ) -> None:
        """Means (k, c, h, w) in [0, 1]."""
        super().__init__()
        self.means, self.before, self.after = nn.Parameter(means.flatten(1)), before, after

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, c, h, w) -> logits (n, k)."""
        logits = self.before(x).flatten(1) @ self.means.T - self.means.square().sum(1) / 2
        return self.after(logits)


def self_test() -> Iterator[tuple[str, str, bool]]:
    """For each of the models its name, what the checks say of it, and whether they must."""
    data = load("digits")
    images, labels = data.train.floats(), data.train.labels
    means = torch.stack([images[labels == k].mean(0) for k in range(data.classes)])
    sound = sorted(_failing(Means(means)))
    said = f"fails {', '.join(sound)}, which it must not" if sound else "passes, as it must"
    yield "sound model", said, not sound
    for what, (id_, before, after) in BROKEN.items():
        found = id_ in _failing(Means(means, before, after))
        yield (
            what,
            f"fails {id_}, as it must" if found else f"passes {id_}, which it must not",
            found,
        )


def _failing(model: nn.Module) -> set[str]:
    """The checks of gates and gradients that a model fails."""
    split = load("digits").test.take(EXAMPLES)
    freeze(model.eval())
    checks = list(preflight(model, split.floats(), split.labels))
    if not any(check.verdict == "fail" for check in checks):
        subject = Subject.of(model, split.floats(), split.labels, Threat.parse("linf:0.1"))
        checks += gradient_checks(subject)
    return {check.id for check in checks if check.verdict == "fail"}
