"""The report: complete, escaped, the same each time, of the records that every other view is made of."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.records import TrainLog, TrainLogRow, Trial
from harness.results import queries
from harness.results.leaderboard.board import leaderboard
from harness.results.render.board import short_ranking
from harness.results.render.colours import arm_looks
from harness.results.render.page import charts
from harness.results.render.page.forms import GENERATOR, to_page_html, to_page_markdown
from harness.results.render.page.page import report_page
from harness.results.render.page.records import Page, ReportContext
from harness.results.render.table import table
from harness.results.studies.comparison import Texts
from harness.results.studies.samples import SampleAnswers, shown_samples

TOLD = ReportContext("harness run short.yaml")
HOSTILE = (
    '</div></pre><script>alert(1)</script><img src="http://evil.test/a.png" onerror=alert(2)> ``` | `x` ](http://a) '
    "\x1b[31m \u202e"
)
VOID = {"meta", "link", "br", "img", "input"}


class Parsed(HTMLParser):
    """What a browser would make of it: elements, their attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def samples_of(maker: Any, drawn: int = 2, winner: str = "full") -> tuple[SampleAnswers, ...]:
    texts = Texts({one.id: one for one in maker.examples}, maker.predictions)
    return shown_samples(maker.results, texts, winner, ["full", "lora", "untrained"], drawn)


def page_of(maker: Any, **changed: Any) -> Page:
    return report_page(replace(maker.results, **changed), TOLD, samples_of(maker))


def logged(maker: Any) -> list[TrainLog]:
    rows = tuple(TrainLogRow(step, step, step, 1.0, 2.0 / step, 1.0 + 1.0 / step, 0.5) for step in range(1, 30))
    return [TrainLog("train-full-0", 1, rows), TrainLog("train-lora-0", 1, rows)]


def test_it_is_one_well_formed_file_that_asks_for_nothing(maker: Any) -> None:
    html = to_page_html(page_of(maker, logs=logged(maker)))
    page = Parsed(html)
    assert page.open == []
    assert not {"script", "img", "iframe", "object", "form", "base"} & {tag for tag, _ in page.tags}
    assert [one["href"] for one in page.of("link")] == ["data:,"]
    assert all(one["href"].startswith("#") for one in page.of("a"))
    assert re.findall(r"\b(?:https?:)?//[\w.]+", html) == []
    assert (
        not re.search(r"url\((?!#)", html)
        and "@import" not in html
        and not any("onload" in one for _, one in page.tags)
    )


def test_it_can_be_read_without_seeing_it(maker: Any) -> None:
    page = Parsed(to_page_html(page_of(maker, logs=logged(maker))))
    pictures = [one for one in page.of("svg") if one.get("aria-hidden") != "true"]
    assert len(pictures) >= 5 and all(one["role"] == "img" and len(one["aria-label"]) > 20 for one in pictures)
    assert len(page.of("caption")) == len(page.of("table")) > 5
    assert all(one.get("scope") in ("col", "row") for one in page.of("th"))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    names = [one["id"] for _, one in page.tags if "id" in one]
    assert len(names) == len(set(names))
    assert {one["href"].removeprefix("#") for one in page.of("a")} <= set(names)


def test_it_has_every_part_and_the_leaderboards_own_numbers(maker: Any) -> None:
    page = page_of(maker, logs=logged(maker))
    board = leaderboard(maker.results)
    ids = [section.id for section in page.sections]
    assert ids == [
        "leaderboard", "metrics", "failures", "cost", "ledger", "training", "forgetting", "samples", "looks",
        "settings", "reproduce",
    ]  # fmt: skip
    words = " ".join(" ".join(Parsed(to_page_html(page)).text).split())
    markdown = to_page_markdown(page)
    for row in short_ranking(board).rows:
        for cell in row:
            assert cell in words
            assert cell in markdown or cell.startswith("<")
    assert page.verdict[:-1].lower() == board.verdict.words.lower()
    assert page.verdict in words and page.verdict in markdown
    assert "out of memory at step 3" in words and "harness run short.yaml" in words
    assert "harness report short.yaml" in markdown


def test_the_same_results_give_the_same_bytes(maker: Any) -> None:
    one, other = (to_page_html(page_of(maker, logs=logged(maker))) for _ in range(2))
    assert one == other
    assert to_page_markdown(page_of(maker)) == to_page_markdown(page_of(maker))


