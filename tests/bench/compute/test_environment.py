import platform
import re

import torch

from bench.compute.environment import commit, versions


def test_versions_name_python_and_the_packages_that_numbers_depend_on() -> None:
    found = versions()
    assert found["python"] == platform.python_version()
    assert found["torch"] == torch.__version__.split("+")[0] or found["torch"] == torch.__version__
    assert set(found) == {"python", "crossfire", "torch", "numpy"}


def test_commit_is_a_full_hash_with_a_flag_or_nothing() -> None:
    revision, dirty = commit()
    if revision is None:
        assert dirty is None
    else:
        assert re.fullmatch("[0-9a-f]{40}", revision)
        assert isinstance(dirty, bool)
