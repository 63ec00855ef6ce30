"""The page in a real browser: sort, filter, tick, open a card; no error in the console."""

import dataclasses
from pathlib import Path

import pytest

from bench.report import render
from bench.report.wording import rank
from leaderboard.flags import conjunction, count
from leaderboard.frame import cells
from leaderboard.ranking import tables
from leaderboard.schema import Finding, Record
from leaderboard.store import Board
from tests.records import THREATS, make_images, make_record, make_table

pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.bench.report.browser import Browser, needs_browser

pytestmark = needs_browser
FLAG = Finding("A8", "flag", "Square breaks 3 examples that APGD left", 3.0)
MODELS = {
    "undefended": (0.95, 0.01, 0.05, 0.01),
    "at-linf": (0.85, 0.60, 0.40, 0.10),
    "at-l1": (0.90, 0.10, 0.40, 0.60),
    "mat": (0.80, 0.50, 0.55, 0.50),
    "trades": (0.80, 0.49, 0.56, 0.50),
}


def make_records() -> list[Record]:
    def record(name: str, **options: object) -> Record:
        cost = {"forward_passes": 10 ** (5 + len(name) % 3), "backward_passes": 0, "seconds": 9.0}
        training = {"seed": options.get("seed", 0), "threats": ["linf:8/255"], **cost}
        return make_record(name, examples=300, training=training, **options)  # type: ignore[arg-type]

    records = [record(name, accuracies=accuracies) for name, accuracies in MODELS.items()]
    records += [record("mat", seed=seed, accuracies=MODELS["mat"]) for seed in (1, 2)]
    records.append(record("masked", accuracies=(0.9, 0.8, 0.8, 0.8), findings=(FLAG,)))
    suites = ("pgd-100", "autoattack")
    return [*records, record("other", dataset="svhn", arch="cnn", suites=suites)]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    board = Board(folder / "board")
    for record in make_records():
        images = make_images(record, folder / "images.safetensors")
        board.append(record, make_table(record), images)
    text = render(tables(board.records()), "html", published=True, board=board.folder)
    (folder / "index.html").write_text(text, encoding="utf-8")
    return folder / "index.html"


def ranks(threats: tuple[str, ...]) -> dict[str, str]:
    """What `leaderboard.ranking` says when only these threats count."""
    (table,) = tables([only(r, threats) for r in make_records() if r.data.name == "cifar10"])
    return {row["defense"]: rank(row) for row in cells(table)}


def only(record: Record, threats: tuple[str, ...]) -> Record:
    verdicts = tuple(verdict for verdict in record.verdicts if verdict.threat in threats)
    union = conjunction([record.clean, *(verdict.flags for verdict in verdicts)])
    protocol = dataclasses.replace(record.protocol, threats=threats)
    return dataclasses.replace(record, verdicts=verdicts, union=union, protocol=protocol, id="")


RANKINGS = """
let calls = 0;
const rankRows = rank;
rank = (...given) => { calls++; rankRows(...given); };
update();
rank = rankRows;
return calls;
"""


def test_a_board_is_ranked_again_only_where_something_is_not_ticked(browser: Browser) -> None:
    assert browser.driver.execute_script(RANKINGS) == 0
    browser.tick(THREATS[0])
    assert browser.driver.execute_script(RANKINGS) == 2
    browser.tick(*THREATS)
    assert list(browser.rows()) == list(ranks(THREATS))


@pytest.mark.parametrize("threats", [THREATS, THREATS[:1], THREATS[1:], THREATS[::2]])
def test_ranks_follow_the_ticked_threats_as_the_library_has_them(
    browser: Browser, threats: tuple[str, ...]
) -> None:
    browser.tick(*threats)
    ours = [item for item in browser.rows().items() if item[0] in {*MODELS, "masked"}]
    assert ours == list(ranks(threats).items())


def test_without_any_threat_the_ranking_is_by_clean_accuracy(browser: Browser) -> None:
    browser.tick()
    assert next(iter(browser.rows())) == "undefended"
    assert "ranked by clean accuracy" in browser.one("#status").text


def test_unticking_leaves_what_the_page_showed_at_first(browser: Browser) -> None:
    before = browser.one("main").text
    browser.tick("l2:0.5")
    assert browser.one("main").text != before
    browser.one("[type=reset]").click()
    browser.driver.execute_async_script("setTimeout(arguments[0])")
    assert browser.one("main").text == before