def test_hostile_text_stands_as_text(maker: Any) -> None:
    maker.task["description"] = HOSTILE
    maker.predictions = [replace(one, text=HOSTILE) for one in maker.predictions]
    maker.examples = [replace(one, prompt=HOSTILE, references=(HOSTILE,)) for one in maker.examples]
    maker.entries = [replace(one, arm=HOSTILE if one.arm == "full" else one.arm) for one in maker.entries]
    made = samples_of(maker, winner="lora")
    assert made and all(answer.text == HOSTILE for one in made for answer in one.answers)
    page = report_page(replace(maker.results, logs=logged(maker)), TOLD, made)
    html, markdown = to_page_html(page), to_page_markdown(page)
    read = Parsed(html)
    assert read.open == [] and not {"script", "img"} & {tag for tag, _ in read.tags}
    assert "<script>alert(1)</script>" in "".join(read.text)
    for text in (html, markdown):
        assert "\x1b" not in text and "\u202e" not in text
    # In Markdown it stands in a block that it cannot close, or in a cell without markup.
    inside, fence = 0, ""
    for line in markdown.splitlines():
        found = re.match(r"`{3,}", line)
        if not fence and found:
            fence = found.group()
        elif fence and line == fence:
            fence = ""
        elif "<script>" in line:
            assert fence, line
            inside += 1
    assert inside > 0 and fence == ""


