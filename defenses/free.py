"""Free adversarial training (Shafahi et al. 2019, arXiv:1904.12843).

Each batch is replayed m times. One backward pass gives the gradient that updates the weights and
the one that moves the perturbation by a full step of ε, and the perturbation is carried over to
the next replay and the next batch. Compare runs by passes: an epoch costs m forward and backward
passes, so the paper divides the number of epochs by m.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.losses import cross_entropy
from bench.threats.geometry import GEOMETRY
from bench.training import Batch, Job, Run


@dataclass(frozen=True)
class Free:
    """Adversarial training with weights and perturbations updated by the same backward pass."""

    replays: int = field(default=8, metadata={"help": "Replays of each batch.", "least": 1})
    step_size: float = field(default=1.0, metadata={"help": "Size of a step, in epsilons."})

    recipes: ClassVar[dict[str, dict[str, Any]]] = {
        # Wong et al. 2020 (arXiv:2001.03994).
        "paper": {
            **{"arch": "preactresnet18", "epochs": 10, "lr": 0.04, "clip": 0.0},
            **{"schedule": "triangle"},
        }
    }

    def fit(self, job: Job) -> None:
        """Train, and save the checkpoints best and last."""
        net, threat = job.model(), job.threat
        geometry, carried = GEOMETRY[threat.norm], _Carried(job)
        run = Run(job, self, net, state={"carried": carried})
        for batch in run:
            delta = carried.perturbation(batch)
            for _ in range(self.replays):
                x = (batch.x + geometry.project(batch.x, delta, threat.eps)).requires_grad_()
                run.step(cross_entropy(net(x), batch.y).mean())
                gradient = x.grad
                assert gradient is not None
                step = self.step_size * threat.eps * geometry.steepest(gradient, x.detach())
                delta = geometry.project(batch.x, x.detach() - batch.x + step, threat.eps)
            carried.keep(batch, delta)


class _Carried(nn.Module):
    """The perturbation that is carried from batch to batch, of the batches of all devices."""

    delta: Tensor

    def __init__(self, job: Job) -> None:
        super().__init__()
        data = job.data
        count = min(job.batch_size, len(job.train))
        shape = (count, data.channels, *data.size)
        self.register_buffer("delta", torch.zeros(shape, device=job.fabric.device))
        self._fabric = job.fabric
        self._own = slice(job.fabric.global_rank, None, job.fabric.world_size)

    def perturbation(self, batch: Batch) -> Tensor:
        """The perturbation for a batch; all batches have the same shape."""
        own = self.delta[self._own].clone()
        assert own.shape == batch.x.shape
        return own

    def keep(self, batch: Batch, delta: Tensor) -> None:
        """Carry on; at the end of an epoch, when a run is saved, every device holds the whole."""
        self.delta.zero_()
        self.delta[self._own] = delta
        if batch.last:
            self.delta.copy_(torch.as_tensor(self._fabric.all_reduce(self.delta, reduce_op="sum")))
