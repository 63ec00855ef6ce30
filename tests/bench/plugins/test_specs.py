from pathlib import Path

import pytest

from bench.plugins.specs import parse, split


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mine.py:attack", ("mine.py", "attack")),
        ("my files/a:b, c/mine.py:attack", ("my files/a:b, c/mine.py", "attack")),
        ("mine.py", ("mine.py", "")),
        ("l2l:runs/l2l-0", None),
        ("pgd-100", None),
    ],
)
def test_a_name_in_a_file_is_told_from_other_names(
    text: str, expected: tuple[str, str] | None
) -> None:
    found = parse(text)
    assert (found and (str(found.file), found.name)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pgd-100,crossfire", ("pgd-100", "crossfire")),
        ("fab,one, two.py:a,mine.py:b", ("fab", "one, two.py:a", "mine.py:b")),
        ("one, two.py:a", ("one, two.py:a",)),
        ("fab,missing.py:a", ("fab", "missing.py:a")),
    ],
)
def test_only_the_path_of_an_existing_file_contains_commas(
    text: str, expected: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one, two.py", "mine.py"):
        Path(name).touch()
    assert split(text) == expected
