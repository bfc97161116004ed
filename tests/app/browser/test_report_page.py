"""The report from disk in a real browser: it asks for nothing, says nothing on the console, and fits its window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from browser_homes import hostile_home
from test_hostile_text import PAYLOADS

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report in which every text attacks."""
    from harness.results import queries

    folder = tmp_path_factory.mktemp("hostile-report")
    hostile_home(folder / "home", PAYLOADS)
    queries.write_report(folder / "home", "hostile", folder, 12)
    return folder / "hostile.html"


@dataclass
class Seen:
    """A page and all that it did."""

    page: Any
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


@pytest.fixture
def seen(chromium: Any) -> Iterator[Any]:
    contexts = []

    def opened(file: Path, width: int, scheme: str = "light") -> Seen:
        contexts.append(chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme))
        page = contexts[-1].new_page()
        found = Seen(page)
        page.on("request", lambda request: found.asked.append(request.url))
        page.on("console", lambda message: found.said.append(message.text))
        page.on("pageerror", lambda error: found.said.append(str(error)))
        page.on("dialog", lambda dialog: (found.said.append(dialog.message), dialog.dismiss()))
        page.goto(file.as_uri())
        page.wait_for_load_state("networkidle")
        return found

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("which", ["committed", "hostile"])
def test_it_opens_from_disk(seen: Any, hostile: Path, which: str, width: int, scheme: str) -> None:
    file = ROOT / "reports" / "visit_notes.html" if which == "committed" else hostile
    found = seen(file, width, scheme)
    assert [one for one in found.asked if not one.startswith("data:")] == [file.as_uri()]
    assert found.said == []
    assert found.page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert found.page.evaluate("document.fonts.size") == 0
    inside = found.page.evaluate("document.querySelectorAll('script, img, iframe, object, embed, form, base').length")
    assert inside == 0
    if which == "hostile":
        assert PAYLOADS[2] in found.page.inner_text("#samples")


CUT = """() => [...document.querySelectorAll('svg')].flatMap(svg => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter(text => {
    const own = text.getBoundingClientRect();
    return own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top - 1 || own.bottom > box.bottom + 1;
  }).map(text => text.textContent);
})"""
WIDE = """() => [...document.querySelectorAll('main *')].filter(one => {
  const scrolls = one.closest('.scroll, .text, pre, svg');
  return !scrolls && one.getBoundingClientRect().right > innerWidth + 1;
}).map(one => one.outerHTML.slice(0, 80))"""
OVER = """() => [...document.querySelectorAll('svg')].flatMap(svg => {
  const names = [...svg.querySelectorAll('.tick text')].map(text => [text.textContent, text.getBoundingClientRect()]);
  return names.flatMap(([a, one], place) => names.slice(place + 1).filter(([_, other]) =>
    one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom
  ).map(([b]) => a + ' ' + b));
})"""


@pytest.mark.parametrize("width", [1280, 400])
def test_no_word_is_cut_off_and_no_number_overlaps(seen: Any, width: int) -> None:
    page = seen(ROOT / "reports" / "visit_notes.html", width).page
    assert page.evaluate(CUT) == []
    assert page.evaluate(WIDE) == []
    assert page.evaluate(OVER) == []
    smallest = page.evaluate(
        "() => Math.min(...[...document.querySelectorAll('svg text')].map(one => one.getBoundingClientRect().height))"
    )
    assert smallest > 10


CONTRAST = """() => {
  const channel = value => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = text => {
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map(Number).map(channel);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = one => {
    for (; one; one = one.parentElement) {
      const found = getComputedStyle(one).backgroundColor;
      if (!/, 0\\)|transparent/.test(found)) return found;
    }
  };
  return [...document.querySelectorAll('p, th, td, h1, h2, h3, h4, li, dt, dd, a, figcaption, svg text')].map(one => {
    const style = getComputedStyle(one);
    const pair = [light(one.closest('svg') ? style.fill : style.color), light(behind(one))].sort((a, b) => a - b);
    return [(pair[1] + 0.05) / (pair[0] + 0.05), one.textContent.slice(0, 40)];
  }).filter(([ratio]) => ratio < 4.5).map(([ratio, text]) => ratio.toFixed(2) + ' ' + text);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(seen: Any, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: a ratio of 4.5 at least."""
    assert seen(ROOT / "reports" / "visit_notes.html", 1280, scheme).page.evaluate(CONTRAST) == []


def test_it_can_be_printed(seen: Any, tmp_path: Path) -> None:
    page = seen(ROOT / "reports" / "visit_notes.html", 1280).page
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 without its margins
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 718
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert len(page.pdf(format="A4")) > 20_000
