"""Retired words stay out of code and documents: names and sentences are the field's terms."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = (
    *("bench", "benchmarks", "defenses", "docs", "imitation_learning", "leaderboard", "tests"),
)
SUFFIXES = {".py", ".md", ".toml", ".html", ".js", ".css"}

RETIRED = {
    r"rivals?": "target classes, or other attacks",
    r"bumps?": "pattern (of Square attack)",
    r"givers?|takers?|raisers?": "source threat, other threat, alarming stages",
    r"(first|second|third) look": "stage",
    r"lots": "random order",
    r"lessons?|pupils?|classrooms?": "distillation term, student",
    r"aftermath|ledgers?|scenes?": "findings, history, data sets",
    r"fallen|still stands?|standing (example|flag)s?": "broken, robust",
    r"the measured? (never )?touch(es)?": "defenses do not use the evaluation",
    r"_deaf|_silent|side_by_side": "what the function does",
    r"purse|shelf": "budget, cache",
    r"Answer": "Response",
    r"Whole": "ExternalAttack",
    r"FLOORS|rings of imports": "LAYERS, cycle",
    r"promise_kept": "linearity",
    r"(has|had|have) withstood": "is robust",
    r"(every|each|that) (flag|example)s? (that )?fell": "broken",
    r"gradients? (that )?misleads?": "gradients are unreliable",
    r"for the eye": "for readers",
}
"""Regular expressions of whole words -> what to write instead. Add a word when it is retired."""

ALLOWED: dict[str, tuple[str, ...]] = {
    # The former name of an option, in records that were written with it.
    r"lessons?|pupils?|classrooms?": (r"lessons_on", r"\blessons-on"),
    r"Whole": (r"Whole images", r"Whole files"),
}
"""Exact phrases in which a retired word has its ordinary meaning."""


def sources() -> dict[str, str]:
    """Every file of code and documents but this one, by its path."""
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*"))]
    chosen = [path for path in (*paths, ROOT / "README.md") if path.suffix in SUFFIXES]
    return {
        str(path.relative_to(ROOT)): path.read_text()
        for path in chosen
        if path != Path(__file__) and "_build" not in path.parts
    }


def uses(word: str, text: str) -> list[str]:
    """The lines of a text that have a retired word, as a word or as a part of a name."""
    for phrase in ALLOWED.get(word, ()):
        text = re.sub(phrase, "", text)
    pattern = re.compile(rf"(?<![A-Za-z])(?:{word})(?![A-Za-z])")
    return [line.strip() for line in text.splitlines() if pattern.search(line)]


@pytest.mark.parametrize("word", RETIRED)
def test_a_retired_word_is_not_used(word: str) -> None:
    found = {path: lines for path, text in sources().items() if (lines := uses(word, text))}
    assert found == {}, f"write instead: {RETIRED[word]}"


def test_a_retired_word_is_found_in_sentences_and_in_names() -> None:
    assert uses("rivals?", "the rivals\nrival_classes = 1\narrivals, survival") == [
        "the rivals",
        "rival_classes = 1",
    ]
    assert uses("Whole", "Whole images are read.") == []
