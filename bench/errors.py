"""The one error that users see."""


class CrossfireError(Exception):
    """A mistake in the input that the user can mend.

    Its message is one line that names the mend; the command line prints it and exits with code 2.
    """
