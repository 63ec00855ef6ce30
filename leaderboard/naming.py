"""What to call the rows of a table.

A row is called by its defense. Where several rows have the same defense and architecture, a row of
several runs adds what its recipe has of its own: `mat linf`, `at l2`, `teacher-student rslad`. A
single run adds the name that its user gave it: `at (eps-8)`.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from leaderboard.schema import Record

FIRST = ("threats", "variant", "tag")
"""Facts that are said before others, and by their value alone."""

Facts = Mapping[str, Any]
"""What a recipe chooses, by name; None where that isn't known."""


def names(rows: Sequence[Sequence[Record]], choices: Callable[[Record], Facts]) -> list[str]:
    """The name of each row of one table, given its runs and what tells a run's recipe."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, runs in enumerate(rows):
        groups[_defense(runs), runs[-1].model.arch].append(place)
    found = [_defense(runs) for runs in rows]
    for places in (places for places in groups.values() if len(places) > 1):
        own = {k: _called(rows[k]) for k in places}
        if any(len(rows[k]) > 1 for k in places):
            said = _said([choices(rows[k][-1]) for k in places], rows[places[0]][-1])
            twice = Counter(text for k, text in zip(places, said, strict=True) if len(rows[k]) > 1)
            for k, text in zip(places, said, strict=True):
                if len(rows[k]) > 1:
                    own[k] = text if twice[text] == 1 else f"{text} {own[k]}".strip()
        for k in places:
            found[k] = f"{found[k]} {own[k]}".strip()
    return found


def _defense(runs: Sequence[Record]) -> str:
    """The newest run's defense, or its model's name where nobody said what trained it."""
    return runs[-1].model.defense or runs[-1].model.called


def _called(runs: Sequence[Record]) -> str:
    """The shortest name of a model of the row, in brackets, unless it is the defense's."""
    name = min((run.model.called for run in runs), key=lambda name: (len(name), name))
    return "" if name == _defense(runs) else f"({name})"


def _said(choices: Sequence[Facts], record: Record) -> list[str]:
    """What tells recipes of one defense and architecture apart: of as few facts as will do, the
    values that are not the usual ones. `record` is any of their table."""
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
    """The facts that differ, the most telling first."""
    known = {fact for choice in choices for fact in choice}
    differ = [fact for fact in known if len({_value(choice, fact) for choice in choices}) > 1]
    return sorted(differ, key=lambda fact: (fact not in FIRST, fact))


def _value(choice: Facts, fact: str) -> str:
    return json.dumps(choice.get(fact), sort_keys=True)


def _usual(fact: str, values: Sequence[str], record: Record) -> str | None:
    """The value that needn't be said: of threats those of the table, or else its first; of other
    facts the one that most rows share."""
    if fact == "threats":
        table = record.protocol.threats
        return next((v for v in (json.dumps(table), json.dumps(table[:1])) if v in values), None)
    (first, most), *others = Counter(values).most_common()
    return first if most > others[0][1] else None


def _words(fact: str, value: str, record: Record) -> str:
    """A fact and its value, as short as it is clear."""
    chosen = json.loads(value)
    if fact == "threats":
        return _threats(chosen or (), record)
    text = chosen if isinstance(chosen, str) else value
    return text if fact in FIRST else f"{fact.replace('_', '-')} {text}"


def _threats(threats: Sequence[str], record: Record) -> str:
    """Norms, with their epsilons where those aren't the table's."""
    table = record.protocol.threats
    if set(threats) == set(table):
        return "union"
    return "+".join(t.partition(":")[0] if t in table else t.replace(":", " ") for t in threats)
