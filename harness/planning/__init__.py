"""`harness plan`: what an experiment will take, and what it will be able to show, before anything runs.

history.py      what stored runs of the same base and method took
calibration.py  a few steps and answers of each arm, on training and validation examples, where there is no history
power.py        the smallest difference that this test split can show, and which margins a gate can pass
forecast.py     all of it for one experiment file
text.py         as lines and as JSON
"""

from __future__ import annotations

from harness.planning.forecast import ArmForecast, Forecast, forecast
from harness.planning.history import Rate
from harness.planning.power import Power
from harness.planning.text import lines, to_json

__all__ = ["ArmForecast", "Forecast", "Power", "Rate", "forecast", "lines", "to_json"]
