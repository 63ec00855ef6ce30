"""The error of this package that is shown to users."""


class LeaderboardError(Exception):
    """An error that the user can correct; the message is one line that says how."""
