"""The rules for a valid record; each is a function that yields messages about violations.

    V03  the evidence table has the record's columns and flags, and does not contradict itself
    V04  pixels and labels are those of the data set
    V05  the weights are those of the model
    V06  the protocol's hash is that of its settings
    V07  there is an adversarial example for every broken flag
    V08  each lies in the ball, in float64, at the distance in the table, and in the box, and breaks
         its example under every other threat of the suite whose budget it meets
    V09  the unperturbed images are classified as in the table, and the checks before the attacks
         open no flag that the record lacks
    V10  each adversarial example is misclassified; not applied to random models, whose other draws
         may classify it correctly
    V11  the table's passes add up to the record's

V01 (the record is well-formed, its union is the AND of its verdicts, its id is the hash of its
content) and V02 (the files of evidence have the hashes in the record) are applied first; the other
rules are skipped if one of them is violated.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from bench.errors import CrossfireError
from bench.evaluation.description import CODE, describe
from bench.evaluation.judge import allowed, distances
from bench.evaluation.protocol import VERSION, Protocol
from bench.evaluation.suites import Suite, get
from bench.plugins import specs
from bench.threats import Threat
from bench.verify.case import Case
from bench.verify.datasets import Missing
from bench.verify.model_rules import (
    adversarial_examples_are_misclassified,
    clean_predictions_match,
    weights_match,
)
from leaderboard.flags import unpack
from leaderboard.known import expected
from leaderboard.schema import Verdict
from leaderboard.store import column, columns

Rule = Callable[[Case], Iterator[str]]


def table_agrees(case: Case) -> Iterator[str]:
    """V03."""
    table, n = case.table, case.record.data.examples
    if sorted(table.columns) != sorted(columns(case.record)) or len(table) != n:
        yield "the evidence table has other rows or columns"
        return
    if (table["index"] != np.arange(n)).any():
        yield "the evidence table is not in the data set's order"
    clean = unpack(case.record.clean, n)
    right = (table["prediction"] == table["label"]).to_numpy()
    predictions = table["prediction"]
    known = predictions.between(0, case.record.data.classes - 1)
    if predictions.dtype.kind not in "iu" or not known.all():
        yield "the predictions in the table are no classes"
        return
    if (right != clean).any():
        yield f"{(right != clean).sum()} predictions in the table contradict the clean flags"
    for verdict in case.record.verdicts:
        robust, broken = _flags(case, verdict)
        if (robust != unpack(verdict.flags, n)).any():
            yield f"the table contradicts the flags of {verdict.threat} {verdict.suite}"
        for what in ("attack", "norm"):
            cells = table[column(verdict.threat, verdict.suite, what)]
            needed = broken & ~_pruned(case, verdict) if what == "norm" else broken
            if (cells.notna().to_numpy() != needed).any():
                yield f"{verdict.threat} {verdict.suite}: '{what}' does not fit the flags"


def data_match(case: Case) -> Iterator[str]:
    """V04."""
    data = case.record.data
    known = expected(data.name, data.split, data.examples)
    if known not in (None, data.sha256):
        yield f"the record's data are not the first {data.examples} examples of {data.name}"
    elif case.split.sha256() != case.record.data.sha256:
        yield f"the data set has hash {case.split.sha256()[:16]}, not the record's"
    elif (case.table["label"].to_numpy() != case.split.labels.numpy()).any():
        yield "labels in the table are not the data set's"


def protocol_hash_matches(case: Case) -> Iterator[str]:
    """V06; not applied to older protocol versions, whose settings are no longer known.

    Raises:
        Missing: the version is newer than this program, or a suite is not installed here as it
            was then.
    """
    record = case.record
    if record.protocol.version < VERSION:
        return
    if record.protocol.version > VERSION:
        raise Missing(f"protocol {record.protocol.version} is newer than this program")
    try:
        chosen = {name: _suite(case, name) for name in record.protocol.suites}
        settings = {
            f"{threat}/{name}": describe(suite(Threat.parse(threat).norm, record.data.classes))
            for threat in record.protocol.threats
            for name, suite in chosen.items()
        }
    except CrossfireError as error:
        raise Missing(str(error)) from error
    known = Protocol(
        dataset=record.data.name,
        split=record.data.split,
        data_sha256=record.data.sha256,
        examples=record.data.examples,
        threats=record.protocol.threats,
        suites=record.protocol.suites,
        settings=settings,
        seed=record.protocol.seed,
        union_only=record.union_only,
        version=record.protocol.version,
    )
    if record.protocol.sha256 == known.sha256:
        return
    if any(CODE in stage["attack"] for stages in settings.values() for stage in stages):
        raise Missing("the code of an attack that is not ours may have changed since")
    yield "the protocol's hash is not that of these threats, suites, data and seed"


def _suite(case: Case, name: str) -> Suite:
    """A suite of the record; the Python file of an attack runs only if the options name it.

    Raises:
        Missing: they don't.
        CrossfireError: there is no such suite here.
    """
    if specs.parse(name) and name not in case.options.suites:
        raise Missing(f"its attack would run a file; if you trust that: --suite {name}")
    return get(name)


def broken_flags_have_examples(case: Case) -> Iterator[str]:
    """V07."""
    for verdict in case.record.verdicts:
        _, broken = _flags(case, verdict)
        _, indices = case.adversarial(verdict)
        wanted = np.flatnonzero(broken & ~_pruned(case, verdict))
        if sorted(indices.tolist()) != wanted.tolist():
            yield (
                f"{verdict.threat} {verdict.suite}: the {len(indices)} adversarial examples do not "
                f"match the {len(wanted)} broken flags"
            )
    columns = [(_flags(case, v)[1], _pruned(case, v)) for v in case.record.verdicts]
    proven = np.logical_or.reduce([broken & ~pruned for broken, pruned in columns])
    for _, pruned in columns:
        if (pruned & ~proven).any():
            yield f"{(pruned & ~proven).sum()} examples were skipped that no attack had broken"


def perturbations_are_allowed(case: Case) -> Iterator[str]:
    """V08."""
    for verdict in case.record.verdicts:
        images, indices = case.adversarial(verdict)
        some = case.some(len(indices))
        images, indices = images[some], indices[some]
        name = f"{verdict.threat} {verdict.suite}"
        try:
            threat = Threat.parse(verdict.threat)
        except CrossfireError as error:
            yield f"{name}: {error}"
            continue
        far = distances(case.images(indices), images, threat)
        outside = far > allowed(threat)
        if outside.any():
            yield (
                f"{name}: {int(outside.sum())} of {len(far)} adversarial examples lie outside the "
                f"ball or the box, the farthest at {float(far.max()):.9g}"
            )
        norms = case.table[column(verdict.threat, verdict.suite, "norm")].to_numpy()
        recorded = norms[indices.numpy()]
        if not np.allclose(recorded, far.numpy(), rtol=1e-9, atol=1e-12):
            yield f"{name}: norms in the table are not those of the adversarial examples"
        yield from _contradictions(case, verdict, images, indices)
    kept = case.tensor("originals/indices")
    if not torch.equal(case.tensor("originals/images"), case.split.images[kept]):
        yield "the unperturbed images in the evidence are not the data set's"


def _contradictions(case: Case, verdict: Verdict, images: Tensor, indices: Tensor) -> Iterator[str]:
    """Examples that are called robust under another threat of the suite, whose budget the
    adversarial example meets; older protocols counted otherwise."""
    if case.record.protocol.version < VERSION:
        return
    for other in case.record.verdicts:
        if other.suite == verdict.suite and other.threat != verdict.threat:
            threat = Threat.parse(other.threat)
            meets = distances(case.images(indices), images, threat) <= allowed(threat)
            robust = unpack(other.flags, case.record.data.examples)[indices.numpy()]
            if count := int((meets.numpy() & robust).sum()):
                yield (
                    f"{other.threat} {verdict.suite}: {count} examples are called robust, which "
                    f"an adversarial example of {verdict.threat} breaks"
                )


def passes_add_up(case: Case) -> Iterator[str]:
    """V11."""
    for verdict in case.record.verdicts:
        spent = int(case.table[column(verdict.threat, verdict.suite, "passes")].sum())
        if spent != verdict.forward_passes + verdict.backward_passes:
            yield f"{verdict.threat} {verdict.suite}: the table's passes add up to {spent:,}"


RULES: dict[str, Rule] = {
    "V03": table_agrees,
    "V04": data_match,
    "V05": weights_match,
    "V06": protocol_hash_matches,
    "V07": broken_flags_have_examples,
    "V08": perturbations_are_allowed,
    "V09": clean_predictions_match,
    "V10": adversarial_examples_are_misclassified,
    "V11": passes_add_up,
}
"""All rules, in the order in which they are applied."""

DECISIVE = ("V03", "V04", "V05", "V07")
"""If one of these is violated, later rules cannot be applied."""

NEEDS_IMAGES = ("V07", "V08", "V10")
"""Rules about adversarial examples, which a record may leave out."""


def _flags(case: Case, verdict: Verdict) -> tuple[np.ndarray, np.ndarray]:
    """Flags (n,) of the robust examples, and of those classified correctly but broken, by the
    table."""
    robust = case.table[column(verdict.threat, verdict.suite, "robust")].to_numpy(dtype=bool)
    return robust, unpack(case.record.clean, len(robust)) & ~robust


def _pruned(case: Case, verdict: Verdict) -> np.ndarray:
    """Examples that weren't attacked because another threat had broken them."""
    attack = case.table[column(verdict.threat, verdict.suite, "attack")]
    pruned: np.ndarray = (attack == "pruned").fillna(False).to_numpy(dtype=bool)
    return pruned & case.record.union_only
