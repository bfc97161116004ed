"""The hyper-parameter appendix as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

from harness.results.render.csv import one_line
from harness.results.render.latex import escape
from harness.results.render.markdown import safe
from harness.results.studies.appendix import Appendix, Block, Setting, Value

FIELDS = ("experiment", "arm", "part", "library", "setting", "value", "default", "differs", "recipe")
"""Columns. `arm` is empty for what holds for all; `recipe` is what stood there before tuning chose."""
MARK = "*"
DIFFERS = f"{MARK} differs from the library's default, which stands in the last column."


def appendix_to_markdown(found: Appendix) -> str:
    """Headings and tables; a setting that every arm left at its library's default stands in one line below."""
    notes = [f"- {safe(note)}" for note in found.notes]
    lines = [f"# Settings of {safe(found.name)}", *(["", *notes] if notes else [])]
    lines += ["", "## Experiment", "", *_rows(["setting", "value"], found.shared)]
    lines += ["## Recipes", "", *_markdown_block(found, found.recipes)]
    for block in found.libraries:
        lines += [f"## {block.library}: {safe(block.title)}", "", *_markdown_block(found, block)]
        if block.untouched:
            lines += [f"As the library has them: {safe(_listed(block.untouched))}.", ""]
    lines += ["## Versions", "", ", ".join(f"{name} {version}" for name, version in map(_safe_pair, found.versions))]
    return "\n".join(lines).rstrip() + "\n"


def appendix_to_latex(found: Appendix) -> str:
    r"""A `table` for each part and a paragraph for what was left at its default; needs `\usepackage{booktabs}`."""
    lines = [r"% \usepackage{booktabs}", *(f"% {escape(note)}" for note in found.notes)]
    heads = ["setting", "value"]
    rows = [[escape(name), escape(value)] for name, value in found.shared]
    lines += _latex_table(f"Settings of {escape(found.name)} that hold for all arms.", heads, rows)
    lines += _latex_block(found, found.recipes, f"Recipes of {escape(found.name)}." + _tuned_note(found.recipes))
    for block in found.libraries:
        title = f"{escape(block.library)}: \\texttt{{{escape(block.title)}}}."
        if any(setting.default is not None for setting in block.different):
            title += f" {escape(DIFFERS)}"
        lines += _latex_block(found, block, title)
        if block.untouched:
            lines += [
                f"\\paragraph{{\\texttt{{{escape(block.title)}}}, as the library has them:}}",
                f"{escape(_listed(block.untouched))}.",
                "",
            ]
    versions = ", ".join(f"{name} {version}" for name, version in found.versions)
    lines += [r"\paragraph{Versions:}", f"{escape(versions)}."]
    lines += [escape(f"{note[0].upper()}{note[1:]}.") for note in found.notes]
    return "\n".join(lines) + "\n"


def appendix_to_csv(found: Appendix) -> str:
    """One row for each arm and setting, those left at their defaults too."""
    target = io.StringIO()
    writer = csv.DictWriter(target, FIELDS, lineterminator="\n")
    writer.writeheader()
    common = {"experiment": one_line(found.name)}
    for name, text in found.shared:
        writer.writerow({**common, "part": "experiment", "setting": one_line(name), "value": one_line(text)})
    for block in (found.recipes, *found.libraries):
        for setting in block.settings:
            for arm, value in setting.values.items():
                row = {"arm": arm, "part": block.title, "library": block.library, "setting": setting.name}
                row |= {"value": value.text, "default": setting.default or "", "recipe": value.recipe}
                differs = "" if setting.default is None else str(value.differs).lower()
                writer.writerow({**common, **{name: one_line(text) for name, text in row.items()}, "differs": differs})
    for name, version in found.versions:
        writer.writerow({**common, "part": "versions", "setting": one_line(name), "value": one_line(version)})
    return target.getvalue()


APPENDIX_FORMS: dict[str, Callable[[Appendix], str]] = {
    "markdown": appendix_to_markdown,
    "latex": appendix_to_latex,
    "csv": appendix_to_csv,
}
"""By the name that the command line has for them."""


def recipe_cells(found: Appendix) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the recipes, a column for each arm."""
    rows = [_cells(found, setting, False) for setting in found.recipes.different]
    return ["setting", *found.arms], rows


def _cells(found: Appendix, setting: Setting, library: bool) -> list[str]:
    cells = [setting.name, *(_cell(setting.values.get(arm)) for arm in found.arms)]
    return [*cells, setting.default if setting.default is not None else "-"] if library else cells


def _cell(value: Value | None) -> str:
    if value is None:
        return "-"
    return value.text + (MARK if value.differs else "") + (f" (tuned; recipe {value.recipe})" if value.recipe else "")


def _markdown_block(found: Appendix, block: Block) -> list[str]:
    heads = ["setting", *found.arms, *(["library's default"] if block.library else [])]
    rows = [_cells(found, setting, bool(block.library)) for setting in block.different]
    if not rows:
        return ["No arm set anything.", ""]
    legend = (
        [DIFFERS.replace(MARK, "\\*", 1), ""] if any(setting.default is not None for setting in block.different) else []
    )
    return [*_rows(heads, rows), *legend]


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(map(safe, heads)) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(safe(cell).replace("*", "\\*") for cell in row) + " |" for row in rows]
    return [*lines, ""]


def _latex_block(found: Appendix, block: Block, caption: str) -> list[str]:
    heads = ["setting", *map(escape, found.arms), *(["default"] if block.library else [])]
    rows = [[escape(cell) for cell in _cells(found, setting, bool(block.library))] for setting in block.different]
    return _latex_table(caption, heads, rows) if rows else []


def _latex_table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        r"\begin{table}",
        r"\centering\small",
        f"\\caption{{{caption}}}",
        f"\\begin{{tabular}}{{{'l' * len(heads)}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
        "",
    ]


def _tuned_note(block: Block) -> str:
    tuned = any(value.recipe for setting in block.settings for value in setting.values.values())
    return " Tuned: chosen on the validation split in place of the recipe's value." if tuned else ""


def _listed(settings: Sequence[Setting]) -> str:
    return ", ".join(f"{setting.name} {setting.default}" for setting in settings)


def _safe_pair(pair: tuple[str, str]) -> tuple[str, str]:
    return safe(pair[0]), safe(pair[1])
