"""The leader: a discriminator between the expert's (state, action) pairs and the policy's.

D = σ(f) is the probability that a pair is the expert's. Its loss is the cross entropy, and the
reward that the policy gets is −log(1 − D) (Ho & Ermon 2016, arXiv:1606.03476):

    L(f, w) = E_expert[−log D] + E_π[w · (−log(1 − D))],    w = 1 in GAIL

The gradient penalty is 10 · E[(‖∇f‖ − 1)²] between pairs of both (Gulrajani et al. 2017,
arXiv:1704.00028; for imitation Kostrikov et al. 2019, arXiv:1809.02925).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

PENALTY = 10.0


class Discriminator(nn.Module):
    """A logit for each pair: positive where it is rather the expert's.

    States are standardised by the expert's mean and deviation (d,).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        mean: Float[Tensor, " d"],
        deviation: Float[Tensor, " d"],
        actions: int,
        width: int = 64,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.body = nn.Sequential(
            nn.Linear(len(mean) + actions, width),
            nn.Tanh(),
            nn.Linear(width, width),
            nn.Tanh(),
            nn.Linear(width, 1),
        )

    def standard(self, states: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """States in units of the expert's deviation around its mean."""
        return (states - self.mean) / self.deviation

    def forward(
        self, states: Float[Tensor, "n d"], actions: Float[Tensor, "n k"]
    ) -> Float[Tensor, " n"]:
        """The logit f of each pair of a state and an encoded action."""
        logits: Tensor = self.body(torch.cat([self.standard(states), actions], 1))
        return logits[:, 0]

    def reward(
        self, states: Float[Tensor, "n d"], actions: Float[Tensor, "n k"]
    ) -> Float[Tensor, " n"]:
        """−log(1 − D), which is never negative."""
        return softplus(self(states, actions))


def leader_loss(
    expert: Float[Tensor, " n"],
    policy: Float[Tensor, " m"],
    weights: Float[Tensor, " m"] | None = None,
) -> Float[Tensor, ""]:
    """L from the logits of the expert's and of the policy's pairs."""
    policy_term = softplus(policy)
    return (
        softplus(-expert).mean()
        + (policy_term if weights is None else weights * policy_term).mean()
    )


def gradient_penalty(
    net: Discriminator,
    expert: tuple[Float[Tensor, "n d"], Float[Tensor, "n k"]],
    policy: tuple[Float[Tensor, "n d"], Float[Tensor, "n k"]],
    mix: Float[Tensor, "n 1"],
) -> Float[Tensor, ""]:
    """10 · E[(‖∇f‖ − 1)²] at mix · expert + (1 − mix) · policy, over states as f sees them."""
    states = mix * net.standard(expert[0]) + (1 - mix) * net.standard(policy[0])
    pairs = torch.cat([states, mix * expert[1] + (1 - mix) * policy[1]], 1).requires_grad_()
    (gradient,) = torch.autograd.grad(net.body(pairs).sum(), pairs, create_graph=True)
    penalty: Tensor = PENALTY * (gradient.norm(dim=1) - 1).square().mean()
    return penalty
