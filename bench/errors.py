"""The one error that users see."""

import difflib
from collections.abc import Iterable


class CrossfireError(Exception):
    """A mistake in the input that the user can correct.

    Its message is one line that says how to correct it; the command line prints it and exits with
    code 2.
    """


def reason(error: BaseException) -> str:
    """The type and the message of an error from another library, in one line."""
    return f"{type(error).__name__}: {error}".rstrip(": \n").splitlines()[0]


def unknown(kind: str, name: str, known: Iterable[str]) -> CrossfireError:
    """The error for an unknown name; it suggests the closest known one, or else lists all."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    advice = f"did you mean '{near[0]}'?" if near else f"choose from {', '.join(names)}"
    return CrossfireError(f"unknown {kind} '{name}'; {advice}")
