"""The evaluator: which examples are robust to every attack of every suite under every threat.

    outcome = evaluate(model, images, labels, threat="union", suites=("pgd-100",))
    outcome.accuracy("union")

Every column starts from the examples that the model classifies correctly, so that it can be
compared with published figures; the union is the AND of the columns, example by example. An
adversarial example found under one threat counts, for the suite that found it, under every other
whose budget it meets.
"""

import tempfile
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bench import losses
from bench.compute.processor import keep_memory
from bench.compute.random_streams import seeded
from bench.data.splits import sha256
from bench.display import Progress, shown
from bench.evaluation import gates, inputs, suites
from bench.evaluation.attacked import checked, choose_device
from bench.evaluation.description import describe
from bench.evaluation.findings import alarms, credit, escalations
from bench.evaluation.journal import Journal
from bench.evaluation.judge import VOTES
from bench.evaluation.outcome import Outcome, Pair
from bench.evaluation.protocol import Protocol
from bench.evaluation.queue import (
    Alarm,
    Array,
    Column,
    Examples,
    Job,
    State,
    wrong_classes,
)
from bench.evaluation.settings import Settings
from bench.evaluation.suites import Stage
from bench.files import sha256_bytes
from bench.models.modes import attackable
from bench.models.sources import fit
from bench.threats import Threat, budget_dataset, guess_dataset, resolve
from bench.types import Images, Labels

TARGETS = 9
"""The most target classes of a targeted attack: the wrong classes with the largest clean logits."""


def evaluate(
    model: nn.Module,
    images: Tensor,
    labels: Int[Tensor, " n"],
    *,
    numbers: Int[Tensor, " n"] | None = None,
    normalize: str | None = None,
    journal: Path | str | None = None,
    display: str | None = None,
    **settings: Any,  # noqa: ANN401
) -> Outcome:
    """Attack a model on images (n, c, h, w), uint8 or float32 in [0, 1], with labels (n,) from 0.

    Further arguments are the fields of `Settings`. `numbers` are the examples' positions in the
    data set, which key the random numbers. For a model that was trained on normalised images,
    `normalize` is `cifar10`, `cifar100`, `imagenet` or a text MEAN,STD. With a folder `journal`, an
    evaluation that was killed is resumed; nothing is left there at the end. `display` says how
    progress is shown on stderr: `rich`, `plain`, `json` or `none`; the default is a bar in
    terminals and notebooks, else lines. The model keeps its mode, its weights and its device, and
    torch's generators keep their state.

    Raises:
        gates.Refusal: a check of the model or the images forbids the evaluation.
        CrossfireError: images, labels or a setting are not valid, or the model's clean accuracy
            shows that it was trained on another range; the message says what to give.
    """
    inputs.check_model(model)
    device = choose_device(settings.get("device"))
    with attackable(model), seeded(0, device):
        normalised = inputs.normalised(model, normalize, images)
        evaluation = Evaluation(normalised, images, labels, numbers, Settings(**settings))
        option = 'normalize="{}"'
        fit.check_range("the model", normalised, model, *evaluation.few(), normalize, option)
        with (
            shown(display) as progress,
            tempfile.TemporaryDirectory() as scratch,
            Journal(Path(journal or scratch), evaluation.key).alone() as state,
        ):
            outcome = evaluation.run(state, progress)
            for column in outcome.columns.values():
                column.found = np.array(column.found)
            state.close()
    return outcome


