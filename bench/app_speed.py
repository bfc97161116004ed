"""How long the app's server takes with 100,000 votes and 200 runs in the store: first paint and page switches.

    python bench/app_speed.py            100,000 votes, 200 runs of 33 experiments (made up, no model)
    python bench/app_speed.py --quick    2,000 votes, 30 runs of 5 experiments, for CI

Measured over a WebSocket to `harness app`, from the request to the message that the script has finished: the server's
time, with the loopback's, without the browser's drawing. *First paint* is a new session on the leaderboard, the
leaderboards being kept on disk as `harness run` leaves them: the very first session of the server, then 10 more. A
*page switch* goes from page to page in one session, the very first visit of each page too. *Another experiment* is the
same in the store's next experiment, whose leaderboard the server has not read yet. The votes are one round of five
arms, once open and, in a second server, unblinded: its results are then one more metric of the newest experiment's
leaderboard, and kept on disk as `harness review unblind` leaves them. Votes in this store are timed too.

Bounds: 1 s for every first paint, 0.5 s for every page switch; exit code 1 when one is missed. The last line has the
figures.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from app_session import AppServer, AppSession, Screen, free_port
from made_rounds import WORDS, load_words, open_made, percentile, reviewers

from harness import review
from harness.app.access import owner_token
from harness.metrics import score_predictions
from harness.records import (
    Assignment,
    Entry,
    Evaluation,
    Example,
    ExperimentRecord,
    Judgment,
    Ledger,
    Prediction,
    Provenance,
    RunRecord,
    SealedAccess,
    TrainLog,
    TrainLogRow,
)
from harness.records.files import write_json, write_records
from harness.results import cache
from harness.review.plan import Design
from harness.store import Store

PAINT_SECONDS, SWITCH_SECONDS = 1.0, 0.5
TASKS, EXAMPLES, STEPS = 6, 200, 100
METHODS = ("untrained", "few_shot", "full", "lora", "qlora", "dpo")
METRICS = ("exact_match", "rouge_l")
WHEN = "2026-01-01T00:00:00+00:00"


def experiment(number: int) -> ExperimentRecord:
    """An experiment over one of a few tasks; the last is the newest."""
    task = number % TASKS
    return ExperimentRecord(
        experiment_id=f"x{number:03}",
        name=f"trial-{number}",
        file=f"trial-{number}.yaml",
        spec={"reference": "untrained", "base_model": "tiny", "budget": {"examples": 1000}},
        task={"name": f"task-{task}", "version": 1, "metrics": {"primary": "exact_match", "also": ["rouge_l"]}},
        task_fingerprint=f"task-{task}",
        split_sizes={"train": 1000, "validation": 100, "test": EXAMPLES},
        leaks=(),
        base_hash="b",
        created=f"2026-01-{1 + number % 28:02}T{number // 28:02}:00:00Z",
        groups={f"e{n}": f"g{n // 2}" for n in range(EXAMPLES)},
        suite=f"suite-{task}",
    )


def run_of(record: ExperimentRecord, arm: str, seed: int, rng: random.Random) -> list[object]:
    """A finished run: its log, answers, scores and look. Better or worse by chance."""
    train, evaluation = f"t-{record.experiment_id}-{arm}-{seed}", f"v-{record.experiment_id}-{arm}-{seed}"
    skill = rng.uniform(0.2, 0.8)
    examples = [Example(f"e{n}", f"g{n // 2}", (f"the answer is {n}",), prompt="q") for n in range(EXAMPLES)]
    answers = [
        Prediction(evaluation, one.id, "h", one.references[0] if rng.random() < skill else "none", "stop", 90, 9, 0.1)
        for one in examples
    ]
    log = [
        TrainLogRow(step, 8 * step, 800 * step, 0.1 * step, 1 / step, None, 1.0, 1e-4) for step in range(1, STEPS + 1)
    ]
    ledger = Ledger(
        examples=1000, tokens=90000, optimiser_steps=STEPS, train_seconds=rng.uniform(5, 50), predict_seconds=3.0
    )
    provenance = Provenance("0.1.0", None, None, {}, {}, WHEN)
    return [
        RunRecord(train, 1, arm, arm, seed, "final", "ok", None, ledger, provenance, None),
        Entry(record.experiment_id, arm, seed, train, 1, "ok", evaluation),
        Evaluation(evaluation, train, "a", record.suite, {}, {}, WHEN),
        TrainLog(train, 1, tuple(log)),
        SealedAccess(evaluation, record.experiment_id, arm, "bench", "run", WHEN),
        *answers,
        *score_predictions(METRICS, evaluation, answers, examples),
    ]


def write_texts(home: Path, record: ExperimentRecord, train: str) -> None:
    """Examples of all three splits where a run leaves them, for the pages that show texts and lengths."""
    task = record.task["name"]
    for file, count in (
        (f"sealed/{task}-{record.suite}/test.jsonl", EXAMPLES),
        (f"tasks/{task}/train.jsonl", 1000),
        (f"tasks/{task}/validation.jsonl", 100),
    ):
        prompt = " ".join(WORDS * 12)
        rows = [Example(f"e{n}", f"g{n // 2}", (f"the answer is {n}",), prompt=prompt) for n in range(count)]
        write_records(home / file, rows)
    write_json(home / "runs" / train / "plan.json", {"files": {"folder": task}})


def fill(home: Path, experiments: int, runs: int, votes: int) -> str:
    """The store, and the leaderboards that `harness run` would have left; the token of a reviewer of the round."""
    store, rng = Store(home / "harness.duckdb"), random.Random(1)
    known = [experiment(number) for number in range(experiments)]
    for number, record in enumerate(known):
        arms = [(arm, 0) for arm in METHODS]
        more = runs - experiments * len(METHODS) if number == experiments - 1 else 0
        arms += [(arm, 1 + n // len(METHODS)) for n, arm in zip(range(more), METHODS * more, strict=False)]
        store.ingest([record, *(row for arm, seed in arms for row in run_of(record, arm, seed, rng))])
        write_texts(home, record, f"t-{record.experiment_id}-untrained-0")
    queues, raters = 20, 4
    design = Design(votes // raters, raters, queues)
    there = open_made(store, "big", design, rng, METHODS[1:], known[-1].experiment_id)
    with store.session() as session:
        pairs = session.read(Assignment, "round = $1", [there.id])
        session.write(
            *(
                Judgment(f"{a.token}-1", a.token, 1, f"rater {a.queue}", rng.choice(["left", "right", "tie"]), 9, WHEN)  # type: ignore[arg-type]
                for a in pairs
            )
        )
    small = open_made(store, "going", Design(100, 2, 16), rng)
    for record in known:
        cache.board(store, home, record.experiment_id)
    counts = store.counts()
    print(f"{counts['experiments']} experiments, {counts['runs']} runs, {counts['scores']:,} scores, "
          f"{counts['judgments']:,} votes", flush=True)  # fmt: skip
    return reviewers(store, small.id, 1)[0]


def sound(screen: Screen, *, board: bool) -> Screen:
    """A screen that is what was asked for; RuntimeError for an error page, or a leaderboard without a table."""
    text = "\n".join(screen.texts)
    if "trial-" not in str(screen.options) or (board and "| " not in text) or screen.exceptions:
        raise RuntimeError(f"the page is not there: {screen.exceptions or text[-300:]}")
    return screen


class Times(NamedTuple):
    """Of one request: seconds until the answer was whole, and of the server's processor (on a busy machine: less)."""

    wall: float
    cpu: float

    def words(self) -> str:
        """In milliseconds."""
        return f"{ms(self.wall)} ({ms(self.cpu)} of a processor)"


