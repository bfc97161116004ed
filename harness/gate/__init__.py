"""Release gates: is this candidate safe to ship? Pure; who reads scores and writes reports is elsewhere.

judge.py    questions and evidence → one verdict
"""

from harness.gate.judge import judge, judge_rule

__all__ = ["judge", "judge_rule"]
