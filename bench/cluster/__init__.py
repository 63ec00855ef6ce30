"""Evaluation on many machines: passes are cut into chunks of examples, and Ray's workers take them.

    run(evaluation, "auto", journal)

Randomness belongs to the example, so it doesn't matter where a chunk is attacked. What depends on
all examples is decided here, before a pass begins: which of them stand, which are sampled, whether
an alarm was raised. A chunk whose worker is lost is attacked again elsewhere; a command that was
killed goes on from the chunks that had come back.
"""

import time
from collections import Counter
from dataclasses import replace

from bench.cluster.plan import Plan
from bench.cluster.pool import Pool, connected
from bench.display import Progress
from bench.evaluation.evaluator import Evaluation
from bench.evaluation.journal import Journal
from bench.evaluation.outcome import Outcome

SAVE_EVERY = 20.0
"""Seconds of finished chunks that a kill may lose."""


def run(
    evaluation: Evaluation, address: str, journal: Journal, progress: Progress | None = None
) -> Outcome:
    """What `evaluation.run` does, on the Ray cluster at `address`: `auto` or HOST:PORT.

    Raises:
        CrossfireError: Ray is not installed, nothing answers at the address, or workers are lost
            again and again.
        gates.Refusal: the model changed its own weights meanwhile.
    """
    plan = Plan(evaluation, evaluation.columns(journal), journal.load())
    devices: Counter[str] = Counter()
    with connected(address) as ray:
        pool = Pool(ray, evaluation)
        saved = time.monotonic()
        while not plan.finished:
            while pool.has_room and (chunk := plan.next(pool.chunk)) is not None:
                pool.submit(chunk)
            for chunk, result in pool.results():
                plan.merge(chunk, result)
                devices[f"{result.device} ({result.precision})"] += 1
            if time.monotonic() - saved > SAVE_EVERY:
                journal.save(plan.state())
                saved = time.monotonic()
            if progress is not None:
                progress(plan.done, plan.total, f"{pool.workers} workers")
        journal.save(plan.state())
        outcome = evaluation.outcome(plan.columns)
        return replace(outcome, device=f"{pool.workers} workers: {', '.join(devices)}")
