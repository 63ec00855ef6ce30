"""AutoAttack's standard version as the package pyautoattack runs it: the reference for parity.

The only file that imports pyautoattack. It works around the package's defects (contiguous images,
no more target classes than the model has) and undoes its side effects.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Int
from torch import Tensor, nn

from bench.errors import CrossfireError
from bench.threats import Norm, Threat
from bench.threats.geometry import Points

NAMES: dict[Norm, str] = {"linf": "Linf", "l2": "L2", "l1": "L1"}


def autoattack_reference(
    model: nn.Module,
    x: Points,
    y: Int[Tensor, " n"],
    threat: Threat,
    seed: int = 0,
    *,
    batch_size: int = 250,
) -> Points:
    """Adversarial examples of x (n, c, h, w) in [0, 1] by pyautoattack, standard version.

    An image that no attack breaks is returned unchanged. The targeted DLR loss needs four classes
    and the untargeted one three; with fewer classes APGD-CE, FAB-T and Square run, and with three
    also APGD-DLR.

    Raises:
        CrossfireError: pyautoattack isn't installed.
    """
    try:
        from pyautoattack import AutoAttack
    except ImportError:
        raise CrossfireError("the reference is missing; run: pip install pyautoattack") from None
    run = AutoAttack(model, norm=NAMES[threat.norm], eps=threat.eps, seed=seed, device=x.device)
    run.verbose = False
    with torch.no_grad():
        classes = model(x[:1].contiguous()).shape[1]
    for attack in (run.apgd_targeted, run.fab):
        attack.n_target_classes = min(attack.n_target_classes, classes - 1)
    if classes < 4:
        run.attacks_to_run = ["apgd-ce", *["apgd-dlr"] * (classes == 3), "fab-t", "square"]
    with _side_effects_undone(model, x.device):
        points: Tensor = run.run_standard_evaluation(x.contiguous(), y, batch_size=batch_size)[0]
    return points


@contextmanager
def _side_effects_undone(model: nn.Module, device: torch.device) -> Iterator[None]:
    """The package seeds the global generator, overwrites the weights' gradients, removes the trace
    function and writes warnings to stderr."""
    logger, tracer = logging.getLogger("auto-attack"), sys.gettrace()
    level, gradients = logger.level, [(weight, weight.grad) for weight in model.parameters()]
    logger.setLevel(logging.ERROR)
    devices = [device] if device.type == "cuda" else []
    model.zero_grad(set_to_none=True)  # or the package would add to those of the caller
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        logger.setLevel(level)
        sys.settrace(tracer)
        for weight, gradient in gradients:
            weight.grad = gradient
