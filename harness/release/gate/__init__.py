"""Release gates: is this candidate safe to ship? Pure; who reads scores and writes reports is elsewhere.

evidence.py  what a rule asks of two scored runs, and what is known of it: metrics, slices, the untrained arm
measures.py  costs and serving figures
votes.py     what people said in blind review
checks.py    a gates file against what is known of its metrics
judge.py     questions and evidence → one verdict
reports.py   the verdict as lines, JSON, JUnit XML, Markdown and annotations
looks.py     how often one candidate may be judged, and rules that do not decide for a while
"""

from harness.release.gate.judge import judge, judge_rule

__all__ = ["judge", "judge_rule"]
