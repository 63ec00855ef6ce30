"""Which records belong to a step: those of its model, its evaluation and its run's recipe."""

import json
from contextlib import chdir
from functools import cache
from pathlib import Path
from typing import Any

from bench.campaign.definition.campaign import Campaign, Run
from bench.campaign.execution.plan import Step
from bench.errors import CrossfireError
from bench.plugins.registry import recorded_name
from bench.training import threats_of
from leaderboard.options import TEACHERS, current
from leaderboard.schema import Record

_RESOLVED = ("arch", "augment")
"""Options whose default depends on the data."""


def fits(record: Record, step: Step, campaign: Campaign) -> bool:
    """Whether a record of the step's model is of the step's evaluation and of the run's recipe."""
    (run,) = (run for run in campaign.runs if run.name == step.run)
    return _is_evaluation(record, step, campaign) and _is_recipe(record, run, campaign)


def _is_evaluation(record: Record, step: Step, campaign: Campaign) -> bool:
    one, protocol = step.evaluation, record.protocol
    assert one is not None
    threats = _threats(one.threat, one.budgets, campaign.dataset, campaign.folder)
    wanted = (
        *(one.suites, one.seed, one.union_only),
        one.examples or record.data.examples,
        threats or protocol.threats,
        # Asked for bf16 or auto, attacks take float32 where the two disagree: either fits.
        "fp32" if one.precision == "fp32" else record.environment.precision,
    )
    return wanted == (
        *(protocol.suites, protocol.seed, record.union_only),
        *(record.data.examples, protocol.threats, record.environment.precision),
    )


def _is_recipe(record: Record, run: Run, campaign: Campaign) -> bool:
    options, config = run.options, current(record.model.defense, record.model.config)
    if options.defense is None:
        return True
    training = config.get("training", {})
    threats = _threats(options.threat, options.budgets, campaign.dataset, campaign.folder)
    own = {key: value for key, value in options.own.items() if key not in TEACHERS}
    job = {key: value for key, value in options.job.items() if key not in _RESOLVED}
    return (
        record.model.defense == recorded_name(options.defense)
        and _agree(own, config)
        and _agree({**job, **({"threats": threats} if threats else {})}, training)
    )


def _agree(wanted: dict[str, Any], config: dict[str, Any]) -> bool:
    plain = json.loads(json.dumps({k: v for k, v in wanted.items() if k in config}, default=str))
    return all(config[key] == value for key, value in plain.items())


@cache
def _threats(text: str, budgets: str | None, dataset: str, folder: Path) -> tuple[str, ...] | None:
    """The threats that `text` stands for; None where they follow from images that are not here."""
    try:
        with chdir(folder if folder.is_dir() else "."):
            return tuple(map(str, threats_of(text, dataset, budgets)))
    except CrossfireError:
        return None
