"""Chunks attacked in any order give the same flags as one process."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import cluster
from bench.cluster.plan import Plan
from bench.cluster.pool import connected
from bench.cluster.worker import attack
from bench.errors import CrossfireError
from bench.evaluation.evaluator import Evaluation
from bench.evaluation.journal import Journal
from bench.evaluation.outcome import Outcome
from bench.evaluation.settings import Settings
from tests.toy import images, linear_model

SHAPE = (1, 6, 6)


def evaluation(**settings: object) -> Evaluation:
    model, x = linear_model(3, SHAPE, 4), images(5, 24, SHAPE)
    labels = model(x).argmax(1)
    labels[::10] = (labels[::10] + 1) % 4
    chosen = {"threat": "linf:0.05,l2:0.3", "precision": "fp32", "dataset": "toy"} | settings
    return Evaluation(model, x, labels, torch.arange(24), Settings(**chosen))


def alone(work: Evaluation, folder: Path) -> Outcome:
    return work.run(Journal(folder / "alone", work.key))


def in_chunks(
    work: Evaluation, journal: Journal, size: int, stop: int | None = None
) -> Outcome | None:
    """Attack all chunks in this process in reverse order; `stop` after so many chunks."""
    plan = Plan(work, work.columns(journal), journal.load())
    light, count = work.attacked.portable(), 0
    while not plan.finished:
        given = list(iter(lambda: plan.next(size), None))
        for chunk in reversed(given):
            if count == stop:
                journal.save(plan.state())
                return None
            result = attack(str(id(light)), lambda: light, chunk.job, chunk.examples, "cpu")
            plan.merge(chunk, result)
            count += 1
    assert plan.done == plan.total
    return work.outcome(plan.columns)


def assert_same(one: Outcome, other: Outcome) -> None:
    assert one.columns.keys() == other.columns.keys()
    for pair, column in one.columns.items():
        for name in ("robust", "by"):
            expected, got = getattr(column, name), getattr(other.columns[pair], name)
            np.testing.assert_array_equal(got, expected, err_msg=f"{pair} {name}")
        broken = column.by >= 0
        assert broken.any()
        np.testing.assert_allclose(
            other.columns[pair].found[broken], column.found[broken], atol=1e-6
        )
        assert other.columns[pair].forward.sum() == column.forward.sum()


@pytest.mark.parametrize(("size", "union_only"), [(7, False), (9, True)])
def test_chunks_of_any_size_in_any_order_give_the_same_flags(
    tmp_path: Path, size: int, union_only: bool
) -> None:
    work = evaluation(union_only=union_only)
    chunked = in_chunks(work, Journal(tmp_path, work.key), size)
    assert chunked is not None
    assert_same(alone(work, tmp_path), chunked)


def test_a_stopped_run_resumes_from_the_finished_chunks(tmp_path: Path) -> None:
    work = evaluation()
    assert in_chunks(work, Journal(tmp_path, work.key), 7, stop=2) is None
    journal = Journal(tmp_path, work.key)
    fresh = Plan(work, work.columns(journal), {})
    assert Plan(work, work.columns(journal), journal.load()).total < fresh.total
    again = in_chunks(work, Journal(tmp_path, work.key), 7)
    assert again is not None
    assert_same(alone(work, tmp_path), again)


def test_without_ray_the_message_has_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(CrossfireError, match=r"pip install 'crossfire-bench\[cluster\]'"),
        connected("auto"),
    ):
        pass


def test_the_workers_of_a_saved_evaluation_are_known_after_a_kill() -> None:
    used = {("cpu", "fp32"), ("NVIDIA H100", "bf16")}
    assert cluster._read(cluster._written(used)) == used
    assert cluster._read({}) == set()


def test_examples_with_large_margins_are_attacked_first(tmp_path: Path) -> None:
    work = evaluation()
    plan = Plan(work, work.columns(Journal(tmp_path, work.key)), {})
    first = plan.next(5)
    assert first is not None
    margins = work.logits.gather(1, work.examples.labels[:, None])[:, 0]
    others = work.logits.scatter(1, work.examples.labels[:, None], -torch.inf).amax(1)
    gap = (margins - others)[work.clean]
    assert gap.sort(descending=True).values[:5].min() >= 0
    assert set(first.rows.tolist()) == set(
        np.flatnonzero(work.clean)[gap.argsort(descending=True)[:5]].tolist()
    )


def test_what_is_sent_to_workers_has_no_examples() -> None:
    work = evaluation()
    light = work.attacked.portable()
    assert not {"examples", "logits", "judge", "fast"} & vars(light).keys()
    assert "examples" in vars(work)
