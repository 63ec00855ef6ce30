"""Where a row comes from: model, training, measurement and machine, each fact with its name."""

import json
from typing import Any

from leaderboard.ranking import Row
from leaderboard.schema import Record


def facts(row: Row) -> dict[str, str]:
    """The facts about a row's newest run, and the seeds of all; unknown ones are left out."""
    record = row.head
    found = {**_model(record), **_training(row), **_measurement(record)}
    return {name: value for name, value in found.items() if value}


def _model(record: Record) -> dict[str, str]:
    model = record.model
    return {
        "Record": record.id,
        "Model": model.name,
        "Source": model.source,
        "Parameters": f"{model.parameters:,}",
        "Weights": model.weights_sha256,
        "Hyper-parameters": _settings(model.config),
    }


def _training(row: Row) -> dict[str, str]:
    training = row.head.model.training or {}
    seeds = [str((run.model.training or {}).get("seed", "")) for run in row.runs]
    seconds = training.get("seconds")
    epoch = f"{training['epoch']} of {training.get('epochs', '?')}" if "epoch" in training else ""
    return {
        "Trained against": ", ".join(training.get("threats") or ()),
        "Checkpoint": ", ".join(str(training[k]) for k in ("tag", "selected_on") if k in training),
        "Epoch": epoch,
        "Training time": "" if seconds is None else f"{seconds:,.0f} s",
        "Training passes": _passes(training),
        "Training seeds": ", ".join(filter(None, seeds)),
    }


def _measurement(record: Record) -> dict[str, str]:
    data, protocol, place = record.data, record.protocol, record.environment
    forward = sum(verdict.forward_passes for verdict in record.verdicts)
    backward = sum(verdict.backward_passes for verdict in record.verdicts)
    seconds = sum(verdict.seconds for verdict in record.verdicts)
    changed = " with changes" if place.dirty else ""
    return {
        "Data": f"{data.called} {data.split}, first {data.examples:,}, {data.sha256}",
        "Protocol": f"version {protocol.version}, seed {protocol.seed}, {protocol.sha256}",
        "Evaluated": record.created,
        "Attack passes": f"{forward:,} forward, {backward:,} backward, {seconds:,.0f} s",
        "Software": f"crossfire {place.crossfire}, torch {place.torch}, Python {place.python}",
        "Machine": f"{place.platform}, {place.device}, {place.precision}",
        "Commit": f"{place.commit}{changed}" if place.commit else "",
    }


def _settings(config: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {json.dumps(value)}" for name, value in config.items())


def _passes(training: dict[str, Any]) -> str:
    names = [("forward_passes", "forward"), ("backward_passes", "backward")]
    return ", ".join(f"{training[key]:,} {words}" for key, words in names if training.get(key))
