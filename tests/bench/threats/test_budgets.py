from pathlib import Path

import pytest

from bench.errors import CrossfireError
from bench.plugins.registry import Entry
from bench.threats import budget_dataset, budgets, resolve


def test_a_users_own_budgets_are_read_from_a_toml_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('threats = ["linf:3/255", "l2:0.25"]')
    assert [str(t) for t in resolve("union", "anything", str(file))] == ["linf:3/255", "l2:0.25"]
    assert [str(t) for t in resolve("l2", "anything", str(file))] == ["l2:0.25"]
    with pytest.raises(CrossfireError, match="has no l1"):
        resolve("l1", "anything", str(file))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("threats = [", "cannot read budgets from .*mine.toml"),
        ("", "lists no threats"),
        ("threats = []", "lists no threats"),
        ('threats = "linf:3/255"', "lists no threats"),
        ("threats = [3]", "is not NORM:EPSILON"),
    ],
)
def test_a_malformed_budget_file_is_an_error_of_one_line(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(CrossfireError, match=message) as caught:
        resolve("union", "cifar10", str(file))
    assert "\n" not in str(caught.value)


def test_a_budget_set_can_be_named_by_data_set_and_name() -> None:
    assert resolve("union", "npz:mine.npz", "svhn/maini") == resolve("union", "svhn", "maini")


def test_a_plugin_adds_budget_sets_but_replaces_none_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = Entry("any", "extras 1.0", lambda: ["linf:1/255"])
    names = ("croce", "cifar10/maini", "mine")
    monkeypatch.setattr(budgets, "plugins", lambda kind: dict.fromkeys(names, entry))
    for name in ("croce", "cifar10/maini"):
        assert len(resolve("union", "cifar10", name)) == 3
    assert [str(threat) for threat in resolve("union", "cifar10", "mine")] == ["linf:1/255"]


def test_a_users_own_data_have_the_budgets_of_the_public_data_set_of_their_shape() -> None:
    assert budget_dataset("npz:mine.npz", (3, 32, 32)) == "cifar10"
    assert budget_dataset("folder:mine@224", (3, 224, 224)) == "imagenet"
    assert budget_dataset("svhn", (3, 32, 32)) == "svhn"


@pytest.mark.parametrize(
    ("data", "name", "values"),
    [
        ("cifar10", None, "linf:8/255,l2:0.5,l1:12"),
        ("cifar100", "maini", "linf:0.03,l2:0.5,l1:12"),
        ("svhn", "madaan", "linf:8/255,l2:128/255,l1:2000/255"),
        ("mnist", None, "linf:0.3,l2:2.0,l1:10"),
        ("fashion-mnist", "maini", "linf:0.3,l2:2.0,l1:10"),
        ("imagenet", None, "linf:4/255,l2:2,l1:255"),
    ],
)
def test_budgets_are_those_of_the_papers(data: str, name: str | None, values: str) -> None:
    assert [str(threat) for threat in resolve("union", data, name)] == values.split(",")