def timed(server: AppServer, session: AppSession, page: str = "") -> Times:
    """Run the script in a session, and make sure of what came."""
    before = server.cpu_seconds()
    screen = sound(session.run(page), board=page in ("", "Leaderboard"))
    return Times(screen.seconds, server.cpu_seconds() - before)


def paints(server: AppServer, token: str) -> list[Times]:
    """Times of new sessions, the server's first one first."""
    found = []
    for _ in range(11):
        session = AppSession(server.url, token)
        found.append(timed(server, session))
        session.close()
    return found


def switches(server: AppServer, session: AppSession, rounds: int) -> dict[str, list[Times]]:
    """Times of going to each page, again and again: page → the first visit, then the others."""
    found: dict[str, list[Times]] = {title: [] for title in session.pages}
    for _ in range(rounds):
        for title in reversed(list(found)):
            found[title].append(timed(server, session, title))
    return found


def votes_of(server: AppServer, token: str) -> list[float]:
    """Seconds from vote to next pair, of one reviewer alone."""
    session = AppSession(server.url, token)
    session.run()
    screen = session.run()
    screen = session.run(button=screen.buttons["Begin"])
    seconds = []
    for _ in range(20):
        time.sleep(0.6)  # a choice sooner than half a second after its pair is none
        screen = session.run(button=screen.buttons["Left is better"])
        seconds.append(screen.seconds)
    session.close()
    return seconds


