"""A headless browser that shows a page of `bench report`, for tests."""

import shutil
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="needs Debian's packages chromium and chromium-driver"
)

ROWS = """
return [...document.querySelectorAll("[data-table='0'] tbody tr:is([data-id], .published)")]
  .filter(row => row.checkVisibility())
  .map(row => [".who > *", ".rank"].map(cell => row.querySelector(cell).textContent.trim()));
"""
NAMES = """
return [...document.querySelectorAll("tbody .open")]
  .filter(name => name.checkVisibility()).map(name => name.textContent);
"""


class Browser:
    """The page as a reader has it."""

    def __init__(self, page: Path, width: int, dark: bool) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = str(BROWSER)
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(executable_path=str(DRIVER))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.implicitly_wait(10)  # seconds; a busy machine shows the page late
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.address = page.as_uri()
        self.open()

    def open(self, hash_: str = "") -> None:
        self.driver.get("about:blank")
        self.driver.get(self.address + hash_)

    def all(self, selector: str) -> list[WebElement]:
        found: list[WebElement] = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return found

    def one(self, selector: str) -> WebElement:
        return self.all(selector)[0]

    def rows(self) -> dict[str, str]:
        """Rank by name, in the order of the first table's visible rows."""
        return dict(self.driver.execute_script(ROWS))

    def names(self) -> set[str]:
        """The names of all tables' visible rows."""
        return set(self.driver.execute_script(NAMES))

    def seen(self, element: WebElement) -> bool:
        return bool(element.is_displayed())

    def width(self, what: str) -> int:
        """How wide the content of a part of the document is, in pixels."""
        return int(self.driver.execute_script(f"return document.{what}.scrollWidth"))

    def nameless(self, where: str) -> list[WebElement]:
        """Controls without an accessible name."""
        controls = self.all(f":is({where}) :is(button, input, select, svg, img)")
        return [c for c in controls if self.seen(c) and not c.accessible_name]

    def tick(self, *threats: str) -> None:
        """Leave exactly these threats ticked."""
        for box in self.all("[name=threat]"):
            if box.is_selected() != (box.get_attribute("value") in threats):
                box.click()

    def choose(self, name: str, value: str) -> None:
        Select(self.one(f"[name={name}]")).select_by_value(value)
