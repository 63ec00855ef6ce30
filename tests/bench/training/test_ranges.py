"""What options may be is checked before any training."""

from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_origin

import jaxtyping
import pytest

from bench.errors import CrossfireError
from bench.plugins.registry import defenses, get_defense
from tests.small import LINF, small_job


@pytest.fixture(autouse=True)
def without_checks_of_types() -> None:
    """As for a user; the next test has them again."""
    jaxtyping.config.update("jaxtyping_disable", True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"precision": "fp16"}, "unknown precision 'fp16'; did you mean 'bf16'?"),
        ({"augment": "flip"}, "unknown augment 'flip'; did you mean 'crop-flip'?"),
        ({"device": "cuda:0"}, "unknown device 'cuda:0'; did you mean 'cuda'?"),
        ({"schedule": "linear"}, "unknown schedule 'linear'; choose from constant, cosine, cyclic"),
        ({"schedule": None}, "unknown schedule 'None'; did you mean 'cosine'?"),
        ({"threats": "linf:0.1"}, "threats are 'linf:0.1'; give a tuple such as (Threat.parse("),
        ({"threats": ("linf:0.1",)}, "threats are ('linf:0.1',); give a tuple such as ("),
        ({"threats": LINF}, "threats are Threat(norm='linf'"),
    ],
)
def test_a_setting_of_a_job_that_is_no_choice_is_refused(
    given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CrossfireError) as caught:
        small_job(tmp_path, **given)
    assert str(caught.value).startswith(message)


CHOICES = [
    (kind, item.name)
    for kind in map(get_defense, defenses())
    for item in fields(kind)
    if get_origin(item.type) is Literal
]


@pytest.mark.parametrize(("kind", "name"), CHOICES)
def test_an_option_of_a_defense_that_is_no_choice_is_refused_before_any_training(
    kind: type[Any], name: str, tmp_path: Path
) -> None:
    with pytest.raises(CrossfireError, match=f"unknown {name.replace('_', '-')} 'x'; choose"):
        kind(**{name: "x"}).fit(small_job(tmp_path / "run"))
    assert not list(tmp_path.iterdir())
