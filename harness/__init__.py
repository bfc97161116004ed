"""harness: which fine-tuning method to ship for a task, and whether a candidate is safe to release.

    import harness as h

    result = h.run("experiment.yaml")            # trains and scores what is not finished yet
    result.leaderboard                           # a table in a notebook, text in a terminal
    h.leaderboard("experiment").to_pandas()      # one row for each arm and metric
    h.compare("lora", "full").to_dict()          # what `harness compare lora full --json` prints

Each function answers what the command of the same name answers; `home` is the folder of the store, runs and artefacts
(default: $HARNESS_HOME, else `.harness` in the working directory). Nothing heavy is imported before one is called.
Results have `to_pandas()`, `to_dict()` (the schema of the command's `--json`), a text form (`print(result)`) and a
table for notebooks. Every error that a user can cause or mend is a `HarnessError`; its `exit_code` is the command's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.experiments.views import ExperimentView, PlanView, TaskView
    from harness.release.views import GateView
    from harness.results.views import ComparisonView, LeaderboardView, PredictionsView, ReviewView, RunView

__version__ = "0.1.0"
__all__ = [
    "HarnessError",
    "__version__",
    "compare",
    "gate",
    "leaderboard",
    "load_experiment",
    "load_task",
    "plan",
    "predictions",
    "review_results",
    "run",
]


def run(
    path: str | Path,
    *,
    home: str | Path | None = None,
    retry: bool = False,
    rescore: bool = False,
    progress: bool = True,
) -> RunView:
    """Train and score every arm of an experiment that is not finished yet, and rank all of them.

    What is finished is never repeated: after an interruption the same call goes on.

    Args:
        path: Experiment file.
        home: Folder of the store, runs and artefacts; default: $HARNESS_HOME, else `.harness` in the working directory.
        retry: Try diverged arms again, too.
        rescore: Score again here what was scored in another environment.
        progress: Show bars in a terminal or a notebook, plain lines elsewhere; False shows nothing.

    Returns:
        The leaderboard, and whether some arm failed.

    Raises:
        SpecError: a file that a person wrote is wrong; names file, line and field.
        DataError: the task's data cannot be read, or leaks between its splits.
        ModelError: the base model cannot be used.
        StoreLocked: another process holds the store.
        DiskFull: no space left; the same call goes on later.
    """
    from harness.experiments import pipeline
    from harness.progress import reporter
    from harness.results import views

    with reporter(progress) as shown:
        result = pipeline.run(Path(path), _home(home), shown, retry=retry, rescore=rescore)
    experiment_id = result.board.experiment.experiment_id
    return views.RunView(views.LeaderboardView(result.board, _home(home), experiment_id), result.failed)


def plan(
    path: str | Path, *, home: str | Path | None = None, calibrate: bool = False, margin: float | None = None
) -> PlanView:
    """Say what an experiment will take, and what it will be able to show, before anything is trained.

    Args:
        path: Experiment file.
        calibrate: Run a few steps of every arm that has no stored history; without it such an arm has no estimate.
        margin: Also say what it takes to show a difference of this size, in the primary metric's own unit.

    Returns:
        Runs, seconds, bytes of memory and disk, and the smallest difference that the test split can show.

    Raises:
        SpecError, DataError, ModelError: as `run` would, before it trains.
    """
    from harness.experiments.forecast.forecast import forecast
    from harness.experiments.views import PlanView

    return PlanView(forecast(Path(path), _home(home), calibration=calibrate, margin=margin))


def load_task(path: str | Path) -> TaskView:
    """Read and validate a task file; its data is not read.

    Args:
        path: Task file, a folder with a `task.yaml`, or the name of a stock task.

    Returns:
        The task as written, with defaults filled in, and the folder it lies in.

    Raises:
        SpecError: the file is wrong; names file, line and field.
    """
    from harness.experiments import views
    from harness.experiments.loading import load
    from harness.metrics import METRICS

    return views.TaskView(*load.load_task(Path(path), METRICS))


def load_experiment(path: str | Path) -> ExperimentView:
    """Read and validate an experiment file, its task and its arms; no data is read and no model loaded.

    Args:
        path: Experiment file, or the name of a stock one.

    Returns:
        The experiment with every arm written out and every default filled in.

    Raises:
        SpecError: a file is wrong; names file, line and field.
    """
    from harness.experiments import pipeline, views

    return views.ExperimentView(pipeline.load(Path(path)))


def leaderboard(
    name: str | None = None, *, home: str | Path | None = None, bundle: str | Path | None = None
) -> LeaderboardView:
    """The verdict and the leaderboard of a stored experiment.

    Args:
        name: Experiment file, name or id; default: the newest experiment.
        bundle: Read this bundle in place of the store.

    Returns:
        All arms, the best value of the primary metric first, with paired intervals against the reference arm.

    Raises:
        UsageError: the home folder holds no results.
        StoreError: no experiment of this name; says the nearest one.
    """
    from harness.results import queries, views

    if bundle is not None:
        return views.LeaderboardView(queries.bundled_board(Path(bundle)), _home(home), None, Path(bundle))
    board = queries.board(_home(home), name)
    return views.LeaderboardView(board, _home(home), board.experiment.experiment_id)


def compare(
    a: str, b: str, *, experiment: str | None = None, samples: int = 3, home: str | Path | None = None
) -> ComparisonView:
    """The paired difference of two arms of one experiment (a minus b) in every metric.

    Args:
        a: An arm of the experiment.
        b: The arm it is compared with.
        experiment: Experiment file, name or id; default: the newest.
        samples: How many of the answers that differ most to show; of a sensitive task no text is shown.

    Returns:
        Differences with intervals, each in its metric's own unit, and sample answers.

    Raises:
        UsageError: an unknown arm, one without a result, or arms that were scored in different environments.
        StoreError: no experiment of this name.
    """
    from harness.results import queries, views

    return views.ComparisonView(queries.compare(_home(home), experiment, (a, b), samples))


def predictions(run: str, *, home: str | Path | None = None) -> PredictionsView:
    """The stored answers of one run to the test split.

    Args:
        run: EXPERIMENT/ARM, or EXPERIMENT/ARM@SEED where the arm has several seeds.

    Returns:
        One row for each test example: answer, why it ended, tokens in and out, seconds. Of a sensitive task the texts
        are withheld, and a number stands for each example's id.

    Raises:
        UsageError: no such run, or one without a result.
        StoreError: no experiment of this name.
    """
    from harness.results import stored, views

    store = stored.open_store(_home(home))
    record, entry = stored.find_run(store, run)
    assert entry.eval_id is not None
    return views.PredictionsView(record, entry, tuple(store.predictions([entry.eval_id])))


def gate(
    gates: str | Path,
    candidate: str,
    *,
    home: str | Path | None = None,
    rescore_baseline: bool = False,
    experiment: str | Path | None = None,
    progress: bool = True,
) -> GateView:
    """Say whether a candidate may be released. A counted look at the test split; the verdict is kept in the store.

    Args:
        gates: Gates file.
        candidate: EXPERIMENT/ARM, EXPERIMENT/ARM@SEED, or the folder of an adapter or a model, which is scored first.
        rescore_baseline: Score the baseline's model again here, and compare with that.
        experiment: Experiment file to score by; default: the baseline's.
        progress: As for `run`.

    Returns:
        The verdict rule by rule. `outcome` is PASS, FAIL, INCONCLUSIVE or INVALID, `exit_code` the command's; `problem`
        says why the verdict could not be stored, in which case a pipeline must not go on.

    Raises:
        SpecError: the gates file is wrong; names file, line and field.
        UsageError: no such run, or one without a result.
    """
    from harness.progress import reporter
    from harness.release.gate import run as gate_runs

    file = Path(experiment) if experiment is not None else None
    with reporter(progress) as shown:
        return gate_runs.gate(
            _home(home), Path(gates), candidate, shown, rescore_baseline=rescore_baseline, experiment=file
        )


def review_results(round: str, *, home: str | Path | None = None) -> ReviewView:
    """What people said in an unblinded round of blind review.

    Args:
        round: Id of the round, as `harness review status` prints it.

    Returns:
        Win rates of the arms with intervals, and how reliable each rater was.

    Raises:
        ReviewError: no such round, or one that is still blind.
    """
    from harness import review
    from harness.results import cache, queries, views

    store = queries.open_store(_home(home))
    return views.ReviewView(cache.human(store, _home(home), review.find_round(store, round)))


def _home(home: str | Path | None) -> Path:
    return Path(home if home is not None else os.environ.get("HARNESS_HOME", ".harness"))