def ms(seconds: float) -> str:
    """Milliseconds in words."""
    return f"{1000 * seconds:.0f} ms"


class Measured(NamedTuple):
    """What one server took."""

    paint: list[Times]
    switch: dict[str, dict[str, list[Times]]]
    """Which experiment → page → times."""
    voted: list[float]

    def tell(self, what: str) -> None:
        """A line a figure."""
        most = max(self.paint[1:]).words()
        print(f"{what}: first paint: the server's first session {self.paint[0].words()}, then at most {most}")
        for where, found in self.switch.items():
            for title, times in found.items():
                after = max(times[1:]).words()
                print(f"{what}: to {title} of {where}: first visit {times[0].words()}, then at most {after}")
        if self.voted:
            p50 = ms(percentile(self.voted, 0.5))
            print(f"{what}: vote to next item, one reviewer: p50 {p50}, longest {ms(max(self.voted))}")

    def slowest(self) -> Times:
        """The longest page switch."""
        return max(one for found in self.switch.values() for times in found.values() for one in times)


def measure(home: Path, experiments: int, link: str = "") -> Measured:
    """Start a server over the store and ask it everything; with a reviewer's link votes too."""
    server = AppServer(home, free_port())
    try:
        server.wait()
        token = owner_token(home)
        paint = paints(server, token)
        session = AppSession(server.url, token)
        session.run()
        screen = session.run("Review results")
        session.choose(screen.selects["Round"], next(text for text in screen.options if text.startswith("big ")))
        switch = {"the newest experiment": switches(server, session, 4)}
        other = AppSession(server.url, token)
        screen = other.run()
        wanted = next(text for text in screen.options if text == f"trial-{experiments - 2}")
        other.choose(screen.selects["Experiment"], wanted)
        switch["another experiment"] = switches(server, other, 2)
        return Measured(paint, switch, votes_of(server, link) if link else [])
    finally:
        server.signal(signal.SIGTERM)


def unblind(home: Path, experiment_id: str) -> None:
    """What `harness review unblind big` does."""
    store = Store(home / "harness.duckdb")
    started = time.perf_counter()
    cache.human(store, home, review.unblind(store, "big", "bench", "all votes are in"))
    cache.board(store, home, experiment_id)
    print(f"unblinding, once: {time.perf_counter() - started:.1f} s", flush=True)


def main() -> int:
    """Fill a store, start the app over it, and measure; 0 when every bound holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small store")
    options = parser.parse_args()
    experiments, runs, votes = (5, 30, 2000) if options.quick else (33, 200, 100_000)
    with tempfile.TemporaryDirectory(prefix="app-speed-") as folder:
        home = Path(folder)
        link = fill(home, experiments, runs, votes)
        found = {"open round": measure(home, experiments, link)}
        unblind(home, experiment(experiments - 1).experiment_id)
        found["unblinded round"] = measure(home, experiments)
    for what, one in found.items():
        one.tell(what)
    paint, slowest = max(max(one.paint) for one in found.values()), max(one.slowest() for one in found.values())
    print(
        f"app speed with {votes:,} votes and {runs} runs: first paint at most {paint.words()}, page "
        f"switch at most {slowest.words()} ({load_words()})"
    )
    return 0 if paint.wall <= PAINT_SECONDS and slowest.wall <= SWITCH_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
