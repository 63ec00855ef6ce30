"""The names of the rows of a table.

A row is named after its defense. Where several rows have the same defense and architecture, a row
of several runs adds the settings that distinguish its recipe: `mat linf`, `at l2`,
`teacher-student rslad`. A single run adds the name that its user chose, without a seed at its end:
`at (eps-8)`. Where that leaves equal names, the beginning of the record's id is added.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from leaderboard.schema import Record

FIRST = ("threats", "variant", "tag")
"""Settings that are named before others, by their value only."""

Facts = Mapping[str, Any]
"""The settings of a recipe by name; None where they are unknown."""


def names(rows: Sequence[Sequence[Record]], choices: Callable[[Record], Facts]) -> list[str]:
    """The name of each row of one table, from its runs and their settings."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, runs in enumerate(rows):
        groups[_defense(runs), runs[-1].model.arch].append(place)
    found = [_defense(runs) for runs in rows]
    for places in (places for places in groups.values() if len(places) > 1):
        own = {k: _called(rows[k]) for k in places}
        if any(len(rows[k]) > 1 for k in places):
            distinctions = _distinctions(
                [choices(rows[k][-1]) for k in places], rows[places[0]][-1]
            )
            counts = Counter(
                text for k, text in zip(places, distinctions, strict=True) if len(rows[k]) > 1
            )
            for k, text in zip(places, distinctions, strict=True):
                if len(rows[k]) > 1:
                    own[k] = text if counts[text] == 1 else f"{text} {own[k]}".strip()
        times = Counter(own.values())
        for k in places:
            again = f"[{rows[k][-1].id[:8]}]" if times[own[k]] > 1 else ""
            found[k] = " ".join(filter(None, (found[k], own[k], again)))
    return found


def _defense(runs: Sequence[Record]) -> str:
    """The newest run's defense, or its model's name where the defense is unknown."""
    return runs[-1].model.defense or runs[-1].model.called


def _called(runs: Sequence[Record]) -> str:
    """The shortest name of a model of the row, in brackets, unless it is the defense's name."""
    name = min(map(_without_seed, runs), key=lambda name: (len(name), name))
    return "" if name == _defense(runs) else f"({name})"


def _without_seed(run: Record) -> str:
    seed = (run.model.training or {}).get("seed")
    return run.model.called.removesuffix(f"-{seed}")


def _distinctions(choices: Sequence[Facts], record: Record) -> list[str]:
    """The text that distinguishes recipes of one defense and architecture: of as few settings as
    possible, the values that are not the usual ones. `record` is any of their table."""
    words: list[list[str]] = [[] for _ in choices]
    for fact in _differing(choices):
        if len(set(map(tuple, words))) == len(choices):
            break
        values = [_value(choice, fact) for choice in choices]
        usual = _usual(fact, values, record)
        for own, value in zip(words, values, strict=True):
            if value != usual:
                own.append(_words(fact, value, record))
    return [" ".join(own) for own in words]


def _differing(choices: Sequence[Facts]) -> list[str]:
    """The settings that differ, the most informative first."""
    known = {fact for choice in choices for fact in choice}
    differ = [fact for fact in known if len({_value(choice, fact) for choice in choices}) > 1]
    return sorted(differ, key=lambda fact: (fact not in FIRST, fact))


def _value(choice: Facts, fact: str) -> str:
    return json.dumps(choice.get(fact), sort_keys=True)


def _usual(fact: str, values: Sequence[str], record: Record) -> str | None:
    """The omitted value: for threats those of the table, or else its first; for other settings the
    most frequent one."""
    if fact == "threats":
        table = record.protocol.threats
        return next((v for v in (json.dumps(table), json.dumps(table[:1])) if v in values), None)
    (first, most), *others = Counter(values).most_common()
    return first if most > others[0][1] else None


def _words(fact: str, value: str, record: Record) -> str:
    """The name and value of a setting; the name is omitted for those of FIRST."""
    chosen = json.loads(value)
    if fact == "threats":
        return _threats(chosen or (), record)
    text = chosen if isinstance(chosen, str) else value
    return text if fact in FIRST else f"{fact.replace('_', '-')} {text}"


def _threats(threats: Sequence[str], record: Record) -> str:
    """Norms, with their epsilons where these are not the table's."""
    table = record.protocol.threats
    if set(threats) == set(table):
        return "union"
    return "+".join(t.partition(":")[0] if t in table else t.replace(":", " ") for t in threats)
