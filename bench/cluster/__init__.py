"""Evaluation on many machines: stages are cut into chunks of examples, which Ray's workers attack.

    run(evaluation, "auto", journal)

Random numbers are keyed by the example, so it doesn't matter where a chunk is attacked. What
depends on all examples is decided in this process before a stage begins: which examples are still
robust, which are sampled, whether an alarm was raised. A chunk whose worker is lost is attacked
again elsewhere; a command that was killed resumes from the chunks that were finished.
"""

import json
import time
from dataclasses import replace

import torch

from bench.cluster.plan import Plan
from bench.cluster.pool import Pool, connected
from bench.display import Progress
from bench.evaluation.evaluator import Evaluation
from bench.evaluation.journal import Journal
from bench.evaluation.outcome import Outcome
from bench.evaluation.queue import State

Used = set[tuple[str, str]]
"""Devices of the workers, each with its arithmetic."""

SAVE_EVERY = 20.0
"""Seconds between saves: a kill loses at most the chunks that were finished since."""


def run(
    evaluation: Evaluation, address: str, journal: Journal, progress: Progress | None = None
) -> Outcome:
    """As `evaluation.run`, on the Ray cluster at `address`: `auto` or HOST:PORT.

    Raises:
        CrossfireError: Ray is not installed, no cluster responds at the address, or workers are
            lost repeatedly on the same examples.
        gates.Refusal: the model changed its own weights meanwhile.
    """
    saved_state = evaluation.load(journal)
    plan = Plan(evaluation, evaluation.columns(journal), saved_state)
    used = _read(saved_state)
    with connected(address) as ray:
        pool = Pool(ray, evaluation)
        saved = time.monotonic()
        while not plan.finished:
            while pool.has_room and (chunk := plan.next(pool.chunk)) is not None:
                pool.submit(chunk)
            for chunk, result in pool.results():
                plan.merge(chunk, result)
                used.add((result.device, result.precision))
            if time.monotonic() - saved > SAVE_EVERY:
                evaluation.save(journal, plan.state() | _written(used))
                saved = time.monotonic()
            if progress is not None:
                progress(plan.done, plan.total, f"{pool.workers} workers")
        evaluation.save(journal, plan.state() | _written(used))
        outcome = evaluation.outcome(plan.columns)
        devices = ", ".join(f"{device} ({precision})" for device, precision in sorted(used))
        arithmetic = {precision for _, precision in used} or {outcome.precision}
        return replace(
            outcome,
            device=f"{pool.workers} workers: {devices}",
            precision="bf16" if "bf16" in arithmetic else "fp32",
        )


def _written(used: Used) -> State:
    """Devices and arithmetic of the workers as part of the saved state."""
    text = json.dumps(sorted(used)).encode()
    return {"workers": torch.frombuffer(bytearray(text), dtype=torch.uint8)}


def _read(state: State) -> Used:
    """What `_written` saved; empty for a new evaluation."""
    found = state.get("workers")
    return set() if found is None else {tuple(pair) for pair in json.loads(bytes(found.tolist()))}
