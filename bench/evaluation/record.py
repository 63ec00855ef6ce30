"""Converts an outcome into a record and appends it to a board with its evidence."""

import platform
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.compute.environment import commit
from bench.evaluation.outcome import Outcome, Pair
from bench.evaluation.protocol import Protocol
from bench.evaluation.queue import Column
from bench.models.checkpoint import Metadata, save
from bench.models.sources import LoadedModel
from leaderboard import flags, schema
from leaderboard.known import called
from leaderboard.store import Board

SHOWN = 12
"""Number of broken examples per column whose unperturbed images are kept for reports."""


def publish(
    board: Board,
    outcome: Outcome,
    loaded: LoadedModel,
    command: str,
    originals: Tensor,
    *,
    images: bool = True,
) -> schema.Record:
    """Append an evaluation of a model on the `originals`, uint8 (n, c, h, w), to a board.

    `command` reproduces the record; without `images` the evidence has no adversarial examples, and
    the record says so.

    Raises:
        CrossfireError: the board can't be written.
    """
    record = to_record(outcome, loaded, command)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "adversarial.safetensors"
        if images:
            save_file(adversarial(outcome, originals), path)
        return board.append(record, outcome.table(), path if images else None)


def to_record(outcome: Outcome, loaded: LoadedModel, command: str) -> schema.Record:
    """The record of an outcome, still without evidence."""
    return schema.Record(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=_model(outcome, loaded),
        data=_data(outcome),
        protocol=_protocol(outcome.protocol),
        clean=flags.pack(outcome.clean),
        verdicts=tuple(_verdict(pair, column) for pair, column in outcome.columns.items()),
        union=flags.pack(outcome.union),
        findings=tuple(outcome.findings),
        environment=_environment(outcome),
        command=command,
    )


def _data(outcome: Outcome) -> schema.Data:
    protocol = outcome.protocol
    return schema.Data(
        name=protocol.dataset,
        split=protocol.split,
        examples=protocol.examples,
        classes=outcome.classes,
        sha256=protocol.data_sha256,
    )


def _protocol(protocol: Protocol) -> schema.Protocol:
    return schema.Protocol(
        version=protocol.version,
        sha256=protocol.sha256,
        threats=protocol.threats,
        suites=protocol.suites,
        seed=protocol.seed,
        examples=protocol.examples,
    )


def _verdict(pair: Pair, column: Column) -> schema.Verdict:
    threat, suite = pair
    return schema.Verdict(
        threat=threat,
        suite=suite,
        flags=flags.pack(column.robust),
        forward_passes=int(column.forward.sum()),
        backward_passes=int(column.backward.sum()),
        seconds=round(float(column.seconds[0]), 3),
    )


def _environment(outcome: Outcome) -> schema.Environment:
    revision, dirty = commit()
    return schema.Environment(
        crossfire=version("crossfire-bench"),
        python=platform.python_version(),
        torch=torch.__version__,
        platform=platform.platform(),
        device=outcome.device,
        precision=outcome.precision,
        commit=revision,
        dirty=dirty,
    )


def _model(outcome: Outcome, loaded: LoadedModel) -> schema.Model:
    metadata = dict(loaded.metadata)
    if metadata:
        metadata["tag"] = "last" if Path(loaded.source).stem == "last" else "best"
        metadata |= _data_name(metadata)
    return schema.Model(
        name=loaded.name,
        source=loaded.source,
        defense=loaded.defense,
        arch=loaded.arch,
        parameters=sum(p.numel() for p in loaded.model.parameters()),
        weights_sha256=outcome.weights_sha256,
        config=metadata.pop("config", {}),
        training=metadata or None,
    )


def keep_weights(board: Board, loaded: LoadedModel) -> None:
    """Store a checkpoint of `bench train` on a board."""
    with tempfile.TemporaryDirectory() as folder:
        board.keep_weights(public_checkpoint(Path(folder), loaded.model, loaded.metadata))


def public_checkpoint(folder: Path, model: nn.Module, metadata: dict[str, Any]) -> Path:
    """Write a checkpoint whose training data have the name that they have in records."""
    return save(folder, "best", model, Metadata(**metadata | _data_name(metadata)))


def _data_name(metadata: dict[str, Any]) -> dict[str, Any]:
    """The training data by their public name, if their hash is known."""
    name = called(metadata["data_sha256"], metadata["dataset"])
    config = metadata["config"]
    if "training" in config:
        config = config | {"training": config["training"] | {"dataset": name}}
    return {"dataset": name, "config": config}


def adversarial(outcome: Outcome, originals: Tensor) -> dict[str, Tensor]:
    """The adversarial examples of each threat and suite with their numbers in the data set, and the
    unperturbed images of the first `SHOWN` of each."""
    tensors: dict[str, Tensor] = {}
    shown: set[int] = set()
    for pair, column in outcome.columns.items():
        rows = column.kept.nonzero()[0]
        head = "/".join(pair)
        tensors[f"{head}/images"] = torch.from_numpy(column.found[rows])
        tensors[f"{head}/indices"] = torch.from_numpy(outcome.numbers[rows].astype("int64"))
        shown |= set(rows[:SHOWN].tolist())
    kept = sorted(shown)
    tensors["originals/images"] = originals[kept].contiguous()
    tensors["originals/indices"] = torch.from_numpy(outcome.numbers[kept].astype("int64"))
    return tensors
