"""Architectures of torchvision and timm with weights from a file, and models of Hugging Face."""

from dataclasses import replace
from pathlib import Path

from torch import nn

from bench.errors import CrossfireError, reason
from bench.models import ArchitectureError, Normalize, build, checkpoint
from bench.models.libraries import missing
from bench.models.sources.networks import allow, network_of
from bench.models.sources.request import Found, Request
from bench.models.sources.weights import load_into, read
from bench.plugins import specs


def from_torchvision(request: Request) -> Found:
    """`torchvision:NAME` with --weights FILE.

    Raises:
        CrossfireError: torchvision doesn't work here, or name or weights are wrong.
    """
    return Found(_filled(request), request.rest, request.rest)


def from_timm(request: Request) -> Found:
    """`timm:NAME` with --weights FILE.

    Raises:
        CrossfireError: timm is not installed, or name or weights are wrong.
    """
    return Found(_filled(request), request.rest, request.rest.partition(".")[0])


def from_hub(request: Request) -> Found:
    """`hf-hub:OWNER/NAME[/FILE]`: a checkpoint of ours or, with --arch, other safetensors.

    Raises:
        CrossfireError: huggingface_hub is not installed, or there is no such file.
    """
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise missing(request.spec, "hf", error) from error
    owner, _, rest = request.rest.partition("/")
    name, _, file = rest.partition("/")
    try:
        path = hf_hub_download(f"{owner}/{name}", file or "model.safetensors")
    except Exception as error:
        raise CrossfireError(
            f"cannot fetch {request.spec} ({reason(error)}); check owner, name and network"
        ) from error
    return replace(from_path(request, Path(path)), name=f"{owner}/{name}")


def from_path(request: Request, path: Path) -> Found:
    """A checkpoint of ours, or, with --arch, a file of other weights.

    Raises:
        ArchitectureError: the checkpoint is of another architecture, or needs the user's code.
        CrossfireError: the file is damaged, its weights are of another architecture, or the request
            names other weights too.
    """
    if request.weights is not None:
        raise CrossfireError(f"{request.spec} has weights; --weights is for an architecture")
    name = path.stem if path.is_file() else path.name or path.resolve().name
    arch, recorded = request.arch, checkpoint.recorded(path)
    if recorded and arch not in (None, recorded.arch) and not specs.same(recorded.arch, arch):
        raise ArchitectureError(f"{path} is a {recorded.arch}; leave out --arch {arch}")
    if arch is None or recorded:
        if path.is_file() and path.suffix != ".safetensors":
            raise CrossfireError(f"{path} does not name its architecture; give one with --arch")
        allow(arch or "", recorded.arch if recorded else None)
        model, metadata = checkpoint.load(path)
        return Found(model, name, metadata.arch, metadata)
    model = network_of(arch, request.data)
    if ":" not in arch:
        # Other weights contain their own normalisation, or need --normalize.
        channels = request.data.channels
        model.normalize = Normalize([0.0] * channels, [1.0] * channels)
    load_into(model, read(checkpoint.file_of(path)), f"{path} ({arch})")
    return Found(model, name, arch)


def _filled(request: Request) -> nn.Module:
    data = request.data
    model = build(request.spec, classes=data.classes, channels=data.channels, size=data.size)
    if request.weights is None:
        raise CrossfireError(f"{request.spec} is an architecture; give its weights with --weights")
    request.fill(model)
    return model
