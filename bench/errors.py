"""The one error that users see."""

import difflib
from collections.abc import Iterable


class CrossfireError(Exception):
    """A mistake in the input that the user can mend.

    Its message is one line that names the mend; the command line prints it and exits with code 2.
    """


def reason(error: Exception) -> str:
    """What an error of somebody else's says, in one line."""
    return f"{type(error).__name__}: {error}".rstrip(": \n").splitlines()[0]


def unknown(kind: str, name: str, known: Iterable[str]) -> CrossfireError:
    """The error for a name that isn't known: its nearest neighbour, or else all that there is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    mend = f"did you mean '{near[0]}'?" if near else f"choose from {', '.join(names)}"
    return CrossfireError(f"unknown {kind} '{name}'; {mend}")
