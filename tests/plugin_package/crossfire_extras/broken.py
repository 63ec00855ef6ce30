"""A module that can't be imported."""

import a_library_that_does_not_exist  # noqa: F401