def test_samples_are_the_best_the_median_the_worst_and_some_at_random(maker: Any) -> None:
    made = samples_of(maker, 3)
    assert [one.why for one in made] == ["best of full", "median of full", "worst of full", *["drawn"] * 3]
    values = sorted(
        (score.value for score in maker.scores if score.eval_id == "eval-full-0" and score.metric == "rouge_l"),
        reverse=True,
    )
    assert [one.answers[0].value for one in made[:3]] == [values[0], values[len(values) // 2], values[-1]]
    assert len({one.example for one in made}) == 6
    assert made == samples_of(maker, 3)
    assert [one.example for one in samples_of(maker, 2)[:3]] == [one.example for one in made[:3]]
    texts = {(one.eval_id, one.example): one.text for one in maker.predictions}
    for one in made:
        assert [answer.arm for answer in one.answers] == ["full", "lora", "untrained"]
        assert one.answers[1].text == texts["eval-lora-0", one.example]


def test_lower_is_better_turns_best_and_worst_round(maker: Any) -> None:
    best = samples_of(maker, 0)
    maker.scores = [replace(s, metric="fabrications") if s.metric == "rouge_l" else s for s in maker.scores]
    maker.task["metrics"] = {"primary": "fabrications", "also": []}
    assert samples_of(maker, 0)[0].answers[0].value == best[2].answers[0].value


def test_a_sensitive_task_shows_no_sample(maker: Any) -> None:
    maker.task["sensitive"] = True
    assert samples_of(maker) == ()
    page = report_page(maker.results, TOLD)
    assert "no text of it leaves the store" in to_page_html(page)
    assert maker.examples[0].prompt not in to_page_markdown(page)


def test_long_texts_are_cut_and_say_so(maker: Any) -> None:
    maker.predictions = [replace(one, text="word " * 2000) for one in maker.predictions]
    assert samples_of(maker)[0].answers[0].text.endswith("… (6,000 more characters)")


def test_who_looked_and_where_is_not_said(maker: Any) -> None:
    results = maker.results
    looks = [replace(one, who="somebody-by-name") for one in results.looks]
    runs = [replace(one, error="cannot read /srv/secret/place/model.bin") if one.error else one for one in results.runs]
    page = report_page(replace(results, looks=looks, runs=runs), TOLD)
    for text in (to_page_html(page), to_page_markdown(page)):
        assert "somebody-by-name" not in text and "/srv/secret" not in text
        assert "model.bin" in text


def test_tuning_is_shown_with_what_was_chosen(maker: Any) -> None:
    space = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
    trials = [
        Trial(
            "x1", arm, number, 0, f"t{arm}{number}", 1000, {"learning_rate": rate}, space, False, 1.0, "ok", None,
            "rouge_l", 0.5 + number / 10, 1.0, 40, 200, 5.0, chosen=number == 2,
        )
        for arm in ("full", "lora")
        for number, rate in enumerate((1e-4, 1e-3, 1e-2))
    ]  # fmt: skip
    page = page_of(maker, trials=trials)
    [part] = [section for section in page.sections if section.id == "tuning"]
    assert part.charts[0].svg.count('class="ring"') == 2 and "0.01" in part.tables[0].rows[0][1]
    assert set(re.findall(r">(full|lora)</text>", part.charts[0].svg)) == {"full", "lora"}


def test_columns_of_numbers_are_told_from_columns_of_words() -> None:
    rows = (("full", "0.9 [0.8, 1.0]", "may be", "-"), ("lora", "<0.001", "12 as good", "(reference)"))
    assert table(["a", "b", "c", "d"], rows).numeric == (False, True, False, True)
    assert table(["a", "b", "c", "d"], rows, words=True).numeric == (False,) * 4


# ----------------------------------------------------------------------------------------------------------- charts


VARIABLE = re.compile(r"--[a-z]+\d?")


def test_colours_are_variables_of_the_style_sheet(maker: Any) -> None:
    page = page_of(maker, logs=logged(maker))
    html = to_page_html(page)
    pictures = [page.glance_chart, *(chart for section in page.sections for chart in section.charts)]
    known = set(re.findall(r"(--\w+):", html[: html.index("@media")]))
    for chart in pictures:
        assert chart is not None and not re.search(r"#[0-9a-fA-F]{3,6}\b[;\"]", chart.svg)
        assert set(VARIABLE.findall(chart.svg)) <= known


def test_pictures_share_no_id_and_point_at_their_own(maker: Any) -> None:
    page = page_of(maker, logs=logged(maker))
    seen: set[str] = set()
    for section in page.sections:
        for chart in section.charts:
            ids = set(re.findall(r' id="([^"]*)"', chart.svg))
            assert not ids & seen
            assert set(re.findall(r'(?:href="#|url\(#)([^")]*)', chart.svg)) == ids
            seen |= ids
    assert seen


def test_an_arm_has_its_colour_in_the_report(maker: Any) -> None:
    """That of its place in the experiment file; `tests/app/test_colours.py` holds the app and paper to the same."""
    looks = arm_looks(maker.results.experiment, ["untrained", "few_shot", "full", "lora", "dpo", "qlora"])
    board = leaderboard(maker.results)
    for chart in [charts.forest_chart(board, looks), *charts.cost_charts(board, looks)]:
        assert chart is not None and chart.alt
        for arm, variable in (("full", "--a0"), ("lora", "--i1")):
            [style] = re.findall(rf'<text style="([^"]*)"[^>]*>{arm}</text>', chart.svg)
            assert f"var({variable})" in style


# ---------------------------------------------------------------------------------------------------------- command


def test_another_file_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, maker: Any) -> None:
    monkeypatch.setattr(queries, "results", lambda *_: maker.results)
    bundle = tmp_path / "unread.zip"
    lines = queries.write_report(tmp_path, "short.yaml", tmp_path / "reports", 3, bundle)
    made = [tmp_path / "reports" / name for name in ("short.html", "short.md")]
    assert [line.partition(":")[0] for line in lines] == [f"wrote {file}" for file in made]
    before = (tmp_path / "reports" / "short.html").read_bytes()
    queries.write_report(tmp_path, "short.yaml", tmp_path / "reports", 3, bundle)
    assert (tmp_path / "reports" / "short.html").read_bytes() == before
    (tmp_path / "reports" / "short.md").write_text("# My own notes\n")
    with pytest.raises(UsageError, match="is no report"):
        queries.write_report(tmp_path, None, tmp_path / "reports", 3, bundle)
    assert (tmp_path / "reports" / "short.md").read_text() == "# My own notes\n"


def test_the_committed_report_is_whole_and_names_no_place() -> None:
    folder = Path(__file__).parents[2] / "reports"
    for name in ("visit_notes.html", "visit_notes.md"):
        text = (folder / name).read_text()
        assert GENERATOR in text and len(text) < 1_000_000
        assert "harness run baselines/visit_notes.yaml" in text
        assert not re.search(r"(?<![\w.<])/(?:home|root|tmp|work|Users|mnt|srv|var)/", text)
    assert Parsed((folder / "visit_notes.html").read_text()).open == []
