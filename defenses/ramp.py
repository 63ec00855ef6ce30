"""RAMP (Jiang & Singh 2024, arXiv:2402.06827): logit pairing and gradient projection.

For the two threats q, r of the key trade-off, ℓ∞ and ℓ1:

    CE at the worse of x_q', x_r'  +  λ KL(p(x_q') ‖ p(x_r')), over examples that are right at x_q'

and once an epoch, layer by layer, part of what an epoch of natural training from the same weights
would have changed: w ← w + β max(cos(g_n, g_a), 0) g_n + (1 − β) g_a, where g_n and g_a are the
epoch's natural and adversarial changes.

Three departures from the authors' code. It attacks with APGD-10; this is PGD-10. Its network has
softplus; that of the recipe ReLU. It chooses the worse
point by the attack's loss, in eval mode, and passes the chosen points through the network a third
time; here the larger of the two losses in train mode counts, whose passes the pairing needs anyway.
"""

import copy
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.errors import CrossfireError
from bench.losses import cross_entropy, kl
from bench.training import Batch, Job, Run, adversarial_each
from bench.types import Logits
from defenses.e_at import extremes


@dataclass(frozen=True)
class RAMP:
    """Adversarial training that pairs the logits of two threats and projects gradients."""

    pairing: float = field(default=2.0, metadata={"help": "Lambda; 5 in the authors' script."})
    beta: float = field(
        default=0.5, metadata={"help": "Share of natural training's change.", "most": 1}
    )
    steps: int = field(default=10, metadata={"help": "PGD steps.", "least": 1})
    step_size: float = field(default=0.25, metadata={"help": "PGD step size, in epsilons."})

    default_threat: ClassVar[str] = "union"
    recipes: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            **{"arch": "preactresnet18", "epochs": 80, "lr": 0.05, "clip": 0.0},
            **{"schedule": "steps", "drops": (70.0,), "pairing": 5.0},
        }
    }

    def fit(self, job: Job) -> None:
        """Train, and save the checkpoints best and last.

        Raises:
            CrossfireError: there is a single threat, with which no logits can be paired.
        """
        if len(job.threats) == 1:
            raise CrossfireError("ramp is for several threats; choose them with --threat")
        net, threats = job.model(), extremes(job.threats)
        natural = job.place(copy.deepcopy(net.body), "natural", net.arch)
        before = copy.deepcopy(net.body)
        both = job.sgd(net, natural)
        run = Run(job, self, net, optimizer=both, state={"natural": natural, "before": before})
        for batch in run:
            if batch.step == 0:
                for other in (natural.body, before):
                    other.load_state_dict(net.body.state_dict())
            attacked = [(net, threats[0]), (net, threats[-1])]
            x_q, x_r = adversarial_each(attacked, batch, steps=self.steps, step_size=self.step_size)
            adversarial_loss = self.loss(net(x_q), net(x_r), batch)
            run.step(adversarial_loss + cross_entropy(natural(batch.x), batch.y).mean())
            if batch.last:
                project(net.body, before, natural.body, self.beta)

    def loss(self, at_q: Logits, at_r: Logits, batch: Batch) -> Tensor:
        """The mean cross-entropy at the worse of two points, and the pairing of their logits."""
        worse = torch.maximum(cross_entropy(at_q, batch.y), cross_entropy(at_r, batch.y))
        right = (at_q.argmax(1) == batch.y).float()
        pairs = (kl(at_q, at_r) * right).sum() / right.sum().clamp_min(1)
        return worse.mean() + self.pairing * pairs


@torch.no_grad()
def project(net: nn.Module, before: nn.Module, natural: nn.Module, beta: float) -> None:
    """Give `net` the combined change, tensor by tensor; counters stay as they are."""
    old, other = before.state_dict(), natural.state_dict()
    for name, value in net.state_dict().items():
        if value.dim() == 0 or not value.is_floating_point():
            continue
        g_a, g_n = value - old[name], other[name] - old[name]
        cosine = torch.nn.functional.cosine_similarity(g_n.flatten(), g_a.flatten(), dim=0)
        value.copy_(old[name] + beta * cosine.clamp_min(0) * g_n + (1 - beta) * g_a)