def test_attacks_can_be_left_out_and_tables_without_any_are_hidden(browser: Browser) -> None:
    cell = browser.one("[data-dataset=svhn] td[data-threat='l1:12'] .value")
    browser.one("[name=suite][value=pgd-100]").click()
    assert browser.names() == {"other"}
    other = make_records()[-1]
    robust = count(conjunction([other.clean, other.measured["l1:12/autoattack"]]))
    assert cell.text == f"{100 * robust / 300:.1f}"
    browser.one("[name=suite][value=pgd-100]").click()
    assert cell.text != f"{100 * robust / 300:.1f}"


def test_published_rows_stand_beside_when_their_threat_is_alone(browser: Browser) -> None:
    assert "Wang2023Better_WRN-70-16" not in browser.rows()
    browser.tick("linf:8/255")
    rows = browser.rows()
    assert rows["Wang2023Better_WRN-70-16"] == "–"
    assert list(rows).index("Wang2023Better_WRN-70-16") < list(rows).index("at-linf")


@pytest.mark.parametrize("column", ["name", "clean", "l1:12", "union", "cost", "rank"])
def test_a_click_on_a_heading_sorts_and_a_second_turns_the_order(
    browser: Browser, column: str
) -> None:
    button = browser.one(f"[data-table='0'] [data-sort='{column}']")
    if column != "rank":
        button.click()
    heading = button.find_element(By.XPATH, "..")
    first, order = heading.get_attribute("aria-sort"), list(browser.rows())[:-1]
    button.click()
    assert {first, heading.get_attribute("aria-sort")} == {"ascending", "descending"}
    turned = list(browser.rows())[:-1]
    assert turned == order[::-1]
    assert list(browser.rows())[-1] == "masked"


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("dataset", "svhn", {"other"}),
        ("arch", "cnn", {"other"}),
        ("trained", "several", set()),
        ("trained", "linf", {*MODELS, "masked", "other"}),
        ("extra", "no", {*MODELS, "masked", "other"}),
        ("extra", "yes", set()),
        ("cost", "1e5", {"mat", "masked", "trades"}),
    ],
)
def test_filters_hide_other_rows_and_say_how_many_are_left(
    browser: Browser, name: str, value: str, left: set[str]
) -> None:
    browser.choose(name, value)
    assert browser.names() == left
    assert browser.one("#status").text.startswith(f"{len(left)} of ")


def test_the_search_finds_names_and_hashes(browser: Browser) -> None:
    browser.one("[name=search]").send_keys("TRADES")
    assert list(browser.rows()) == ["trades"]


def test_a_click_on_a_row_opens_its_card_and_escape_gives_the_focus_back(browser: Browser) -> None:
    row = next(
        r
        for r in browser.all("tbody tr[data-id]")
        if r.find_element(By.CSS_SELECTOR, ".open").text == "mat"
    )
    row.find_element(By.CSS_SELECTOR, "td.clean").click()
    card = browser.one("dialog")
    assert browser.seen(card)
    for words in (
        "mat preactresnet18",
        "Accuracy against ε",
        "robust after each attack",
        "Reproduce it",
    ):
        assert words in card.text
    assert len(browser.all("dialog .charts svg")) == 3
    assert len([image for image in browser.all("dialog img") if image.get_property("naturalWidth")])
    assert browser.one("dialog .cost-slot .here").is_displayed()
    browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not browser.seen(card)


def test_everything_works_from_the_keyboard(browser: Browser) -> None:
    button = browser.one("tbody .open")
    button.send_keys(Keys.ENTER)
    assert browser.seen(browser.one("dialog"))
    inside = "return document.querySelector('dialog').contains(document.activeElement)"
    assert browser.driver.execute_script(inside)
    browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert browser.driver.switch_to.active_element == button
    heading = browser.one("[data-sort=clean]")
    heading.send_keys(Keys.SPACE)
    assert next(iter(browser.rows())) == "undefended"


def test_an_address_with_a_row_opens_its_card(browser: Browser) -> None:
    row = browser.one("tbody tr[data-id]").get_attribute("data-id")
    browser.open(f"#{row}")
    assert browser.seen(browser.one("dialog"))
    browser.one(".close").click()
    WebDriverWait(browser.driver, 5).until(lambda driver: "#" not in driver.current_url)


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_needs_no_sideways_scrolling_and_every_control_has_a_name(
    page: Path, dark: bool
) -> None:
    browser = Browser(page, width=375, dark=dark)
    try:
        assert browser.width("documentElement") <= 375
        assert browser.nameless("form, table") == []
        browser.one("tbody .open").click()
        assert browser.width("querySelector('dialog')") <= 375
        assert browser.nameless("dialog") == []
        background = "return getComputedStyle(document.body).backgroundColor"
        light = sum(map(int, browser.driver.execute_script(background)[4:-1].split(",")))
        assert (light < 200) == dark
        assert browser.driver.get_log("browser") == []
    finally:
        browser.driver.quit()
