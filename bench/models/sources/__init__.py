"""Loads the model that a command names, from any source.

    find("runs/mat", digits)                                   a checkpoint of ours
    find("wrn.pt", cifar10, arch="wrn-34-10")                  published weights
    find("mine.py:make", cifar10, normalize="cifar10")         a module, or a function returning it
    find("timm:resnet18", pets, weights=Path("resnet18.safetensors"))

Every model is checked: it accepts the data's images and returns one logit for each class.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from bench.data import Dataset
from bench.errors import CrossfireError
from bench.models import ArchitectureError, Normalize
from bench.models.checkpoint import Metadata, weights_sha256
from bench.models.libraries import call
from bench.models.sources.fit import SAMPLE, check_fit, check_range
from bench.models.sources.libraries import from_hub, from_path, from_timm, from_torchvision
from bench.models.sources.networks import allow, network_of, own_code, untrained
from bench.models.sources.request import Found, Request
from bench.models.sources.zoo import from_robustbench
from bench.plugins import specs
from bench.plugins.registry import plugins

SCHEMES: dict[str, Callable[[Request], Found]] = {
    "torchvision": from_torchvision,
    "timm": from_timm,
    "robustbench": from_robustbench,
    "hf-hub": from_hub,
}

__all__ = [
    "SCHEMES",
    "Found",
    "LoadedModel",
    "allow",
    "find",
    "find_checkpoint",
    "own_code",
    "stored",
    "untrained",
]


@dataclass(frozen=True)
class LoadedModel:
    """A model in eval mode that takes images in [0, 1], on the CPU, with its name, hash and
    metadata."""

    model: nn.Module
    name: str
    source: str
    arch: str
    defense: str | None
    weights_sha256: str
    metadata: dict[str, Any]


def find(
    spec: str,
    data: Dataset,
    *,
    arch: str | None = None,
    weights: Path | None = None,
    normalize: str | None = None,
) -> LoadedModel:
    """The model that `spec` names, fit for `data`.

    `spec` is a checkpoint's file or folder, a file of weights together with `arch`,
    `FILE.py:CALLABLE`, `torchvision:NAME` or `timm:NAME` together with `weights`, `robustbench:ID`,
    `hf-hub:OWNER/NAME`, or the name of a plugin. `normalize` is `cifar10`, `cifar100`, `imagenet`
    or MEAN,STD, for a model that expects normalised images.

    Raises:
        CrossfireError: there is no such model, it doesn't fit the data, or its clean accuracy shows
            that it was trained on another range of pixels.
    """
    scheme, _, rest = spec.partition(":")
    found = SCHEMES.get(scheme, _own)(Request(spec, rest, data, arch, weights))
    return _checked(spec, found, data, arch, normalize)


def find_checkpoint(path: Path, data: Dataset, arch: str | None = None) -> LoadedModel:
    """The checkpoint in a file or folder, whatever its name looks like: no code runs that `arch`
    doesn't name.

    Raises:
        CrossfireError: there is none, or it doesn't fit `data`.
    """
    spec = str(path)
    return _checked(spec, from_path(Request(spec, "", data, arch, None), path), data, arch, None)


def _checked(
    spec: str, found: Found, data: Dataset, arch: str | None, normalize: str | None
) -> LoadedModel:
    if arch not in (None, found.arch) and not specs.same(found.arch, arch):
        raise CrossfireError(f"{spec} has an architecture; --arch is for a file of weights")
    bare = found.model.cpu().eval()
    if found.metadata is not None:
        if normalize is not None:
            raise CrossfireError(f"{spec} has its own normalisation; omit --normalize")
        _check_metadata(spec, found.metadata, data)
        if specs.parse(found.arch):
            check_fit(spec, bare, data)
            _check_code(spec, found.metadata, arch or found.arch)
        return _loaded(spec, found, bare)
    model = bare
    if normalize is not None:
        model = nn.Sequential(Normalize.parse(normalize, data.channels), bare).eval()
    check_fit(spec, model, data)
    sample = data.test.take(min(SAMPLE, len(data.test)))
    check_range(spec, model, bare, sample.floats(), sample.labels, normalize)
    return _loaded(spec, found, model)


def stored(path: str, arch: str | None, data: Dataset) -> Found:
    """The network of a checkpoint, or of other weights together with `arch`, on the CPU.

    Raises:
        CrossfireError: there is none, it is of another architecture, or it doesn't fit the data.
    """
    found = from_path(Request(path, "", data, arch, None), Path(path))
    if found.metadata is not None:
        _check_metadata(path, found.metadata, data)
    check_fit(path, found.model.cpu().eval(), data)
    return found


def _loaded(spec: str, found: Found, model: nn.Module) -> LoadedModel:
    metadata = asdict(found.metadata) if found.metadata else {}
    digest = weights_sha256(model)
    return LoadedModel(
        model, found.name, spec, found.arch, metadata.get("defense"), digest, metadata
    )


def _check_metadata(spec: str, metadata: Metadata, data: Dataset) -> None:
    theirs, ours = (metadata.channels, metadata.classes), (data.channels, data.classes)
    if theirs != ours:
        raise ArchitectureError(
            f"{spec} is for {theirs[0]} channels and {theirs[1]} classes, {data.name} has "
            f"{ours[0]} and {ours[1]}; its own data set was --dataset {metadata.dataset}"
        )


def _check_code(spec: str, metadata: Metadata, arch: str) -> None:
    trained = metadata.config.get("training", {}).get("code", {}).get(metadata.arch)
    if trained != own_code(arch)[arch]:
        raise ArchitectureError(
            f"the code of {arch} is not that with which {spec} was trained; restore it, train "
            "again, or evaluate other code with its weights: "
            f"bench evaluate {arch} --weights {spec}"
        )


def _own(request: Request) -> Found:
    """A path, FILE.py:CALLABLE, or a plugin's name."""
    if spec := specs.parse(request.spec):
        model = network_of(request.spec, request.data)
        request.fill(model)
        return Found(model, f"{spec.file.stem}:{spec.name}", type(model).__name__)
    available = plugins("models")
    if request.spec in available:
        model = call(request.spec, available[request.spec].load())
        request.fill(model)
        return Found(model, request.spec, type(model).__name__)
    path = Path(request.spec)
    if not path.exists():
        schemes = ", ".join(f"{scheme}:..." for scheme in SCHEMES)
        raise CrossfireError(
            f"there is no model '{request.spec}'; name a checkpoint, FILE.py:CALLABLE, or {schemes}"
        )
    return from_path(request, path)
