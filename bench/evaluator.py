"""The verdicts: which examples withstand every attack of every suite under every threat.

    outcome = evaluate(model, images, labels, threat="union", suites=("pgd-100",))
    outcome.accuracy("union")

Every column starts from the examples that the model classifies correctly, so that it can be
compared with published figures; the union is their AND, example by example. An adversarial example
found under one threat counts under every other whose budget it meets.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bench import audit, losses, suites
from bench.aftermath import alarms, credit, escalations
from bench.checkpoint import weights_sha256
from bench.cpu import keep_memory
from bench.data.splits import sha256
from bench.display import Progress
from bench.display import display as shown
from bench.engine import Engine
from bench.errors import CrossfireError, reason
from bench.files import sha256_bytes
from bench.journal import Journal
from bench.judge import Judge
from bench.outcome import Outcome, Pair
from bench.precision import Precision, Proposer, proposer
from bench.protocol import Protocol
from bench.repair import repaired
from bench.suites import Pass
from bench.threats import Threat, budget_home, guess_dataset, resolve
from bench.work import Alarm, Array, Column, Examples, Job, State
from leaderboard.schema import UNION_ONLY, Finding

SAMPLE = 16
"""Images on which the preflight checks look at the model."""
RIVALS = 9
"""Wrong classes that targeted attacks may aim at, those with the largest clean logits first."""
SUSPICIOUS = ("P4", "P6", "P7", "P10")
"""Findings after which a suite runs its escalation without waiting for an alarm."""
VOTES = 9
"""Passes whose majority decides for a random model."""


@dataclass(frozen=True)
class Settings:
    """How to evaluate.

    `threat` is `union`, a norm, or threats such as `linf:8/255,l2:0.5`; the first two take their
    budgets from the budget set of `dataset` (guessed from the images' shape when it isn't named).
    `capacity` is the batch size (found by itself). `union_only` skips examples that another threat
    has broken: the same union, sooner.
    """

    threat: str = "union"
    suites: tuple[str, ...] = ("pgd-100",)
    dataset: str | None = None
    budgets: str | None = None
    split: str = "test"
    seed: int = 0
    precision: Precision = "auto"
    compiled: bool | None = None
    device: str | None = None
    capacity: int | None = None
    union_only: bool = False


def evaluate(
    model: nn.Module,
    images: Tensor,
    labels: Int[Tensor, " n"],
    *,
    numbers: Int[Tensor, " n"] | None = None,
    journal: Path | None = None,
    display: str | None = None,
    **settings: Any,  # noqa: ANN401
) -> Outcome:
    """Attack a model on images (n, c, h, w), uint8 or float32 in [0, 1], with labels (n,).

    Further arguments are the fields of `Settings`. `numbers` are the examples' places in the data
    set: randomness belongs to them. In the folder `journal` the work goes on where a kill left it.
    `display` says how progress is shown, on stderr: `rich`, `plain`, `json` or `none`; by itself a
    bar in terminals and notebooks, else lines.

    Raises:
        audit.Refusal: the model or the images can't be measured honestly.
        CrossfireError: a threat, suite or budget set is unknown.
    """
    numbers = torch.arange(len(labels)) if numbers is None else numbers
    evaluation = Evaluation(model, images, labels, numbers, Settings(**settings))
    with shown(display) as progress, tempfile.TemporaryDirectory() as scratch:
        if journal is not None:
            return evaluation.run(Journal(journal, evaluation.key), progress)
        outcome = evaluation.run(Journal(Path(scratch), evaluation.key), progress)
        for column in outcome.columns.values():
            column.found = np.array(column.found)
    return outcome


class Evaluation:
    """One model on one set of examples: checked, hashed, and ready to run or to go on."""

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Int[Tensor, " n"],
        numbers: Int[Tensor, " n"],
        settings: Settings,
    ) -> None:
        """Check model and images, and classify the images as they are.

        Raises:
            audit.Refusal: a check forbids the measurement.
        """
        self.settings = settings
        keep_memory()
        self.device = place(settings.device)
        self.model = model.to(self.device)
        dataset = settings.dataset or guess_dataset(tuple(images.shape[1:]))
        home = budget_home(settings.dataset, tuple(images.shape[1:]))
        self.threats = resolve(settings.threat, home, settings.budgets)
        for finding in (
            f for part in torch.split(images, 256) for f in audit.image_range(floats(part))
        ):
            audit.refuse([finding])
        self.sample = floats(images[:SAMPLE]).to(self.device)
        y = labels[:SAMPLE].to(self.device)
        self.findings = audit.preflight(model, self.sample, y)
        for threat in self.threats:
            self.findings += audit.tangent(model, self.sample, y, threat)
        if settings.union_only:
            message = "examples that one threat broke were not attacked under the next"
            self.findings.append(Finding(UNION_ONLY, "info", message, None))
        model.eval()
        self.weights = weights_sha256(model)
        self.settle(self.device)
        self.logits = self._clean_logits(images)
        audit.refuse(list(audit.class_count(self.logits.shape[1], labels)))
        ranked = self.logits.scatter(1, labels[:, None], -torch.inf).argsort(1, descending=True)
        rivals = ranked[:, : min(RIVALS, self.logits.shape[1] - 1)]
        self.examples = Examples(images, labels, numbers, rivals)
        self.suites = self._suites()
        self.protocol = self._protocol(dataset)

    def settle(self, device: torch.device) -> None:
        """Move the model to a device, and make ready what asks it there."""
        self.device = device
        self.model, self.sample = self.model.to(device), self.sample.to(device)
        self.capacity = self.settings.capacity or (1024 if device.type == "cuda" else 128)
        random = any(finding.id == "P4" for finding in self.findings)
        votes = VOTES if random else 1
        # What a processor has in its caches, it need not fetch: there small batches are faster.
        limit = 64 if device.type == "cpu" else max(self.capacity, 256)
        self.judge = Judge(self.model, limit=limit, votes=votes)
        precision = self.settings.precision
        if precision == "auto" and self.suspicious:
            precision = "fp32"  # where gradients all but vanish, bf16 loses the rest of them
        self.fast = proposer(
            self.model,
            self.sample,
            precision=precision,
            compiled=self.settings.compiled,
            capacity=self.capacity,
        )

    @property
    def suspicious(self) -> bool:
        """Whether the checks before the attacks say that gradients may mislead."""
        return any(finding.id in SUSPICIOUS for finding in self.findings)

    def _misled(self, threat: str) -> bool:
        """Whether these checks speak of this threat: P10 names the one that it looked at."""
        return any(
            finding.id in SUSPICIOUS
            and (finding.id != "P10" or finding.message.startswith(f"{threat}: "))
            for finding in self.findings
        )

    @property
    def key(self) -> str:
        """Names this very evaluation: weights, examples, protocol and arithmetic."""
        parts = (
            self.weights,
            self.protocol.sha256,
            self.settings.precision,
            self.settings.compiled,
        )
        return sha256_bytes(repr(parts).encode())

    def run(self, journal: Journal, progress: Progress | None = None) -> Outcome:
        """Run every suite under every threat, going on from the journal's state.

        Raises:
            audit.Refusal: the model changed its own weights meanwhile.
        """
        columns = self.columns(journal)
        engine = self.engine(journal.save, progress)
        engine.run(self.jobs(), self.examples, columns, journal.load())
        return self.outcome(columns)

    @property
    def clean(self) -> Array:
        """Flags (n,): the image itself is classified correctly."""
        right = self.logits.argmax(1) == self.examples.labels
        return (right & self.logits.isfinite().all(1)).numpy()

    def columns(self, journal: Journal) -> list[Column]:
        """One column for each threat and suite, with everything still to be attacked."""
        shape = tuple(self.examples.images.shape)
        return [
            Column.of(self.clean, journal.found(str(i), shape)) for i in range(len(self.suites))
        ]

    def jobs(self) -> list[Job]:
        """Every pass of every suite under every threat, in order."""
        return [
            Job(
                column,
                number,
                work,
                Threat.parse(threat),
                self.settings.union_only,
                self._alarms(work, passes, threat),
            )
            for column, ((threat, _), passes) in enumerate(self.suites.items())
            for number, work in enumerate(passes)
        ]

    def engine(self, save: Callable[[State], None], progress: Progress | None = None) -> Engine:
        """What runs jobs on this evaluation's model."""

        def show(done: int, total: int, job: Job) -> None:
            if progress is not None:
                progress(done, total, f"{job.threat} {job.work.attack.name}")

        return Engine(
            propose=self._proposer,
            judge=self.judge,
            device=self.device,
            seed=self.settings.seed,
            capacity=self.capacity,
            save=save,
            progress=show,
        )

    def _alarms(
        self, work: Pass, passes: tuple[Pass, ...], threat: str
    ) -> tuple[Alarm, ...] | None:
        """The alarms that a pass waits for; None if it is run in any case."""
        if not work.after or (suites.CHECKS in work.after and self._misled(threat)):
            return None
        return tuple(
            (number, other.alarm)
            for number, other in enumerate(passes)
            if other.attack.name in work.after and other.alarm is not None
        )

    def _suites(self) -> dict[Pair, tuple[Pass, ...]]:
        classes = self.logits.shape[1]
        return {
            (str(threat), name): suites.get(name)(threat.norm, classes)
            for name in self.settings.suites
            for threat in self.threats
        }

    def _protocol(self, dataset: str) -> Protocol:
        images, labels = self.examples.images, self.examples.labels
        return Protocol(
            dataset=dataset,
            split=self.settings.split,
            data_sha256=sha256(images, labels),
            examples=len(labels),
            threats=tuple(map(str, self.threats)),
            suites=self.settings.suites,
            settings={"/".join(pair): suites.describe(work) for pair, work in self.suites.items()},
            seed=self.settings.seed,
            union_only=self.settings.union_only,
        )

    def _clean_logits(self, images: Tensor) -> Float[Tensor, "n k"]:
        parts = torch.split(images, self.judge.limit)
        return torch.cat([self.judge.logits(floats(x).to(self.device)).cpu() for x in parts])

    def _proposer(self, work: Pass) -> Proposer:
        asked = self.fast
        if work.repair:
            probabilities = any(finding.id == "P6" for finding in self.findings)
            network = repaired(self.model, probabilities=probabilities)
            asked = Proposer(network, torch.float64, self.capacity)
        return replace(asked, repeats=work.repeats, blur=work.blur)

    def check_unchanged(self) -> None:
        """P3: the weights are those that were hashed.

        Raises:
            audit.Refusal: the model changed them during the evaluation.
        """
        if weights_sha256(self.model) != self.weights:
            message = "the model changed its own weights during the evaluation; freeze them"
            audit.refuse([Finding("P3", "refuse", message, None)])

    @property
    def arithmetic(self) -> tuple[str, str]:
        """The device's name, and the arithmetic of the attacks on it."""
        precision = "bf16" if self.fast.dtype == torch.bfloat16 else "fp32"
        name = str(self.device)
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name(self.device)
        return name, precision

    def outcome(self, columns: list[Column]) -> Outcome:
        """What the attacked columns say.

        Raises:
            audit.Refusal: the model changed its own weights meanwhile.
        """
        self.check_unchanged()
        named = dict(zip(self.suites, columns, strict=True))
        findings = [
            *self.findings,
            *escalations(named, self.suites),
            *credit(named, self.examples),
            *alarms(named, self.suites),
        ]
        device, precision = self.arithmetic
        return Outcome(
            protocol=self.protocol,
            labels=self.examples.labels.numpy(),
            numbers=self.examples.numbers.numpy(),
            predictions=self.logits.argmax(1).numpy(),
            margins=-losses.margin(self.logits, self.examples.labels).numpy(),
            clean=self.clean,
            columns=named,
            attacks={
                pair: tuple(p.attack.name for p in work) for pair, work in self.suites.items()
            },
            findings=findings,
            classes=self.logits.shape[1],
            device=device,
            precision=precision,
            weights_sha256=self.weights,
        )


def place(device: str | None) -> torch.device:
    """The device of that name; without one, CUDA where there is any.

    Raises:
        CrossfireError: there is no such device here.
    """
    try:
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise CrossfireError(f"no device '{device}' here ({reason(error)}); try cpu") from None
    return chosen


def floats(images: Tensor) -> Float[Tensor, "n c h w"]:
    """Images as float32; uint8 becomes [0, 1]."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()
