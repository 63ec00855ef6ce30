"""Synthetic records: small, valid, and determined by their arguments."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.stats import binomtest

from leaderboard import flags
from leaderboard.budget import parse_threat
from leaderboard.schema import Data, Environment, Finding, Model, Protocol, Record, Verdict
from leaderboard.store import columns

THREATS = ("linf:8/255", "l2:0.5", "l1:12")


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def mcnemar(a: str, b: str) -> float:
    """The p-value of McNemar's exact test of two models' packed flags, by scipy."""
    only = flags.disagreements(a, b)
    return float(binomtest(only[0], sum(only)).pvalue) if any(only) else 1.0


def survivors(rng: np.random.Generator, among: NDArray[np.bool_], rate: float) -> NDArray[np.bool_]:
    return among & (rng.random(len(among)) < rate)


def make_record(
    name: str = "at",
    *,
    examples: int = 40,
    accuracies: Sequence[float] = (0.9, 0.6, 0.7, 0.5),
    threats: Sequence[str] = THREATS,
    suites: Sequence[str] = ("pgd-100",),
    seed: int = 0,
    training: dict[str, Any] | None = None,
    findings: tuple[Finding, ...] = (),
    dataset: str = "cifar10",
    created: str = "2026-01-01T00:00:00+00:00",
    precision: str = "bf16",
    **model: Any,  # noqa: ANN401
) -> Record:
    """A record with random flags; `accuracies` are about those of clean and of each threat."""
    rng = np.random.default_rng(int(sha(f"{name}/{seed}")[:8], 16))
    clean = rng.random(examples) < accuracies[0]
    rates = dict(zip(threats, accuracies[1:], strict=False))
    verdicts = tuple(
        Verdict(
            threat=threat,
            suite=suite,
            flags=flags.pack(survivors(rng, clean, rates[threat] / accuracies[0])),
            forward_passes=100 * examples,
            backward_passes=100 * examples,
            seconds=1.5,
        )
        for threat in threats
        for suite in suites
    )
    about: dict[str, Any] = {
        "name": name,
        "source": f"runs/{name}/best.safetensors",
        "defense": name,
        "arch": "preactresnet18",
        "parameters": 11_172_170,
        "weights_sha256": sha(f"weights {name} {seed}"),
        "config": {"epochs": 30, "seed": seed},
        "training": training,
    }
    return Record(
        created=created,
        model=Model(**(about | model)),
        data=Data(dataset, "test", examples, 10, sha(f"data {dataset} {examples}")),
        protocol=Protocol(
            version=1,
            sha256=sha(f"protocol {dataset} {examples} {threats} {suites}"),
            threats=tuple(threats),
            suites=tuple(suites),
            seed=0,
            examples=examples,
        ),
        clean=flags.pack(clean),
        verdicts=verdicts,
        union=flags.conjunction([flags.pack(clean), *(verdict.flags for verdict in verdicts)]),
        findings=findings,
        environment=Environment(
            "0.1.0", "3.11.7", "2.6.0", "Linux x86_64", "cpu", precision, None, None
        ),
        command=f"bench evaluate runs/{name}/best.safetensors",
    )


def make_images(record: Record, path: Path, channels: int = 1) -> Path:
    """Adversarial examples of a record in 4x4 pixels, with all their originals."""
    rng = np.random.default_rng(0)
    originals = rng.integers(0, 256, (record.data.examples, channels, 4, 4), dtype=np.uint8)
    clean = flags.unpack(record.clean, record.data.examples)
    tensors: dict[str, NDArray[Any]] = {"originals/images": originals}
    tensors["originals/indices"] = np.arange(len(originals))
    for verdict in record.verdicts:
        rows = np.flatnonzero(clean & ~flags.unpack(verdict.flags, record.data.examples))
        moved = (originals[rows] / 255 + 0.02).clip(0, 1).astype(np.float32)
        tensors[f"{verdict.threat}/{verdict.suite}/images"] = moved
        tensors[f"{verdict.threat}/{verdict.suite}/indices"] = rows
    save_file(tensors, path)
    return path


def make_table(record: Record) -> pd.DataFrame:
    """The evidence table of a record: broken examples at nine tenths of the budget."""
    examples = record.data.examples
    clean = flags.unpack(record.clean, examples)
    label = np.arange(examples) % record.data.classes
    table: dict[str, Any] = {
        "index": np.arange(examples),
        "label": label,
        "prediction": np.where(clean, label, (label + 1) % record.data.classes),
        "margin": np.where(clean, 1.0, -1.0),
    }
    for verdict in record.verdicts:
        robust = flags.unpack(verdict.flags, examples)
        broken = clean & ~robust
        values: dict[str, Any] = {
            "robust": robust,
            "attack": pd.Series("pgd-ce", index=range(examples)).where(broken),
            "step": pd.Series(np.where(broken, 7, -1)).astype("Int64").where(broken),
            "norm": np.where(broken, 0.9 * float(parse_threat(verdict.threat).epsilon), np.nan),
            "passes": np.where(broken, 8, 100),
        }
        prefix = f"{verdict.threat}/{verdict.suite}"
        table |= {f"{prefix}/{what}": value for what, value in values.items()}
    return pd.DataFrame(table)[columns(record)]
