"""A picture of every page, light and dark, 1280 and 820 wide.  python bench/screenshots.py --home HOME --out FOLDER

Or of a report, 1280 and 400 wide:  python bench/screenshots.py --report reports/visit_notes.html

The home folder holds a finished experiment; a review round in it is opened beforehand with `harness review open` and
its reviewer's token given with --token. Needs a Chromium. Prints the number of pictures, and exits with 1 when a page
showed an exception or said something on the console.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import Any

import app_process
from PIL import Image
from playwright.sync_api import sync_playwright

SETTLED = "[data-testid=stApp][data-test-script-state=notRunning]"
WAIT = 90_000
COLOURS = 160


def save(page: Any, file: Path, full: bool = True, most: int = 1800) -> None:
    """A small picture of at most so many pixels of height: few colours are enough for text and charts."""
    picture = Image.open(io.BytesIO(page.screenshot(full_page=full))).convert("RGB")
    file.parent.mkdir(parents=True, exist_ok=True)
    # The app scrolls inside: a picture of it all is cut where it gets too long to look at.
    height = min(picture.height, most)
    picture.crop((0, 0, picture.width, height)).quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=2).save(
        file, optimize=True
    )


def settle(page: Any) -> None:
    page.wait_for_selector(SETTLED, timeout=WAIT)
    page.wait_for_timeout(1500)
    # Pages scroll in a part of the window: make the window as tall as what is in it.
    tall = page.evaluate("() => document.querySelector('[data-testid=stMainBlockContainer]').scrollHeight + 40")
    page.set_viewport_size({"width": page.viewport_size["width"], "height": int(min(max(tall, 700), 2600))})
    page.wait_for_timeout(1000)


def owner(page: Any, app: Any, name: Any) -> None:
    """All pages of the owner."""
    page.goto(app.link, timeout=WAIT)
    settle(page)
    links = page.query_selector_all("[data-testid=stSidebarNavLink]")
    addresses = {link.get_attribute("href").rstrip("/").rsplit("/", 1)[-1]: link.inner_text() for link in links}
    token = app.link.partition("?")[2]
    for place, (address, title) in enumerate(addresses.items()):
        page.set_viewport_size({"width": page.viewport_size["width"], "height": 900})
        page.goto(f"{app.address}/{address if place else ''}?{token}", timeout=WAIT)
        page.wait_for_selector(f"h1:has-text('{title}')", timeout=WAIT)
        settle(page)
        save(page, name(title))


def reviewer(page: Any, app: Any, token: str, name: Any) -> None:
    """The instructions, and a pair."""
    page.goto(app.url(token), timeout=WAIT)
    settle(page)
    if page.query_selector("text=Thank you for reviewing"):
        save(page, name("Instructions"))
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Left is better", timeout=WAIT)
        settle(page)
    if page.query_selector("text=this pair does not count"):
        page.keyboard.press("1")
        page.wait_for_timeout(1500)
    settle(page)
    save(page, name("Review"))


def report(chromium: Any, file: Path, out: Path, wrong: list[str]) -> None:
    """The upper part of a report, from disk."""
    for scheme in ("light", "dark"):
        for width in (1280, 400):
            page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith("file:") else None)
            page.goto(file.absolute().as_uri(), timeout=WAIT)
            save(page, out / f"report-{scheme}-{width}.png", most=3600)
            page.close()


def main() -> int:
    """Take them."""
    parser = argparse.ArgumentParser(description="Pictures of every page")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--report", type=Path, help="a report in place of the app")
    parser.add_argument("--out", type=Path, default=Path("reports/screens"))
    parser.add_argument("--token", help="a reviewer's")
    given = parser.parse_args()
    path = app_process.browser()
    if path is None:
        print("no Chromium is installed", file=sys.stderr)
        return 2
    wrong: list[str] = []
    if given.report is not None:
        with sync_playwright() as tools:
            chromium = tools.chromium.launch(executable_path=path, args=app_process.FLAGS)
            report(chromium, given.report, given.out, wrong)
            chromium.close()
        return told(given.out, wrong)
    app = app_process.start(given.home)
    try:
        with sync_playwright() as tools:
            chromium = tools.chromium.launch(executable_path=path, args=app_process.FLAGS)
            for scheme in ("light", "dark"):
                for width in (1280, 820):
                    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
                    page.on("pageerror", lambda error: wrong.append(str(error)))

                    def name(title: str, suffix: str = f"{scheme}-{width}") -> Path:
                        return Path(given.out / f"{title.lower().replace(' ', '_')}-{suffix}.png")

                    if given.token:
                        reviewer(page, app, given.token, name)
                    owner(page, app, name)
                    page.close()
            chromium.close()
    finally:
        app.kill()
    return told(given.out, wrong)


def told(out: Path, wrong: list[str]) -> int:
    """Say what there is."""
    files = sorted(out.glob("*.png"))
    for line in wrong:
        print(f"FOUND {line}")
    print(f"{len(files)} pictures, the largest {max(file.stat().st_size for file in files) / 1000:.0f} kB")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
