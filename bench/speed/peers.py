"""PGD-100 of other toolboxes, if installed, for the comparison of `bench speed`.

Each takes (model, x, y, threat) and returns adversarial examples; settings are those of the suite
`pgd-100`: cross-entropy, a random start, 100 steps of epsilon / 4.
"""

import importlib.util
from collections.abc import Callable
from functools import cache
from importlib import metadata
from typing import Any

import torch
from torch import Tensor, nn

from bench.threats import Norm, Threat

Peer = Callable[[nn.Module, Tensor, Tensor, Threat], Tensor]
STEPS = 100


def _torchattacks(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    import torchattacks

    step = threat.eps / 4
    if threat.norm == "linf":
        attack = torchattacks.PGD(model, eps=threat.eps, alpha=step, steps=STEPS)
    else:
        attack = torchattacks.PGDL2(model, eps=threat.eps, alpha=step, steps=STEPS)
    adversarial: Tensor = attack(x, y)
    return adversarial


def _foolbox(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    import foolbox.models.pytorch

    kinds: dict[Norm, Any] = {
        "linf": foolbox.attacks.LinfPGD,
        "l2": foolbox.attacks.L2PGD,
        "l1": foolbox.attacks.L1PGD,
    }
    attack = kinds[threat.norm](rel_stepsize=0.25, steps=STEPS)
    wrapped = foolbox.models.pytorch.PyTorchModel(model, (0, 1))
    adversarial: Tensor = attack(wrapped, x, y, epsilons=threat.eps)[1]
    return adversarial


def _art(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        model=model,
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(x.shape[1:]),
        nb_classes=model(x[:1]).shape[1],
        clip_values=(0.0, 1.0),
        device_type=str(x.device.type),
    )
    norms: dict[Norm, int | str] = {"linf": "inf", "l2": 2, "l1": 1}
    attack = ProjectedGradientDescent(
        classifier,
        norm=norms[threat.norm],
        eps=threat.eps,
        eps_step=threat.eps / 4,
        max_iter=STEPS,
        num_random_init=1,
        batch_size=len(x),
        verbose=False,
    )
    return torch.from_numpy(attack.generate(x.cpu().numpy(), y.cpu().numpy())).to(x.device)


_ALL: dict[str, tuple[Peer, tuple[str, ...]]] = {
    "torchattacks": (_torchattacks, ("linf", "l2")),
    "foolbox": (_foolbox, ("linf", "l2", "l1")),
    "art": (_art, ("linf", "l2", "l1")),
}
"""Name of the package, its attack, and the norms of its PGD."""


def installed(threat: Threat) -> dict[str, Peer]:
    """The toolboxes that are installed and have PGD for the threat's norm."""
    return {
        name: peer
        for name, (peer, norms) in _ALL.items()
        if threat.norm in norms and importlib.util.find_spec(name)
    }


@cache
def version(package: str) -> str:
    """The distribution of a package, with its version; empty if it is not installed."""
    names = metadata.packages_distributions().get(package, [])
    return ", ".join(f"{name} {metadata.version(name)}" for name in names)
