"""Forecasts what an experiment will take and what it will be able to show, before anything runs: `harness plan`.

history.py      what stored runs of the same base and method took
calibration.py  a few steps and answers of each arm, on training and validation examples, where there is no history
power.py        the smallest difference that this test split can show, and which margins a gate can pass
forecast.py     all of it for one experiment file
text.py         as sentences and a table, and as JSON
"""
