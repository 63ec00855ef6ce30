"""Changed files: every value of a record, and bytes of its evidence, with and without new
hashes."""

import copy
import dataclasses
import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.verify import verify
from bench.verify.datasets import Datasets
from leaderboard.schema import File, digest, from_json, to_json

Place = tuple[str | int, ...]


def changes(board: Path, times: int) -> tuple[list[str], bool]:
    """Lines with the number of changes of a board's only record that `verify` found, and whether it
    found all that it must find."""
    (path,) = (board / "records").glob("*.json")
    assert verify(path).outcome == "VALID"
    lines, good = [], True
    for what, found, tried in (_values(path), _bytes(board, path, times)):
        lines.append(f"{what}: {found} of {tried} found")
        good &= found == tried
    lines += [_forged_values(path), _forged_bytes(board, path, times // 20)]
    return lines, good


def _values(path: Path) -> tuple[str, int, int]:
    """Each value of the record changed or removed, without new hashes."""
    text, found, tried = path.read_text(), 0, 0
    for changed in _changed(json.loads(text)):
        path.write_text(json.dumps(changed[1]))
        found += verify(path).outcome == "INVALID"
        tried += 1
    path.write_text(text)
    return "single values of a record, changed or left out", found, tried


def _bytes(board: Path, path: Path, times: int) -> tuple[str, int, int]:
    """Single bits of the evidence, without new hashes."""
    found = 0
    files = sorted((board / "evidence").iterdir())
    for repeat in range(times):
        with _flipped(files[repeat % len(files)]):
            found += verify(path).outcome == "INVALID"
    return "flipped bytes of evidence", found, times


def _forged_values(path: Path) -> str:
    """The same with a new id of the record: the values that only the id protects."""
    text, unnoticed, tried = path.read_text(), set(), 0
    datasets = Datasets()
    for place, changed in _changed(json.loads(text)):
        if place == ("id",):
            continue
        changed["id"] = digest(changed)
        path.write_text(json.dumps(changed))
        tried += 1
        if verify(path, None, datasets).outcome == "VALID":
            unnoticed.add(".".join("*" if isinstance(part, int) else part for part in place))
    path.write_text(text)
    return (
        f"the same with a new id: {tried} tried, still VALID in {len(unnoticed)} fields: "
        f"{', '.join(sorted(unnoticed))}"
    )


def _forged_bytes(board: Path, path: Path, times: int) -> str:
    """Flipped bits with a new hash of the file and a new id of the record."""
    record, text = from_json(path.read_bytes()), path.read_text()
    found = Counter[str]()
    assert record.evidence is not None
    assert record.evidence.adversarial is not None
    datasets = Datasets()
    for repeat in range(times):
        which = ("adversarial", "table")[repeat % 2]
        file = board / getattr(record.evidence, which).file
        with _flipped(file):
            sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
            named = File(getattr(record.evidence, which).file, sha256)
            evidence = dataclasses.replace(record.evidence, **{which: named})
            path.write_text(to_json(dataclasses.replace(record, evidence=evidence, id="")))
            found[which] += verify(path, None, datasets).outcome == "INVALID"
    path.write_text(text)
    return (
        f"flipped bytes with new hashes and id: {found['adversarial']} of {times // 2} found in "
        f"adversarial examples, {found['table']} of {times // 2} in the table"
    )


class _flipped:
    """A file with one random bit flipped, restored at the end."""

    def __init__(self, file: Path) -> None:
        self.file, self.content = file, file.read_bytes()

    def __enter__(self) -> None:
        data = bytearray(self.content)
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        self.file.write_bytes(data)

    def __exit__(self, *_: object) -> None:
        self.file.write_bytes(self.content)


def _changed(data: dict[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The path of a value, and the data with that value changed or removed."""
    for place, value in _leaves(data):
        for what in ("change", "drop"):
            changed = copy.deepcopy(data)
            parent: Any = changed
            for part in place[:-1]:
                parent = parent[part]
            if what == "drop":
                del parent[place[-1]]
            else:
                parent[place[-1]] = _other(value)
            yield place, changed


def _leaves(data: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:  # noqa: ANN401
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for name, value in items:
        if isinstance(value, dict | list) and value:
            yield from _leaves(value, (*place, name))
        else:
            yield (*place, name), value


def _other(value: Any) -> Any:  # noqa: ANN401
    """Another value of the same kind."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str) and value:
        last = value[-1]
        return value[:-1] + ("0" if last != "0" else "1")
    return "1"
