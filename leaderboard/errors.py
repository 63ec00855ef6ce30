"""The one error of this package that users see."""


class LeaderboardError(Exception):
    """Something about a board that the user can mend, in one line that names the mend."""
