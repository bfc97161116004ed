"""Model output that attacks the page: nothing runs, nobody else is asked, and the text stands there as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browser_homes import hostile_home

pytestmark = pytest.mark.real

AWAY = "http://evil.test"
PAYLOADS = [
    f"![pixel]({AWAY}/a.png) :material/delete: $x^2$",
    f"[click](javascript:alert(1)) :red[red] <b>bold</b> {AWAY}/b www.evil.test",
    "<script>alert(2)</script>",
    f"<img src={AWAY}/c.png onerror=alert(3)>",
    "<svg onload=alert(4)><circle r=9></svg>",
    "`code` **bold** _em_ ~~gone~~ :smile: -> <- -- >= a_b",
    f"<svg><script href={AWAY}/d.js></script></svg>",
    "</div><img src=x onerror=alert(5)>",
    "<mark>own</mark></mark></div><script>alert(6)</script>",
    f"<iframe src='{AWAY}/e'></iframe><iframe srcdoc='<script>alert(7)</script>'></iframe>",
    "<iframe src=javascript:alert(8)>",
    f"<link rel=stylesheet href={AWAY}/f.css><style>@import '{AWAY}/g.css';</style>",
    f"<style>*{{background:url({AWAY}/h.png)}}</style>",
    f"<base href={AWAY}/><a href=i>relative</a>",
    f"<meta http-equiv=refresh content='0;url={AWAY}/j'>",
    f"<form action={AWAY}/k><button formaction=javascript:alert(9)>send</button></form>",
    f"<object data={AWAY}/l></object><embed src={AWAY}/m>",
    f"<video src={AWAY}/n onerror=alert(10)></video><audio src={AWAY}/o autoplay></audio>",
    "<details open ontoggle=alert(11)><summary>x</summary></details>",
    "<input autofocus onfocus=alert(12)><select autofocus onfocus=alert(12)></select>",
    "<body onload=alert(13)><marquee onstart=alert(13)>move</marquee>",
    '" onmouseover="alert(14)" x="',
    "' autofocus onfocus='alert(15)' x='",
    "&lt;img src=x onerror=alert(16)&gt; &#60;script&#62; &amp;lt; &nbsp;",
    "<math><mtext><table><mglyph><style><!--</style><img title='--><img src=x onerror=alert(17)>'>",
    "<noscript><p title='</noscript><img src=x onerror=alert(18)>'>",
    "<template><script>alert(19)</script></template><x onclick=alert(19) contenteditable>x</x>",
    "<!--><img src=x onerror=alert(20)>--><![CDATA[<script>alert(20)</script>]]>",
    "\uff1cscript\uff1ealert(21)\uff1c/script\uff1e \u202egnp.exe \u2066 isolate \u200bzero\u200b",
    "{{7*7}} ${7*7} #{7*7} <%= 7*7 %> {% raw %} %3Cscript%3Ealert(22)%3C/script%3E",
    "# Heading\n\n- item\n\n| a | b |\n|---|---|\n| c | d |\n\n> quote\n\n---\n\n    code",
    f"[a]: {AWAY}/p\n\n![a][a] <{AWAY}/q> <img srcset='{AWAY}/r 1x'>",
    "$$\\href{javascript:alert(23)}{x}$$ $\\includegraphics{http://evil.test/s.png}$ \\(x\\)",
    ":blue-background[x] :violet-badge[y] :streamlit: :material/home: :small[z] :shortcode:",
    "<a href='data:text/html,<script>alert(24)</script>'>x</a> <a href=' javascript:alert(24)'>y</a>",
    "<a id=stApp name=createElement></a><form name=body><input name=getElementById></form>",
    "java\tscript:alert(25)\n\ttabs\tand   spaces   stay\u00a0here",
    "<img src=x:x onerror=eval(atob('YWxlcnQoMjYp'))>\\x3cscript\\x3e\\u003cscript\\u003e",
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, chromium: Any, app_process: Any) -> Iterator[tuple[Any, str]]:
    home = tmp_path_factory.mktemp("hostile")
    token = hostile_home(home, PAYLOADS)
    app = app_process.start(home)
    yield app, token
    app.kill()


def boxes(watch: Any) -> list[str]:
    """Texts of all boxes that hold prompts, references and answers."""
    return [one.text_content() for one in watch.page.query_selector_all(".plain")]


def nothing_happened(watch: Any, links: str = "#") -> None:
    """`links`: how an address may begin; the owner's own words about a task may hold one."""
    watch.page.wait_for_timeout(120)
    assert watch.dialogs == [] and watch.elsewhere == [] and watch.errors == []
    inside = watch.page.query_selector_all(
        "[data-testid=stMain] :is(script:not(#choice-keys), iframe, img, object, embed, form, base)"
    )
    assert inside == [], [one.evaluate("one => one.outerHTML") for one in inside]
    found = [one.get_attribute("href") for one in watch.page.query_selector_all("[data-testid=stMain] a")]
    assert not [link for link in found if link and not link.startswith(("#", links))]


