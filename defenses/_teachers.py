"""Teachers: a model that the user names, or one that is trained and saved."""

import hashlib
import json
from pathlib import Path
from typing import Any

from torch import nn

from bench.models import checkpoint
from bench.models.sources import find
from bench.training import Job, Net, settings_of
from defenses.at import AT
from defenses.undefended import Undefended


def robust_teacher(job: Job, spec: str) -> Net:
    """The network that `spec` names; without one, a network of `at` with the same job."""
    return _placed(job, find(spec, job.data).model if spec else _trained(job, AT()), "teacher")


def natural_teacher(job: Job, spec: str) -> Net:
    """The network that `spec` names; without one, a network of `undefended` with the same job."""
    model = find(spec, job.data).model if spec else _trained(job, Undefended())
    return _placed(job, model, "natural_teacher")


def _trained(job: Job, defense: Any) -> nn.Module:  # noqa: ANN401
    """Trained into `teachers` beside the job's folder; with `resume`, or loaded from there."""
    settings = json.dumps(settings_of(job), sort_keys=True)
    name = f"{type(defense).__name__.lower()}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"
    folder: Path = job.out.parent / "teachers" / name
    defense.fit(job.with_settings(out=folder))
    model, _ = checkpoint.load(folder)
    return model


def _placed(job: Job, model: nn.Module, role: str) -> Net:
    net = job.place(model, role)
    return net.eval().requires_grad_(False)
