"""The options of a run: all that its weights depend on, as plain values."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from bench.models.checkpoint import weights_sha256
from bench.models.sources import own_code
from bench.plugins.registry import is_packaged, own_file
from bench.plugins.source import class_sha256, code_sha256
from bench.training.job import Job
from bench.training.nets import Net

_NOT_SETTINGS = (
    "out",
    "start",
    "compile",
    "device",
    "devices",
    "nodes",
    "resume",
    "tensorboard",
    "progress",
    "notify",
)


def settings_of(job: Job) -> dict[str, Any]:
    """All settings of a job that the weights depend on, as plain values; as `data_sha256` the
    hashes of the user's own examples, which may change under the same name."""
    plain = {item.name: getattr(job, item.name) for item in fields(job)}
    for name in _NOT_SETTINGS:
        del plain[name]
    if job.beginning:
        plain["start"] = weights_sha256(job.beginning.model)
    if code := own_code(job.architecture):
        plain["code"] = code
    if ":" in job.dataset:
        plain["data_sha256"] = {"training": job.train.sha256(), "held-out": job.heldout.sha256()}
    plain["threats"] = [str(threat) for threat in job.threats]
    return plain | {"arch": job.architecture, "augment": job.augmentation}


def config_of(
    job: Job,
    defense: Any,  # noqa: ANN401
    nets: Iterable[Net],
    teachers: Mapping[str, Net],
) -> dict[str, Any]:
    """The options of the defense and, as `training`, those of the job, the hashes of the code of a
    user's defense and networks (`code`), and those of the teachers' weights (`teachers`)."""
    own = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(defense).items()}
    code = _own_code(defense, nets)
    weights = {role: weights_sha256(net.body) for role, net in teachers.items()}
    more = {"code": code, "teachers": weights}
    return {**own, "training": settings_of(job) | {k: v for k, v in more.items() if v}}


def _own_code(defense: object, nets: Iterable[Net]) -> dict[str, str]:
    kind, code = type(defense), dict[str, str]()
    if file := own_file(defense):
        code[file.name] = code_sha256(file)
    elif not is_packaged(defense) and (sha256 := class_sha256(kind)):
        code[kind.__name__] = sha256
    for net in nets:
        code |= own_code(net.arch)
    return code
