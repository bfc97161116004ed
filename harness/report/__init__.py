"""Views of stored results: the leaderboard, the ledger and the comparison of two arms, as text, Markdown and JSON.

    results = report.collect(store, experiment_id)      # or fill Results yourself
    board = report.leaderboard(results)
    report.print_board(board)                            # to_json(board), render_markdown(board), to_text(board)

Imports records, stats and metrics (whose `combine` turns summed statistics into corpus values); never the store, of
which `collect` needs only what `Reader` names.
"""

from __future__ import annotations

from harness.report.appendix import Appendix, appendix
from harness.report.appendix_forms import APPENDIX_FORMS
from harness.report.as_csv import to_csv
from harness.report.as_json import comparison_to_json, ledger_to_json, sentinel_to_json, to_json
from harness.report.board import leaderboard
from harness.report.columns import Column
from harness.report.comparison import Comparison, MetricDifference, Sample, Texts, compare
from harness.report.costs import Cost
from harness.report.curve import ArmCurve, LearningCurve, Point, curve_to_json, learning_curve
from harness.report.environments import Environments, sentinel_lines
from harness.report.figure_data import CostView, TrainingCurve, cost_views, figure_tables, training_curves
from harness.report.forgetting import Forgetting
from harness.report.human import HumanArm, HumanRater, HumanReview, HumanTable, anonymous
from harness.report.human_views import human_sections, human_to_json, human_to_text, print_human
from harness.report.judging import human_review
from harness.report.latex import to_latex
from harness.report.ledger import ledger_to_text, print_ledger
from harness.report.looks import looks_to_json, looks_to_lines
from harness.report.markdown import render_markdown
from harness.report.page import report_page
from harness.report.page_forms import GENERATOR, to_page_html, to_page_markdown
from harness.report.page_records import Page, Told
from harness.report.paths import without_paths
from harness.report.results import (
    AnswerCounts,
    LogReader,
    Reader,
    Results,
    RoundReader,
    collect,
    with_human,
    with_logs,
)
from harness.report.rows import Cell, Leaderboard, Row
from harness.report.samples import Shown, shown_samples
from harness.report.serving import ServingRow, ServingTable
from harness.report.serving_views import print_serving, serving_to_json, serving_to_text
from harness.report.slices import Slice, slices
from harness.report.studies import curve_to_text, print_curve, print_tuning, tuning_to_text
from harness.report.suite import SuiteTable, suite_table, suite_to_json, suite_to_markdown
from harness.report.text import (
    comparison_to_text,
    print_board,
    print_comparison,
    render_text,
    to_text,
)
from harness.report.tuned import ArmTuning, TuningReport, tuning_report, tuning_to_json
from harness.report.worddiff import word_diff

__all__ = [
    "APPENDIX_FORMS",
    "GENERATOR",
    "AnswerCounts",
    "Appendix",
    "ArmCurve",
    "ArmTuning",
    "Cell",
    "Column",
    "Comparison",
    "Cost",
    "CostView",
    "Environments",
    "Forgetting",
    "HumanArm",
    "HumanRater",
    "HumanReview",
    "HumanTable",
    "Leaderboard",
    "LearningCurve",
    "LogReader",
    "MetricDifference",
    "Page",
    "Point",
    "Reader",
    "Results",
    "RoundReader",
    "Row",
    "Sample",
    "ServingRow",
    "ServingTable",
    "Shown",
    "Slice",
    "SuiteTable",
    "Texts",
    "Told",
    "TrainingCurve",
    "TuningReport",
    "anonymous",
    "appendix",
    "collect",
    "compare",
    "comparison_to_json",
    "comparison_to_text",
    "cost_views",
    "curve_to_json",
    "curve_to_text",
    "figure_tables",
    "human_review",
    "human_sections",
    "human_to_json",
    "human_to_text",
    "leaderboard",
    "learning_curve",
    "ledger_to_json",
    "ledger_to_text",
    "looks_to_json",
    "looks_to_lines",
    "print_board",
    "print_comparison",
    "print_curve",
    "print_human",
    "print_ledger",
    "print_serving",
    "print_tuning",
    "render_markdown",
    "render_text",
    "report_page",
    "sentinel_lines",
    "sentinel_to_json",
    "serving_to_json",
    "serving_to_text",
    "shown_samples",
    "slices",
    "suite_table",
    "suite_to_json",
    "suite_to_markdown",
    "to_csv",
    "to_json",
    "to_latex",
    "to_page_html",
    "to_page_markdown",
    "to_text",
    "training_curves",
    "tuning_report",
    "tuning_to_json",
    "tuning_to_text",
    "with_human",
    "with_logs",
    "without_paths",
    "word_diff",
]
