"""Release gates: is this candidate safe to ship? Pure; who reads scores and writes reports is elsewhere.

judge.py    questions and evidence → one verdict
looks.py    how often one candidate may be judged
waivers.py  rules that do not decide for a while
"""

from harness.gate.judge import judge, judge_rule

__all__ = ["judge", "judge_rule"]
