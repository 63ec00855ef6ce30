"""The passes that a training step makes are those of its paper's algorithm."""

from pathlib import Path

import pytest

from bench.models import checkpoint
from bench.plugins.registry import get_defense
from tests.defenses.test_conformance import threats
from tests.small import small_job

K = 3
"""Steps of the attack."""
M = 3
"""Threats of the defenses against a union."""
PASSES = {
    "undefended": (1, 1),
    "at": (K + 1, K + 1),
    # A clean prediction for the attack; then the image and its adversarial example.
    "trades": (1 + K + 2, K + 2),
    "mart": (K + 2, K + 2),
    # Two networks, each at three images, of which one has no gradient; one attack is TRADES's.
    "cat": (1 + 2 * (K + 3), 2 * (K + 2)),
    "fgsm-rs": (2, 2),
    "n-fgsm": (2, 2),
    # The step, the gradients at the image and near it, the derivative of the latter, the update.
    "gradalign": (4, 5),
    # Each step has a gradient, and the losses of every norm's candidate.
    "msd": (K * (1 + M) + 1, K + 1),
    "sat": (K + 1, K + 1),
    "avg": (M * (K + 1), M * (K + 1)),
    # The losses at the examples of each threat choose one of them.
    "max": (M * (K + 1) + 1, M * K + 1),
    # The last point is classified too.
    "e-at": (K + 2, K + 1),
}
"""(forward, backward) passes for each image."""


@pytest.mark.parametrize("key", PASSES)
def test_a_step_makes_the_passes_of_its_algorithm(key: str, tmp_path: Path) -> None:
    kind = get_defense(key)
    options = {"steps": K} if "steps" in kind.__dataclass_fields__ else {}  # type: ignore[attr-defined]
    kind(**options).fit(small_job(tmp_path, threats=threats(key), epochs=1))
    _, found = checkpoint.load(tmp_path)
    forward, backward = PASSES[key]
    assert (found.forward_passes, found.backward_passes) == (64 * forward, 64 * backward)
