"""Streamlit's server with what the pages need loaded before it answers: `python -m harness.app.server APP FLAGS…`.

Streamlit collects garbage after every run of a script, through everything that is loaded: with its libraries and ours
0.15 CPU-seconds for each vote, while nobody else is answered. What is loaded at the start is garbage never, so it
is taken out of that (`gc.freeze`).
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Sequence

REVIEW = ("duckdb", "pandas", "pyarrow", "harness.app.entrance")
"""What a reviewer's session would otherwise load at its first page."""
EVERYTHING = (
    *REVIEW,
    "harness.experiments.running.live",
    "harness.app.charts",
    "harness.review",
    "harness.stats.votes",
    "plotly.offline",
    "scipy.special",
    "streamlit.elements.plotly_chart",
)


def main(words: Sequence[str]) -> None:
    """Load, then run the server until it is stopped. `--review-only` comes first: no charts and no statistics."""
    from streamlit.web import cli

    small = words[0] == "--review-only"
    for name in REVIEW if small else EVERYTHING:
        importlib.import_module(name)
    if not small:
        importlib.import_module("harness.app.charts").prepare()
    gc.collect()
    gc.freeze()
    cli.main(args=["run", *words[small:]], prog_name="streamlit")


if __name__ == "__main__":
    main(sys.argv[1:])
