"""Views of stored results: the leaderboard, the ledger and the comparison of two arms, as text, Markdown and JSON.

    results = collect(store, experiment_id)      # or fill Results yourself
    board = leaderboard(results)
    print_board(board)                           # to_json(board), render_markdown(board), to_text(board)

Imports records, stats and metrics (whose `combine` turns summed statistics into corpus values); never the store, of
which `collect` needs only what `Reader` names.
"""

from __future__ import annotations

from harness.results.collect import (
    AnswerCounts as AnswerCounts,
    LogReader as LogReader,
    Reader as Reader,
    Results as Results,
    RoundReader as RoundReader,
    collect as collect,
    with_human as with_human,
    with_logs as with_logs,
)
from harness.results.human.records import (
    HumanArm as HumanArm,
    HumanRater as HumanRater,
    HumanReview as HumanReview,
    HumanTable as HumanTable,
    anonymous as anonymous,
)
from harness.results.human.statistics import human_review as human_review
from harness.results.leaderboard.board import leaderboard as leaderboard
from harness.results.leaderboard.columns import Column as Column
from harness.results.leaderboard.costs import Cost as Cost
from harness.results.leaderboard.environments import Environments as Environments, sentinel_lines as sentinel_lines
from harness.results.leaderboard.forgetting import Forgetting as Forgetting
from harness.results.leaderboard.rows import Cell as Cell, Leaderboard as Leaderboard, Row as Row
from harness.results.leaderboard.serving import ServingRow as ServingRow, ServingTable as ServingTable
from harness.results.render.human import (
    human_sections as human_sections,
    human_to_text as human_to_text,
    print_human as print_human,
)
from harness.results.render.json import (
    comparison_to_json as comparison_to_json,
    curve_to_json as curve_to_json,
    human_to_json as human_to_json,
    ledger_to_json as ledger_to_json,
    looks_to_json as looks_to_json,
    sentinel_to_json as sentinel_to_json,
    serving_to_json as serving_to_json,
    suite_to_json as suite_to_json,
    to_json as to_json,
    tuning_to_json as tuning_to_json,
)
from harness.results.render.leaderboard import (
    print_board as print_board,
    render_markdown as render_markdown,
    to_csv as to_csv,
    to_latex as to_latex,
    to_text as to_text,
)
from harness.results.render.ledger import ledger_to_text as ledger_to_text, print_ledger as print_ledger
from harness.results.render.page.forms import (
    GENERATOR as GENERATOR,
    to_page_html as to_page_html,
    to_page_markdown as to_page_markdown,
)
from harness.results.render.page.page import report_page as report_page
from harness.results.render.page.records import Page as Page, ReportContext as ReportContext
from harness.results.render.speed import print_serving as print_serving, serving_to_text as serving_to_text
from harness.results.render.studies import (
    APPENDIX_FORMS as APPENDIX_FORMS,
    comparison_to_text as comparison_to_text,
    curve_to_text as curve_to_text,
    looks_to_lines as looks_to_lines,
    print_comparison as print_comparison,
    print_curve as print_curve,
    print_suite as print_suite,
    print_tuning as print_tuning,
    suite_to_text as suite_to_text,
    tuning_to_text as tuning_to_text,
)
from harness.results.studies.appendix import Appendix as Appendix, appendix as appendix
from harness.results.studies.comparison import (
    Comparison as Comparison,
    MetricDifference as MetricDifference,
    Sample as Sample,
    Texts as Texts,
    compare as compare,
    word_diff as word_diff,
)
from harness.results.studies.curve import (
    ArmCurve as ArmCurve,
    LearningCurve as LearningCurve,
    Point as Point,
    learning_curve as learning_curve,
)
from harness.results.studies.figure_data import (
    CostView as CostView,
    TrainingCurve as TrainingCurve,
    cost_views as cost_views,
    figure_tables as figure_tables,
    training_curves as training_curves,
)
from harness.results.studies.samples import SampleAnswers as SampleAnswers, shown_samples as shown_samples
from harness.results.studies.slices import Slice as Slice, slices as slices
from harness.results.studies.suite import SuiteTable as SuiteTable, suite_table as suite_table
from harness.results.studies.tuning import (
    ArmTuning as ArmTuning,
    TuningReport as TuningReport,
    tuning_report as tuning_report,
)
