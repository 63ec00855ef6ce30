import platform
import re
from pathlib import Path

import torch

from bench.compute.environment import commit, versions

CHECKOUT = Path(__file__).parents[3]


def test_versions_name_python_and_the_packages_that_numbers_depend_on() -> None:
    found = versions()
    assert found["python"] == platform.python_version()
    assert found["torch"] == torch.__version__.split("+")[0] or found["torch"] == torch.__version__
    assert set(found) == {"python", "crossfire", "torch", "numpy"}


def test_the_commit_of_a_checkout_is_a_full_hash_with_a_flag() -> None:
    revision, dirty = commit()
    if not (CHECKOUT / ".git").exists():
        assert (revision, dirty) == (None, None)
    else:
        assert re.fullmatch("[0-9a-f]{40}", revision or "")
        assert isinstance(dirty, bool)
