"""`harness serving`: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serving(
    experiment: Annotated[str, typer.Argument(help="Experiment file, for example baselines/visit_notes.yaml.")],
    home: Annotated[
        Path, typer.Option("--home", envvar="HARNESS_HOME", help="Folder of the store, runs and artefacts.")
    ] = Path(".harness"),
    again: Annotated[bool, typer.Option("--again", help="Measure again what is stored for this machine.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with a versioned schema.")] = False,
) -> None:
    """Measure how fast each finished arm answers, and in how much memory, in one interleaved pass on this machine.

    With the settings of the experiment's `serving:`, or the defaults. Prompts are validation examples: no look is
    taken.
    """
    import json

    from harness import results
    from harness.experiments.speed import on_demand
    from harness.progress import Reporter

    with Reporter() as reporter:
        board = on_demand.serve(Path(experiment), home, reporter, again=again)
    if as_json:
        print(json.dumps(results.serving_to_json(board), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        results.print_serving(board)
