"""The follower's response, as the leader of L2L predicts it.

L2L trains a classifier against a network that reads the image and the classifier's gradient there,
and writes the perturbation (arXiv:1811.01213). Its paper says that the same idea makes generative
adversarial imitation steadier. We could not obtain that part of it, so what follows is our own. The
policy π is the follower and h(s) the numbers of its head; its response to a reward r is a shift:

    u(s)  = ∇_h E_{a∼π(·|s)} r(s, a)         the leader's gradient at the follower's output
    h'(s) = h(s) + ε tanh g_ψ(s, h(s), u(s))     the response of the learned follower
    w     = π'(a|s) / π(a|s)                     the weight of a pair (s, a) of the round

    leader     f ← Adam on L(f, w),   through w as well, because u depends on f
    follower   ψ ← Adam on −E_π[w · Â],   Â the advantage under the reward of f

One step of each alternate, as in L2L. The policy itself is then trained by PPO, as in plain GAIL,
and ε bounds the shift much as PPO's clipping bounds the policy's step. `unrolled` replaces g_ψ by a
step of policy gradient on the last layer of the policy, with nothing to learn:

    h'(s) = h(s) + c · G z(s),   G = E_π[Â ∇_h log π(a|s) z(s)ᵀ]

where z are the features before the head (with a 1 for the bias), and c makes the shift's root mean
square ε. Both begin where GAIL is: g_ψ with the shift 0.
"""

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor, nn

SIZE = 0.2
"""ε in units of the head: logits, or standard deviations."""


class Response(nn.Module):
    """g_ψ: standardised states (n, d), numbers and gradient (n, k) -> shift (n, k) within ±size."""

    def __init__(self, states: int, numbers: int, size: float = SIZE, width: int = 64) -> None:
        super().__init__()
        self.size = size
        last = nn.Linear(width, numbers)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.body = nn.Sequential(nn.Linear(states + 2 * numbers, width), nn.Tanh(), last)

    def forward(
        self,
        states: Float[Tensor, "n d"],
        numbers: Float[Tensor, "n k"],
        gradient: Float[Tensor, "n k"],
    ) -> Float[Tensor, "n k"]:
        """The shift; the gradient is divided by its root mean square, a constant."""
        scale = gradient.detach().square().mean().sqrt().clamp_min(1e-8)
        shift: Tensor = self.body(torch.cat([states, numbers, gradient / scale], 1))
        return self.size * shift.tanh()


def unrolled(
    features: Float[Tensor, "n z"],
    score: Float[Tensor, "n k"],
    advantages: Float[Tensor, " n"],
    size: float = SIZE,
) -> Float[Tensor, "n k"]:
    """The shift by a step of policy gradient on the last layer, with root mean square `size`."""
    features = torch.cat([features, torch.ones_like(features[:, :1])], 1)
    gradient = (advantages[:, None] * score).T @ features / len(features)
    shift = features @ gradient.T
    return size * shift / shift.detach().square().mean().sqrt().clamp_min(1e-8)


@cache
def discounts(steps: int, decay: float) -> Float[Tensor, "h h"]:
    """decay^(l − t) at row t and column l ≥ t, else 0: what step l counts at step t."""
    powers = decay ** torch.arange(steps, dtype=torch.float64)
    rows = [torch.cat([torch.zeros(t), powers[: steps - t]]) for t in range(steps)]
    return torch.stack(rows).float()


def advantages(
    rewards: Float[Tensor, "h m"],
    values: Float[Tensor, "h+1 m"],
    gamma: float,
    lam: float,
) -> Float[Tensor, "h m"]:
    """Generalised advantage estimates (Schulman et al. 2016) of m episodes of h steps each.

    Â_t = Σ_l (γλ)^l δ_{t+l} with δ_t = r_t + γ V_{t+1} − V_t: linear in the rewards.
    """
    deltas = rewards + gamma * values[1:] - values[:-1]
    return discounts(len(rewards), gamma * lam) @ deltas


def standardised(values: Float[Tensor, " *n"]) -> Float[Tensor, " *n"]:
    """Values with mean 0 and deviation 1; both are constants for the gradient."""
    constant = values.detach()
    return (values - constant.mean()) / (constant.std() + 1e-8)