def test_there_are_thirty_different_ones() -> None:
    assert len(set(PAYLOADS)) == len(PAYLOADS) >= 30 and len(PAYLOADS) % 2 == 0


def test_a_reviewer_sees_text(served: tuple[Any, str], watched: Any) -> None:
    app, token = served
    watch = watched(app.url(token))
    assert boxes(watch) == [" ".join(PAYLOADS)]
    nothing_happened(watch)
    watch.begin()
    assert boxes(watch)[:3] == PAYLOADS[:3]
    labels = [one.inner_text() for one in watch.page.query_selector_all("[data-testid=stCheckbox]")]
    assert [label.replace("\u2060", "") for label in labels] == [" ".join(text.split()) for text in PAYLOADS[3:6]] * 2
    asked = [one.inner_text() for one in watch.page.query_selector_all("[data-testid=stButtonGroup] label")]
    assert [label.replace("\u2060", "") for label in asked] == [PAYLOADS[0], PAYLOADS[2]]
    nothing_happened(watch)
    seen: set[str] = set()
    for number in range(len(PAYLOADS) // 2):
        watch.page.wait_for_timeout(550)
        watch.page.keyboard.press("1")
        watch.page.wait_for_selector(f"text=/^{number} of {len(PAYLOADS) // 2}/", timeout=90_000)
        watch.settled()
        if number == 0:
            note = watch.page.inner_text("[data-testid=stAlert]").replace("\u2060", "")
            assert note == f"Most people would choose: left. {PAYLOADS[1]}"
        if number % 6 == 0:
            watch.page.click("text=Show the reference answer")
            watch.page.wait_for_selector("text=/^Reference answer$/", timeout=90_000)
            watch.settled()
        shown = boxes(watch)[:-1]
        assert set(shown) <= set(PAYLOADS)
        seen |= set(shown[-2:])
        nothing_happened(watch)
    assert seen == set(PAYLOADS), "every payload was a model's answer"
    watch.page.wait_for_timeout(550)
    watch.page.keyboard.press("1")
    watch.page.wait_for_selector("text=One last question", timeout=90_000)
    watch.settled()
    assert boxes(watch)[0] == PAYLOADS[3] and set(boxes(watch)) <= set(PAYLOADS)
    nothing_happened(watch)


def test_the_owner_sees_text(served: tuple[Any, str], watched: Any) -> None:
    app, _ = served
    watch = watched(app.link)
    assert "Verdict on these checkpoints" in watch.text()
    nothing_happened(watch, "http")
    watch.page.click("[data-testid=stSidebarNav] >> text=Compare")
    watch.page.wait_for_selector("text=Examples where they differ most", timeout=90_000)
    watch.settled()
    seen = set(boxes(watch))
    pages = watch.page.query_selector_all("[data-testid=stNumberInput] input")
    for number in range(2, (len(PAYLOADS) // 2 - 1) // 5 + 2 if pages else 0):
        watch.page.fill("[data-testid=stNumberInput] input", str(number))
        watch.page.keyboard.press("Enter")
        watch.page.wait_for_timeout(1000)
        watch.settled()
        seen |= set(boxes(watch))
        nothing_happened(watch, "http")
    assert seen == set(PAYLOADS)
    for title in ("Training", "Trade-offs", "Data", "Gates"):
        watch.page.click(f"[data-testid=stSidebarNav] >> text={title}")
        watch.page.wait_for_selector(f"h1:has-text('{title}')", timeout=90_000)
        watch.settled()
        nothing_happened(watch, "http")
