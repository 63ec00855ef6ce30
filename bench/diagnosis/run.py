"""All checks of one model under one threat, in order."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from jaxtyping import Int
from torch import Tensor, nn

from bench.attacks.pgd import PGD
from bench.data import load
from bench.data.splits import floats
from bench.diagnosis.active import active_test
from bench.diagnosis.gradients import gradient_checks
from bench.diagnosis.optimisation import optimisation_checks
from bench.diagnosis.other_attacks import other_attack_checks, white_box
from bench.diagnosis.preflight import preflight
from bench.diagnosis.rules import RULES
from bench.diagnosis.subject import Effort, Subject, follow
from bench.diagnosis.surrogate import imitate
from bench.display import Progress
from bench.errors import CrossfireError
from bench.evaluation.attacked import choose_device
from bench.evaluation.repair import Inset, freeze
from bench.measurement import own_dataset
from bench.models.checkpoint import weights_sha256
from bench.models.sources import find
from bench.threats import Threat, budget_dataset, resolve
from leaderboard.diagnosis import Check, Diagnosis

FEWEST = 8
"""The fewest correctly classified images that the checks need."""
TRAINING = 16_000
"""The most training images that the surrogate learns from: about as many as it draws."""


@dataclass(frozen=True)
class Examination:
    """All checks; of the `correct` examples the white-box attack left `robust`; both are None
    if a gate forbade attacks."""

    checks: tuple[Check, ...]
    correct: int | None = None
    robust: int | None = None


def diagnose(
    model: nn.Module,
    images: Tensor,
    labels: Int[Tensor, " n"],
    threat: Threat,
    *,
    seed: int = 0,
    effort: Effort | None = None,
    training: Tensor | None = None,
    progress: Callable[[Check], None] = lambda check: None,
) -> Examination:
    """Check a model, in eval mode on the images' device, under one threat; freeze its weights.

    `images` (n, c, h, w) are float32 in [0, 1], `labels` (n,). With uint8 images `training` a
    surrogate is trained for transfer attacks. If a gate forbids attacks, the other checks are
    skipped.

    Raises:
        CrossfireError: the model classifies hardly any of the images correctly.
    """
    freeze(model)
    checks: list[Check] = []

    def note(found: Iterator[Check]) -> None:
        for check in found:
            checks.append(check)
            progress(check)

    note(preflight(model, images, labels))
    if any(check.verdict == "fail" and check.id != "P6" for check in checks):
        why = f"skipped: {checks[-1].id} forbids attacks, or makes their outcome meaningless"
        made = {check.id for check in checks}
        note(rule.skipped(why) for rule in RULES.values() if rule.id not in made)
        return Examination(_in_order(checks))
    subject = Subject.of(model, images, labels, threat, seed, effort)
    if len(subject) < FEWEST:
        raise CrossfireError(
            f"the model classifies {len(subject)} of {len(labels)} images correctly; at least "
            f"{FEWEST} are needed: raise --examples, or check the data set"
        )
    if any(check.id == "P12" and check.verdict == "warn" for check in checks):
        subject = replace(subject, model=Inset(model).eval())
    note(gradient_checks(subject))
    path = follow(subject, PGD(steps=subject.effort.steps, name="pgd-100"))
    note(optimisation_checks(subject, path))
    robust = ~path.found
    left = robust.nonzero().flatten()
    robust[left] = white_box(subject.some(left))
    surrogate = None if training is None else imitate(subject, training)
    note(other_attack_checks(subject, robust, surrogate))
    note(iter([active_test(subject)]))
    return Examination(_in_order(checks), len(subject), int(robust.sum()))


def _in_order(checks: list[Check]) -> tuple[Check, ...]:
    order = list(RULES)
    return tuple(sorted(checks, key=lambda check: order.index(check.id)))


def examine(
    spec: str,
    *,
    dataset: str | None = None,
    threat: str | None = None,
    examples: int = 96,
    seed: int = 0,
    device: str | None = None,
    arch: str | None = None,
    weights: Path | None = None,
    normalize: str | None = None,
    progress: Progress = lambda done, total, text: None,
) -> Diagnosis:
    """Find the model that a command names and check it on the first test images.

    Without a data set a model is checked on its own one (`bench.measurement.own_dataset`); without
    a threat, under the first one of the data set's budget set.

    Raises:
        CrossfireError: the model can't be found, or there is more than one threat.
    """
    began = time.monotonic()
    name = dataset or own_dataset(spec)
    data = load(name)
    loaded = find(spec, data, arch=arch, weights=weights, normalize=normalize)
    split, where = data.test.take(min(examples, len(data.test))), choose_device(device)
    threats = resolve(threat or "union", budget_dataset(name, split.shape))
    if threat is not None and len(threats) > 1:
        raise CrossfireError(f"'{threat}' is {len(threats)} threats; name one: {threats[0]}")
    done = 0

    def show(check: Check) -> None:
        nonlocal done
        done += 1
        progress(done, len(RULES), f"{loaded.name}: {check.name}")

    found = diagnose(
        loaded.model.to(where),
        floats(split.images).to(where),
        split.labels.to(where),
        threats[0],
        seed=seed,
        training=data.train.take(min(len(data.train), TRAINING)).images
        if len(data.train)
        else None,
        progress=show,
    )
    return Diagnosis(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        crossfire=version("crossfire-bench"),
        model=loaded.name,
        source=loaded.source,
        weights_sha256=weights_sha256(loaded.model),
        dataset=name,
        threat=str(threats[0]),
        examples=len(split),
        correct=found.correct,
        standing=found.robust,
        seed=seed,
        seconds=round(time.monotonic() - began, 1),
        checks=found.checks,
    )
