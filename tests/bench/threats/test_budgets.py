from pathlib import Path

import pytest

from bench.errors import CrossfireError
from bench.threats import budget_dataset, resolve


def test_budgets_of_a_users_own_come_from_a_toml_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('threats = ["linf:3/255", "l2:0.25"]')
    assert [str(t) for t in resolve("union", "anything", str(file))] == ["linf:3/255", "l2:0.25"]
    assert [str(t) for t in resolve("l2", "anything", str(file))] == ["l2:0.25"]
    with pytest.raises(CrossfireError, match="has no l1"):
        resolve("l1", "anything", str(file))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("threats = [", "cannot read budgets from .*mine.toml"),
        ("", "lists no threats"),
        ("threats = []", "lists no threats"),
        ('threats = "linf:3/255"', "lists no threats"),
        ("threats = [3]", "is not NORM:EPSILON"),
    ],
)
def test_a_broken_file_of_budgets_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(CrossfireError, match=says) as caught:
        resolve("union", "cifar10", str(file))
    assert "\n" not in str(caught.value)


def test_what_is_listed_can_be_typed() -> None:
    assert resolve("union", "npz:mine.npz", "svhn/maini") == resolve("union", "svhn", "maini")


def test_data_of_a_users_own_take_the_budgets_of_what_they_look_like() -> None:
    assert budget_dataset("npz:mine.npz", (3, 32, 32)) == "cifar10"
    assert budget_dataset("folder:mine@224", (3, 224, 224)) == "imagenet"
    assert budget_dataset("svhn", (3, 32, 32)) == "svhn"
