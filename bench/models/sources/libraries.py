"""Architectures of torchvision and timm with weights from a file, and models of Hugging Face."""

from dataclasses import replace
from pathlib import Path

from bench.data.vision import torchvision
from bench.errors import CrossfireError, reason
from bench.models import Normalize, build, checkpoint
from bench.models.sources.request import Found, Request, call, check_name, missing
from bench.models.sources.weights import load_into, read


def from_torchvision(request: Request) -> Found:
    """`torchvision:NAME` with --weights FILE.

    Raises:
        CrossfireError: torchvision doesn't work here, or name or weights are wrong.
    """
    models = torchvision("models", request.spec)
    check_name(request.spec, request.rest, models.list_models())
    _check_weights(request)
    model = call(
        request.spec, models.get_model, name=request.rest, num_classes=request.data.classes
    )
    request.fill(model)
    return Found(model, request.rest, request.rest)


def from_timm(request: Request) -> Found:
    """`timm:NAME` with --weights FILE.

    Raises:
        CrossfireError: timm is not installed, or name or weights are wrong.
    """
    try:
        import timm
    except ImportError as error:
        raise missing(request.spec, "timm", error) from error
    name, _, _ = request.rest.partition(".")
    check_name(request.spec, name, timm.list_models())
    _check_weights(request)
    shape = {"num_classes": request.data.classes, "in_chans": request.data.channels}
    model = call(request.spec, timm.create_model, model_name=request.rest, **shape)
    request.fill(model)
    return Found(model, request.rest, name)


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
        CrossfireError: the file is damaged, its weights are of another architecture, or the request
            names other weights too.
    """
    if request.weights is not None:
        raise CrossfireError(f"{request.spec} has weights; --weights is for an architecture")
    name = path.stem if path.is_file() else path.name or path.resolve().name
    if request.arch is None:
        if path.is_file() and path.suffix != ".safetensors":
            raise CrossfireError(f"{path} does not name its architecture; give one with --arch")
        model, metadata = checkpoint.load(path)
        return Found(model, name, metadata.arch, metadata)
    data = request.data
    model = build(request.arch, classes=data.classes, channels=data.channels, size=data.size)
    # Other weights contain their own normalisation, or need --normalize.
    model.normalize = Normalize([0.0] * data.channels, [1.0] * data.channels)
    load_into(model, read(path), f"{path} ({request.arch})")
    return Found(model, name, request.arch)


def _check_weights(request: Request) -> None:
    if request.weights is None:
        raise CrossfireError(f"{request.spec} is an architecture; give its weights with --weights")
