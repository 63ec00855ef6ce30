"""Property tests run without a time limit, which would depend on the machine. Shapes are checked in
all tests but those of whole evaluations, commands and defenses: it doubles their time, and the
other tests call the same functions."""

from pathlib import Path

import jaxtyping
import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

HERE = Path(__file__).parent
WHOLE_RUNS = [
    HERE / name
    for name in (
        "bench/campaign",
        "bench/cli",
        "bench/diagnosis/test_sound.py",
        "bench/evaluation/test_evaluator.py",
        "bench/evaluation/test_inputs.py",
        "bench/evaluation/test_own_attacks.py",
        "bench/evaluation/test_suites.py",
        "bench/verify",
        "defenses/test_conformance.py",
    )
]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    whole = any(item.path.is_relative_to(place) for place in WHOLE_RUNS)
    jaxtyping.config.update("jaxtyping_disable", whole)
