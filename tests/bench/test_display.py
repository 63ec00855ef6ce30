"""Progress: what is shown, when, and the remaining time."""

import json
import sys

import click
import pytest

from bench.display import Clock, duration, shown


def test_the_remaining_time_follows_the_speed() -> None:
    clock = Clock(now=iter([0.0, 10.0, 14.0]).__next__)
    assert clock.left(2, 10) is None
    assert clock.left(4, 10) == 12.0


def test_a_resumed_phase_does_not_count_what_was_done_before() -> None:
    clock = Clock(now=iter([0.0, 100.0, 101.0]).__next__)
    clock.left(90, 100)
    assert clock.left(91, 100) == 9.0


def test_a_new_total_begins_a_new_phase() -> None:
    clock = Clock(now=iter([0.0, 1.0, 2.0, 3.0]).__next__)
    clock.left(0, 10)
    clock.left(10, 10)
    assert clock.left(0, 20) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-:--"), (7.4, "0:07"), (61.0, "1:01"), (3661.0, "1:01:01")]
)
def test_durations_have_the_form_of_a_clock(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_plain_mode_prints_few_lines_and_the_last_one(capsys: pytest.CaptureFixture[str]) -> None:
    with shown("plain") as progress:
        for done in range(1, 101):
            progress(done, 100, "at on digits")
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert lines[-1] == "at on digits: 100/100 (100 %), 0:00 left"
    assert len(lines) == 2


def test_json_lines_parse(capsys: pytest.CaptureFixture[str]) -> None:
    with shown("json") as progress:
        progress(5, 10, "at")
    line = json.loads(capsys.readouterr().err)
    assert line == {"text": "at", "done": 5, "total": 10, "seconds_left": None}


@pytest.mark.parametrize("mode", ["none", "rich"])
def test_progress_is_never_on_stdout(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    with shown(mode) as progress:
        progress(1, 1, "at")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert (mode == "none") == (printed.err == "")


@pytest.mark.parametrize("mode", [None, "plain", "rich"])
def test_nothing_is_shown_where_stderr_is_closed(
    mode: str | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with shown(mode) as progress:
        progress(1, 1, "at")
    assert capsys.readouterr().out == ""


def test_names_are_shown_as_they_are_in_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with shown("rich") as progress:
        progress(1, 2, "at[v2] [/x] a:100:b")
    assert "at[v2] [/x] a:100:b" in capsys.readouterr().err


def test_output_during_a_bar_goes_to_stdout(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # so that the bar takes stderr for a terminal
    with shown("rich") as progress:
        progress(1, 2, "verify")
        click.echo("VALID")
    printed = capsys.readouterr()
    assert printed.out == "VALID\n"
    assert "VALID" not in printed.err
