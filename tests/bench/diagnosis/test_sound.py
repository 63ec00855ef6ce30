"""No check fails on models without gradient masking."""

import pytest
from torch import nn

from bench.diagnosis.rules import RULES
from tests.bench.diagnosis.test_run import examined, failed
from tests.sound import SOUND


@pytest.mark.parametrize("name", SOUND)
def test_no_check_fails_on_a_sound_model(name: str, trained: dict[str, nn.Module]) -> None:
    found = examined(trained[name], SOUND[name][2])
    assert failed(found) == []
    assert [check.id for check in found.checks] == list(RULES)