class Evaluation:
    """One model on one set of examples: checked, hashed, and ready to run or to resume."""

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Int[Tensor, " n"],
        numbers: Int[Tensor, " n"] | None,
        settings: Settings,
    ) -> None:
        """Check model and images, and classify the unperturbed images.

        Raises:
            gates.Refusal: a check forbids the evaluation.
            CrossfireError: the model is no module, or images, labels or numbers are not valid.
        """
        keep_memory()
        inputs.check_model(model)
        images = inputs.in_range(inputs.as_images(images))
        labels = inputs.as_labels(labels, images)
        given = torch.arange(len(images)) if numbers is None else numbers
        numbers = inputs.as_numbers(given, images)
        self.settings = settings
        shape = tuple(images.shape[1:])
        named = budget_dataset(settings.dataset, shape)
        self.threats = resolve(str(settings.threat), named, settings.budgets)
        with seeded(settings.seed, choose_device(settings.device)):
            self.attacked = checked(model, images, labels, self.threats, settings)
            self.logits = self.attacked.logits(images)
        self.attacked.check_unchanged()
        gates.refuse(list(gates.class_count(self.logits.shape[1], labels)))
        gates.refuse(list(gates.finite(self.logits)))
        self.examples = Examples(
            images, labels, numbers, wrong_classes(self.logits, labels, TARGETS)
        )
        chosen = {suites.name_of(suite): suites.get(suite) for suite in settings.suites}
        self.suites: dict[Pair, tuple[Stage, ...]] = {
            (str(threat), name): suite(threat.norm, self.logits.shape[1])
            for name, suite in chosen.items()
            for threat in self.threats
        }
        self.protocol = self._protocol(settings.dataset or guess_dataset(shape))

    def _protocol(self, dataset: str) -> Protocol:
        images, labels = self.examples.images, self.examples.labels
        return Protocol(
            dataset=dataset,
            split=self.settings.split,
            data_sha256=sha256(images, labels),
            examples=len(labels),
            threats=tuple(map(str, self.threats)),
            suites=tuple(map(suites.name_of, self.settings.suites)),
            settings={"/".join(pair): describe(stages) for pair, stages in self.suites.items()},
            seed=self.settings.seed,
            union_only=self.settings.union_only,
        )

    @property
    def key(self) -> str:
        """Identifies this evaluation: the hash of weights, clean predictions, protocol and
        arithmetic. Predictions tell models apart whose code differs and not their weights; those of
        a random model do not, and how many of them decide stands in their place."""
        predictions = VOTES if self.attacked.random else self.predictions.tolist()
        parts = (
            self.attacked.weights,
            predictions,
            self.protocol.sha256,
            self.attacked.arithmetic[1],
            self.settings.compiled,
        )
        return sha256_bytes(repr(parts).encode())

    def few(self) -> tuple[Images, Labels]:
        """The first images, in [0, 1], and their labels, on the model's device."""
        rows, device = torch.arange(min(fit.SAMPLE, len(self.examples))), self.attacked.device
        return self.examples.floats(rows, device), self.examples.labels[rows].to(device)

    @cached_property
    def clean(self) -> Array:
        """Flags (n,): the image itself is classified correctly (by a random model: usually)."""
        if self.attacked.random:
            return self.attacked.usually_right(self.examples.images, self.examples.labels).numpy()
        right = self.logits.argmax(1) == self.examples.labels
        return (right & self.logits.isfinite().all(1)).numpy()

    @property
    def predictions(self) -> Array:
        """Classes (n,): of a random model the label where that is usually right, else another."""
        if self.attacked.random:
            return np.where(self.clean, self.examples.labels, self.examples.target_classes[:, 0])
        return self.logits.argmax(1).numpy()

    @property
    def margins(self) -> Float[Tensor, " n"]:
        """How far the label's logit is above the largest other one."""
        return -losses.margin(self.logits, self.examples.labels)

    def run(self, journal: Journal, progress: Progress | None = None) -> Outcome:
        """Run every suite under every threat, resuming from the journal's state.

        Raises:
            gates.Refusal: the model changed its own weights meanwhile.
        """

        def show(done: int, total: int, job: Job) -> None:
            if progress is not None:
                progress(done, total, f"{job.threat} {job.stage.attack.name}")

        columns = self.columns(journal)
        engine = self.attacked.engine(partial(self.save, journal), show)
        engine.run(self.jobs(), self.examples, columns, self.load(journal))
        return self.outcome(columns)

    def save(self, journal: Journal, state: State) -> None:
        """Replace the journal's state."""
        journal.save(state | {"margins": self.margins})

    def load(self, journal: Journal) -> State:
        """The journal's state; empty if there is none, or if other margins say that it is of other
        code with the same weights and clean predictions."""
        state = journal.load()
        same = "margins" in state and (self.attacked.random or self.has_margins(state["margins"]))
        return state if same else {}

    def has_margins(self, others: Float[Tensor, " n"]) -> bool:
        """Whether clean margins are this model's, up to rounding: code that isn't part of the
        weights may have changed. Those of random models differ anyway."""
        return bool(((self.margins - others).abs() <= 1e-3 * self.margins.abs().max()).all())

    def columns(self, journal: Journal) -> list[Column]:
        """One new column for each threat and suite."""
        shape = tuple(self.examples.images.shape)
        return [
            Column.of(self.clean, journal.found(str(i), shape)) for i in range(len(self.suites))
        ]

    def jobs(self) -> list[Job]:
        """Every stage of every suite under every threat, in order."""
        return [
            Job(
                column,
                number,
                stage,
                Threat.parse(threat),
                self.settings.union_only,
                self._alarms(stage, stages, threat),
            )
            for column, ((threat, _), stages) in enumerate(self.suites.items())
            for number, stage in enumerate(stages)
        ]

    def _alarms(
        self, stage: Stage, stages: tuple[Stage, ...], threat: str
    ) -> tuple[Alarm, ...] | None:
        """The alarms that a stage waits for; None if it always runs."""
        misleading = suites.CHECKS in stage.after and gates.misleading(
            self.attacked.findings, threat
        )
        if misleading or not stage.after:
            return None
        return tuple(
            (number, other.alarm)
            for number, other in enumerate(stages)
            if other.attack.name in stage.after and other.alarm is not None
        )

    def outcome(self, columns: list[Column]) -> Outcome:
        """The outcome, with the findings that follow from the columns.

        Raises:
            gates.Refusal: the model changed its own weights meanwhile.
        """
        self.attacked.check_unchanged()
        named = dict(zip(self.suites, columns, strict=True))
        findings = [
            *self.attacked.findings,
            *escalations(named, self.suites),
            *credit(named, self.examples),
            *alarms(named, self.suites),
        ]
        device, precision = self.attacked.arithmetic
        return Outcome(
            protocol=self.protocol,
            labels=self.examples.labels.numpy(),
            numbers=self.examples.numbers.numpy(),
            predictions=self.predictions,
            margins=self.margins.numpy(),
            clean=self.clean,
            columns=named,
            attacks={
                pair: tuple(stage.attack.name for stage in stages)
                for pair, stages in self.suites.items()
            },
            findings=findings,
            classes=self.logits.shape[1],
            device=device,
            precision=precision,
            weights_sha256=self.attacked.weights,
        )
