"""The attacked model on its device, in the judge's arithmetic and in that of the attacks."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bench.compute.random_streams import seeded
from bench.data.splits import floats
from bench.errors import CrossfireError, reason
from bench.evaluation import gates
from bench.evaluation.engine import Engine
from bench.evaluation.judge import POLL, VOTES, Judge
from bench.evaluation.proposer import Proposer, proposer
from bench.evaluation.queue import Job, State
from bench.evaluation.repair import Inset, repaired
from bench.evaluation.settings import Settings
from bench.evaluation.suites import Stage
from bench.models.checkpoint import weights_sha256
from bench.threats import Threat
from bench.threats.geometry import Points
from leaderboard.schema import UNION_ONLY, Finding

SAMPLE = 16
"""Images on which the checks before the attacks query the model."""


@dataclass
class AttackedModel:
    """A model in eval mode, with the findings of its checks; `sample` (n, c, h, w) are a few images
    on which its fast form is compared with the original. Call `prepare` before anything else."""

    model: nn.Module
    sample: Points
    settings: Settings
    findings: Sequence[Finding]
    weights: str
    device: torch.device = field(init=False)
    capacity: int = field(init=False)
    judge: Judge = field(init=False)
    fast: Proposer = field(init=False)

    def prepare(self, device: torch.device) -> None:
        """Move the model to a device, and make its judge and its fast form there."""
        self.device = device
        self.model, self.sample = self.model.to(device), self.sample.to(device)
        self.capacity = self.settings.capacity_on(device.type)
        # On a CPU small batches are faster, because their activations fit into the caches.
        limit = 64 if device.type == "cpu" else max(self.capacity, 256)
        self.judge = Judge(self.model, limit=limit, votes=POLL if self.random else 1)
        precision = self.settings.precision
        if precision == "auto" and gates.misleading(self.findings):
            precision = "fp32"  # where gradients nearly vanish, bf16 would lose them
        self.fast = proposer(
            self.model,
            self.sample,
            precision=precision,
            compiled=self.settings.compiled,
            capacity=self.capacity,
            random=self.random,
        )
        if gates.clamped(self.findings):
            self.fast.network = Inset(self.fast.network)

    @property
    def random(self) -> bool:
        """Whether the model's outputs are random."""
        return any(finding.id == "P4" for finding in self.findings)

    def logits(self, images: Tensor) -> Float[Tensor, "n k"]:
        """The judge's logits of images (n, c, h, w), uint8 or float32 in [0, 1], on the CPU."""
        parts = torch.split(images, self.judge.limit)
        return torch.cat([self.judge.logits(floats(x).to(self.device)).cpu() for x in parts])

    def usually_right(self, images: Tensor, labels: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Flags, on the CPU: most of `VOTES` passes classify the image correctly."""
        parts = zip(*(torch.split(v, self.judge.limit) for v in (images, labels)), strict=True)
        with seeded(self.settings.seed, self.device):
            shares = [
                self.judge.errors(floats(x).to(self.device), y.to(self.device), VOTES).cpu()
                for x, y in parts
            ]
        return torch.cat(shares) < 0.5

    def engine(
        self,
        save: Callable[[State], None],
        show: Callable[[int, int, Job], None] = lambda done, total, job: None,
    ) -> Engine:
        """The engine that runs jobs on this model; `save` and `show` are its `save` and
        `progress`."""
        return Engine(
            propose=self.proposer,
            judge=self.judge,
            device=self.device,
            seed=self.settings.seed,
            capacity=self.capacity,
            save=save,
            progress=show,
        )

    def proposer(self, stage: Stage) -> Proposer:
        """The model as the attack of a stage queries it."""
        queried = self._repaired if stage.repair else self.fast
        return queried.averaging(stage.repeats, stage.blur, self.sample)

    @cached_property
    def _repaired(self) -> Proposer:
        probabilities = any(finding.id == "P6" for finding in self.findings)
        model = Inset(self.model) if gates.clamped(self.findings) else self.model
        network, dtype = repaired(model, self.sample, probabilities=probabilities)
        return Proposer(network, dtype, self.capacity)

    def check_unchanged(self) -> None:
        """P3: weights and buffers are those that were hashed.

        Raises:
            gates.Refusal: the model changed them.
        """
        if weights_sha256(self.model) != self.weights:
            message = "the model changes its own weights or buffers in eval mode; freeze them"
            gates.refuse([Finding("P3", "refuse", message, None)])

    @property
    def arithmetic(self) -> tuple[str, str]:
        """The device's name, and the arithmetic of the attacks on it."""
        precision = "bf16" if self.fast.dtype == torch.bfloat16 else "fp32"
        name = str(self.device)
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name(self.device)
        return name, precision

    def portable(self) -> "AttackedModel":
        """A copy on the CPU and not yet prepared, to be sent to a worker."""
        model = copy.deepcopy(self.model).cpu()
        return AttackedModel(model, self.sample.cpu(), self.settings, self.findings, self.weights)


def checked(
    model: nn.Module,
    images: Tensor,
    labels: Int[Tensor, " n"],
    threats: tuple[Threat, ...],
    settings: Settings,
) -> AttackedModel:
    """The model in eval mode and on its device, after checks of the model.

    Raises:
        gates.Refusal: a check forbids the evaluation.
    """
    device = choose_device(settings.device)
    model = model.to(device)
    gates.refuse(list(gates.mode(model)))  # before eval() would hide that it was forgotten
    model.eval()
    x, y = floats(images[:SAMPLE]).to(device), labels[:SAMPLE].to(device)
    findings = gates.preflight(model, x, y)
    queried = Inset(model) if gates.clamped(findings) else model
    for threat in threats:
        findings += gates.tangent(queried, x, y, threat)
    if settings.union_only:
        message = "examples that one threat broke were not attacked under the next"
        findings.append(Finding(UNION_ONLY, "info", message, None))
    attacked = AttackedModel(model, x, settings, findings, weights_sha256(model))
    attacked.prepare(device)
    return attacked


def choose_device(device: str | None) -> torch.device:
    """The device of that name; without a name, CUDA if available, else the CPU.

    Raises:
        CrossfireError: this machine has no such device.
    """
    try:
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise CrossfireError(f"no device '{device}' here ({reason(error)}); try cpu") from None
    return chosen
