import dataclasses

from leaderboard.changes import Change, changes
from leaderboard.schema import Finding, Record
from leaderboard.separation import Ranks
from tests.records import make_record

GOOD, FAIR, POOR = ((0.9, a, a, a) for a in (0.85, 0.5, 0.1))
LATER = "2026-02-01T00:00:00+00:00"


def record(name: str, accuracies: tuple[float, ...], seed: int = 0) -> Record:
    training = {"seed": seed}
    return make_record(name, examples=400, accuracies=accuracies, seed=seed, training=training)


def again(record: Record, **to: object) -> Record:
    return dataclasses.replace(record, created=LATER, id="", **to)  # type: ignore[arg-type]


def by_name(found: list[Change]) -> dict[str, tuple[Ranks | None, Ranks | None, tuple[str, ...]]]:
    return {change.row.name: (change.before, change.after, change.reasons) for change in found}


def test_nothing_changes_between_equal_boards() -> None:
    board = [record("a", GOOD), record("b", POOR)]
    assert changes(board, board) == []


def test_a_row_that_enters_lowers_the_ranks_of_others() -> None:
    board = [record("a", FAIR), record("b", POOR)]
    assert by_name(changes(board, [*board, record("new", GOOD)])) == {
        "new": (None, (1, 1), ("entered",)),
        "a": ((1, 1), (2, 2), ("1 entered above",)),
        "b": ((2, 2), (3, 3), ("1 entered above",)),
    }


def test_a_record_measured_again_is_superseded() -> None:
    old = record("a", GOOD)
    new = again(old)
    (change,) = changes([old], [old, new])
    assert change.reasons == (f"superseded: measured again as {new.id[:16]}",)


def test_another_seed_adds_a_run() -> None:
    board = [record("a", GOOD)]
    (change,) = changes(board, [*board, record("a", GOOD, seed=1)])
    assert change.reasons == ("runs added: 1 -> 2",)


def test_an_opened_flag_removes_the_rank_and_the_others_move_up() -> None:
    board = [record("a", GOOD), record("b", POOR)]
    flag = Finding("A8", "flag", "Square breaks more", None)
    found = by_name(changes(board, [*board, again(board[0], findings=(flag,))]))
    assert found["a"][:2] == ((1, 1), None)
    assert "flag A8 opened" in found["a"][2]
    assert found["b"] == ((2, 2), (1, 1), ("rows around it changed",))


def test_a_row_that_left_is_named() -> None:
    board = [record("a", GOOD), record("b", POOR)]
    assert by_name(changes(board, board[:1])) == {"b": ((2, 2), None, ("left",))}


def test_a_row_that_lost_a_run_says_so() -> None:
    board = [record("a", GOOD, seed=seed) for seed in (0, 1)]
    (change,) = changes(board, board[:1])
    assert change.reasons == ("runs left: 2 -> 1",)
