"""Views of stored results: the leaderboard, the ledger and the comparison of two arms, as text, Markdown and JSON.

    results = collect(store, experiment_id)      # or fill Results yourself
    board = leaderboard(results)
    print_board(board)                           # to_json(board), render_markdown(board), to_text(board)

Imports records, stats and metrics (whose `combine` turns summed statistics into corpus values); never the store, of
which `collect` needs only what `Reader` names.
"""

from __future__ import annotations

from harness.results.collect import (
    AnswerCounts,
    LogReader,
    Reader,
    Results,
    RoundReader,
    collect,
    with_human,
    with_logs,
)
from harness.results.human.records import HumanArm, HumanRater, HumanReview, HumanTable, anonymous
from harness.results.human.statistics import human_review
from harness.results.leaderboard.board import leaderboard
from harness.results.leaderboard.columns import Column
from harness.results.leaderboard.costs import Cost
from harness.results.leaderboard.environments import Environments, sentinel_lines
from harness.results.leaderboard.forgetting import Forgetting
from harness.results.leaderboard.rows import Cell, Leaderboard, Row
from harness.results.leaderboard.serving import ServingRow, ServingTable
from harness.results.render.human import human_sections, human_to_text, print_human
from harness.results.render.json import (
    comparison_to_json,
    curve_to_json,
    human_to_json,
    ledger_to_json,
    looks_to_json,
    sentinel_to_json,
    serving_to_json,
    suite_to_json,
    to_json,
    tuning_to_json,
)
from harness.results.render.leaderboard import print_board, render_markdown, to_csv, to_latex, to_text
from harness.results.render.ledger import ledger_to_text, print_ledger
from harness.results.render.page.forms import GENERATOR, to_page_html, to_page_markdown
from harness.results.render.page.page import report_page
from harness.results.render.page.records import Page, ReportContext
from harness.results.render.speed import print_serving, serving_to_text
from harness.results.render.studies import (
    APPENDIX_FORMS,
    comparison_to_text,
    curve_to_text,
    looks_to_lines,
    print_comparison,
    print_curve,
    print_suite,
    print_tuning,
    suite_to_text,
    tuning_to_text,
)
from harness.results.studies.appendix import Appendix, appendix
from harness.results.studies.comparison import Comparison, MetricDifference, Sample, Texts, compare, word_diff
from harness.results.studies.curve import ArmCurve, LearningCurve, Point, learning_curve
from harness.results.studies.figure_data import CostView, TrainingCurve, cost_views, figure_tables, training_curves
from harness.results.studies.samples import SampleAnswers, shown_samples
from harness.results.studies.slices import Slice, slices
from harness.results.studies.suite import SuiteTable, suite_table
from harness.results.studies.tuning import ArmTuning, TuningReport, tuning_report

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
    "ReportContext",
    "Results",
    "RoundReader",
    "Row",
    "Sample",
    "SampleAnswers",
    "ServingRow",
    "ServingTable",
    "Slice",
    "SuiteTable",
    "Texts",
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
    "print_suite",
    "print_tuning",
    "render_markdown",
    "report_page",
    "sentinel_lines",
    "sentinel_to_json",
    "serving_to_json",
    "serving_to_text",
    "shown_samples",
    "slices",
    "suite_table",
    "suite_to_json",
    "suite_to_text",
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
    "word_diff",
]
