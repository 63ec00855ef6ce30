"""AutoAttack's standard version as its authors' package runs it: the reference for parity.

The only file that imports pyautoattack. It hands it what its defects need: contiguous images, a
fixed seed, and no more target classes than there are.
"""

import torch
from jaxtyping import Int
from torch import Tensor, nn

from bench.errors import CrossfireError
from bench.geometry import Batch
from bench.threats import Norm, Threat

NAMES: dict[Norm, str] = {"linf": "Linf", "l2": "L2", "l1": "L1"}
BATCH = 128


def autoattack_reference(
    model: nn.Module, x: Batch, y: Int[Tensor, " n"], threat: Threat, *, seed: int = 0
) -> Batch:
    """Adversarial examples of x (n, c, h, w) in [0, 1] by pyautoattack, standard version.

    With fewer than four classes the targeted DLR loss is undefined, and its attack is left out.

    Raises:
        CrossfireError: pyautoattack isn't installed.
    """
    try:
        from pyautoattack import AutoAttack
    except ImportError:
        raise CrossfireError("the reference is missing; run: pip install pyautoattack") from None
    attack = AutoAttack(
        model,
        norm=NAMES[threat.norm],
        eps=threat.eps,
        seed=seed,
        version="standard",
        device=x.device,
    )
    with torch.no_grad():
        classes = model(x[:1]).shape[1]
    attack.fab.n_target_classes = min(9, classes - 1)
    targets = min(attack.apgd_targeted.n_target_classes, classes - 1)
    attack.apgd_targeted.n_target_classes = targets
    if classes < 4:
        attack.attacks_to_run = ["apgd-ce", "fab-t", "square"]
    points: Tensor = attack.run_standard_evaluation(x.contiguous(), y, batch_size=BATCH)[0]
    return points
