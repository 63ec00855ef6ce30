"""Rows of 0.0 % are folded on the page."""

from pathlib import Path

import pytest

from bench.report import render
from leaderboard.ranking import tables
from tests.records import make_record

pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.keys import Keys

from tests.bench.report.browser import Browser, needs_browser

pytestmark = needs_browser
MODELS = {
    "mat": (0.80, 0.50, 0.55, 0.50),
    "at": (0.90, 0.60, 0.40, 0.0),
    "trades": (0.85, 0.50, 0.40, 0.0),
}
ALL, SHOWN = set(MODELS), {"mat"}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "index.html"
    records = [make_record(name, accuracies=shares) for name, shares in MODELS.items()]
    path.write_text(render(tables(records), "html"), encoding="utf-8")
    return path


def test_rows_without_robust_examples_are_folded_until_a_click(browser: Browser) -> None:
    button = browser.one(".fold button")
    assert browser.names() == SHOWN
    assert button.text.endswith("2 rows with 0.0 %")
    assert button.get_attribute("aria-expanded") == "false"
    button.click()
    assert browser.names() == ALL
    assert button.get_attribute("aria-expanded") == "true"


def test_the_keyboard_unfolds_them(browser: Browser) -> None:
    browser.one(".fold button").send_keys(Keys.ENTER)
    assert browser.names() == ALL


def test_they_are_sorted_among_the_others_when_unfolded(browser: Browser) -> None:
    browser.one("[data-sort=clean]").click()
    assert list(browser.rows()) == ["mat"]
    browser.one(".fold button").click()
    assert list(browser.rows()) == ["at", "trades", "mat"]


def test_unticking_the_threat_that_broke_them_shows_them(browser: Browser) -> None:
    browser.tick("linf:8/255")
    assert browser.names() == ALL
    assert not browser.seen(browser.one(".fold"))


def test_they_are_shown_when_a_filter_leaves_no_other_row(browser: Browser) -> None:
    browser.one("[name=search]").send_keys("trades")
    assert browser.names() == {"trades"}


def test_paper_shows_them_all(browser: Browser) -> None:
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert browser.names() == ALL
    assert not browser.seen(browser.one(".fold"))
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen"})
