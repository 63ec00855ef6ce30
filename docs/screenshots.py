"""Takes the pictures of the leaderboard page that the documents show, from the published board.

    python docs/screenshots.py

Needs Debian's packages chromium and chromium-driver, and the extra `test`, which has selenium.
"""

import base64
import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from selenium import webdriver

from bench.report import render
from leaderboard.ranking import tables
from leaderboard.store import Board
from leaderboard.versions import newest

ROOT = Path(__file__).parents[1]
BOARD, IMAGES = ROOT / "leaderboard" / "published", ROOT / "docs" / "images"
SCREENS = {"desktop": (1200, 1060, "body"), "phone": (375, 812, ".board")}
"""Width and height in pixels, and what is at the top."""
COLOURS = 128
"""Of a picture's palette, which makes the files a third as large."""


def take(driver: webdriver.Chrome, page: str, width: int, height: int, top: str) -> Image.Image:
    """A page from an element on, on a screen of that size; two pixels for one on a phone."""
    scale = 2 if width < 600 else 1
    screen = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    driver.get(page)
    driver.execute_script("document.querySelector(arguments[0]).scrollIntoView()", top)
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    return Image.open(io.BytesIO(base64.b64decode(taken["data"])))


def main() -> None:
    """Write both pictures."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(argument)
    service = webdriver.ChromeService(executable_path=str(shutil.which("chromedriver")))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.html"
        path.write_text(
            render(tables(newest(Board(BOARD).records())), "html", board=BOARD), "utf-8"
        )
        driver = webdriver.Chrome(options=options, service=service)
        for name, screen in SCREENS.items():
            picture = take(driver, path.as_uri(), *screen).convert("RGB")
            file = IMAGES / f"leaderboard-{name}.png"
            picture.quantize(COLOURS).save(file, optimize=True)
            print(f"{file.relative_to(ROOT)}: {file.stat().st_size:,} bytes")
        driver.quit()


if __name__ == "__main__":
    main()
