"""`python -m harness.pages.server APP FLAGS…`: Streamlit's server, with what the pages need loaded before it answers.

Streamlit collects garbage after every run of a script, through everything that is loaded: with its libraries and ours
0.15 s of a processor for each vote, while nobody else is answered. What is loaded at the start is garbage never, so it
is taken out of that (`gc.freeze`).
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Sequence

LOADED = (
    "duckdb",
    "pandas",
    "plotly.graph_objects",
    "pyarrow",
    "harness.pages.charts",
    "harness.pages.entrance",
    "harness.review.results",
    "harness.stats.votes",
    "streamlit.elements.plotly_chart",
    "streamlit.proto.ForwardMsg_pb2",
)
"""What sessions would otherwise load at their first page."""
WITHOUT_CHARTS = ("plotly.graph_objects", "harness.pages.charts", "streamlit.elements.plotly_chart")
"""What reviewers never need."""


def main(words: Sequence[str]) -> None:
    """Load, then run the server until it is stopped. `--review-only` before the app's path leaves the charts out."""
    from streamlit.web import cli

    small = bool(words) and words[0] == "--review-only"
    for name in LOADED:
        if not (small and name in WITHOUT_CHARTS):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    cli.main(args=["run", *words[small:]], prog_name="streamlit")


if __name__ == "__main__":
    main(sys.argv[1:])
