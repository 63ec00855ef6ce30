"""Fixtures of tests with a browser: a test module gives the page, as the fixture `page`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.bench.report.browser import Browser


@pytest.fixture(scope="module")
def started(page: Path) -> "Iterator[Browser]":
    """One browser for all tests of a module."""
    from tests.bench.report.browser import Browser

    browser = Browser(page, width=1200, dark=False)
    yield browser
    browser.driver.quit()


@pytest.fixture
def browser(started: "Browser") -> "Iterator[Browser]":
    """The page as at first; the test fails if the browser logged an error."""
    started.open()
    yield started
    assert started.driver.get_log("browser") == []
