"""Sixteen reviewers who vote beside a command line that writes results, with and without kills.

    python bench/review_load.py            all of it (about ten minutes on two cores)
    python bench/review_load.py --quick    fewer votes and kills, for CI

Without kills, four times, each beside a process that stores batches of 200 scores as `harness run` does: 16 sessions of
the real app (`harness app`, over WebSockets: from the press of the button to the message that the next pair is
there, drawing of the browser not included) and 16 threads on a server's leased stores (`review.vote_and_next` alone),
each at a human pace (a vote of every reviewer each 5 seconds on average) and flat out (the next vote as soon as the
next pair is there). The bound of 500 ms at p95 holds for the human pace; flat out is printed beside it.

With kills (SIGKILL, at random moments): the threads' process and the writer, then the real app. An acknowledged vote is
one after which the reviewer was shown something else. None may be missing, no item may have two, database and journal
must agree, every acknowledged batch of scores must be whole, and every start after a kill must open the store.

Exit code 1 when anything is lost, doubled, not opened or too slow. The last line has the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app_session import AppServer, AppSession, Screen, free_port
from made_rounds import load_words, open_made, percentile, reviewers

from harness import review
from harness.records import Score
from harness.review.blind import Ballot, BlindItem
from harness.review.plan import Design
from harness.store import Store, journal as store_journal

REVIEWERS = 16
BATCH = 200
BOUND_SECONDS = 0.5
HUMAN_SECONDS = 5.0
CHOICES = {"left": "Left is better", "right": "Right is better", "tie": "Equally good", "both_bad": "Both are bad"}


# ------------------------------------------------------------------------------- processes that are started and killed


def say(*words: object) -> None:
    """A whole line on standard output at once, from any thread."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def desk(path: Path, pace: float) -> None:
    """What the app's server does for 16 reviewers, without Streamlit: a thread each, on the process's lease.

    Reads a line of JSON, the tokens of each reviewer's rounds. Says `ready` when the store was opened, `seated` when
    everybody has their first item, and `vote TOKEN SECONDS` of each vote.
    """
    links: list[list[str]] = json.loads(sys.stdin.readline())
    Store(path, lease=True).counts()
    say("ready")
    everybody = threading.Barrier(len(links), action=lambda: say("seated"))

    def work(tokens: list[str], rng: random.Random) -> None:
        store = Store(path, lease=True)
        for number, token in enumerate(tokens):
            who = review.authenticate(store, token)
            assert who is not None
            shown = review.next_item(store, who)
            if not number:
                everybody.wait()
            while isinstance(shown, BlindItem):
                time.sleep(think(rng, pace))
                before, began = shown, time.perf_counter()
                ballot = Ballot(before.vote_id, before.token, rng.choice(list(CHOICES)), 1.0)  # type: ignore[arg-type]
                _, shown = review.vote_and_next(store, who, ballot)
                say("vote", before.token, time.perf_counter() - began)

    threads = [threading.Thread(target=work, args=(tokens, random.Random(n))) for n, tokens in enumerate(links)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    say("done")


def write(path: Path, first: int) -> None:
    """Store batches of scores as a run's driver does: a connection each, no lease. Says `batch NUMBER` of each."""
    store, number = Store(path), first
    store.counts()
    say("ready")
    while True:
        number += 1
        rows = [Score(f"batch-{number}", "s", f"x{n}", "exact_match", "", 1, "ok", n / BATCH) for n in range(BATCH)]
        assert store.ingest(rows) == BATCH
        say("batch", number)
        time.sleep(0.2)


def think(rng: random.Random, pace: float) -> float:
    """Seconds until the next vote, `pace` on average and skewed as people are; 0 flat out."""
    return rng.lognormvariate(-0.125, 0.5) * pace if pace else 0.0


class Worker:
    """This script in another process; its lines are read as they come."""

    def __init__(self, heard: Callable[[list[str]], None], *words: str, given: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdin is not None
        self.process.stdin.write(given + "\n")
        self.process.stdin.flush()
        self.ready, self.seated = threading.Event(), threading.Event()
        self._heard = heard
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):
                known = {"ready\n": self.ready, "seated\n": self.seated}.get(line)
                known.set() if known is not None else self._heard(line.split())
        self.ready.set()
        self.seated.set()

    def opened(self) -> bool:
        """Wait until it has opened the store; False when it ended instead."""
        self.ready.wait()
        return self.process.poll() is None or self.process.returncode == 0

    def kill(self) -> None:
        """SIGKILL; returns when everything that it had said is read."""
        self.process.kill()
        self.process.wait()
        self._reader.join()


# ----------------------------------------------------------------------------------------------- what was acknowledged


@dataclass
class Notes:
    """What the processes acknowledged, and how long votes took."""

    votes: list[str] = field(default_factory=list)
    """Tokens of the items."""
    batches: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def hear(self, words: list[str]) -> None:
        """A line of a worker."""
        if words[0] == "vote":
            self.votes.append(words[1])
            self.seconds.append(float(words[2]))
        elif words[0] == "batch":
            self.batches.append(int(words[1]))


class Load:
    """A home folder with open rounds, and everything that is done to it."""

    def __init__(self, home: Path, rng: random.Random) -> None:
        self.home, self.rng, self.notes = home, rng, Notes()
        self.path = home / "harness.duckdb"
        self._rounds = self._writers = 0

    def links(self, rounds: int, queue: int) -> list[list[str]]:
        """Open rounds with a queue for each of the reviewers; reviewer → their tokens."""
        store = Store(self.path)
        tokens = []
        for _ in range(rounds):
            self._rounds += 1
            design = Design(queue * REVIEWERS // 2, 2, REVIEWERS, repeats=2)
            name = open_made(store, f"round-{self._rounds}", design, self.rng).id
            tokens.append(reviewers(store, name, REVIEWERS))
        return [list(mine) for mine in zip(*tokens, strict=True)]

    def writer(self) -> Worker:
        """The command line's process, with numbers of its own for its batches."""
        self._writers += 1
        return Worker(self.notes.hear, "--write", str(self.path), str(self._writers * 100_000))

    def desk(self, links: list[list[str]], pace: float) -> Worker:
        """The threads' process."""
        return Worker(self.notes.hear, "--desk", str(self.path), str(pace), given=json.dumps(links))


def shown_token(screen: Screen) -> str | None:
    """The token of the item on a screen: the field for comments has it in its key."""
    found = [one.partition("-comment ")[2] for one in screen.ids if "-comment " in one]
    return found[0] if found else None


class Sitting:
    """One reviewer with the real app: votes until told to stop or until nothing is left."""

    def __init__(self, load: Load, tokens: list[str], pace: float, seed: int) -> None:
        self._load, self._tokens, self._pace, self._rng = load, tokens, pace, random.Random(seed)
        self.ready = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, url: str) -> None:
        """Begin, or go on with a server that was started again."""
        self._stop.clear()
        self.ready.clear()
        self._thread = threading.Thread(target=self._work, args=(url,))
        self._thread.start()

    def stop(self) -> None:
        """No further vote; a server that is gone is no error from now on."""
        self._stop.set()

    def join(self) -> None:
        """Wait for the end."""
        if self._thread is not None:
            self._thread.join()

    def _work(self, url: str) -> None:
        try:
            while self._tokens and not self._stop.is_set():
                session = AppSession(url, self._tokens[0])
                try:
                    if self._one_round(session):
                        self._tokens.pop(0)
                finally:
                    session.close()
        except Exception as error:
            if not self._stop.is_set():
                self._load.notes.troubles.append(f"a session: {type(error).__name__}: {error}")
        finally:
            self.ready.set()

    def _one_round(self, session: AppSession) -> bool:
        """Vote; True when nothing is left in the round."""
        screen = session.run()
        if "Begin" in screen.buttons:
            screen = session.run(button=screen.buttons["Begin"])
        token = shown_token(screen)
        self.ready.set()
        if token is None and not screen.says("Thank you!"):
            raise RuntimeError(f"neither an item nor thanks: {screen.texts[-1:]}")
        while token is not None and not self._stop.wait(think(self._rng, self._pace)):
            time.sleep(0.6)  # a choice sooner than half a second after its pair is none
            screen = session.run(button=screen.buttons[CHOICES[self._rng.choice(list(CHOICES))]])
            after = shown_token(screen)
            if after == token:
                raise RuntimeError(f"the vote was not taken: {screen.texts[-3:]}")
            self._load.notes.votes.append(token)
            self._load.notes.seconds.append(screen.seconds)
            token = after
        return token is None


# -------------------------------------------------------------------------------------------------------------- phases


def timed_app(load: Load, pace: float, seconds: float, queue: int) -> list[float]:
    """Seconds of each vote in the real app beside a writer."""
    sittings = [Sitting(load, tokens, pace, n) for n, tokens in enumerate(load.links(1, queue))]
    server, writer = AppServer(load.home, free_port()), load.writer()
    try:
        server.wait()
        for sitting in sittings:
            sitting.start(server.url)
        for sitting in sittings:
            sitting.ready.wait()
        load.notes.seconds = []
        time.sleep(seconds)
        for sitting in sittings:
            sitting.stop()
        for sitting in sittings:
            sitting.join()
    finally:
        server.signal(signal.SIGTERM)
        writer.kill()
    return load.notes.seconds


def timed_desk(load: Load, pace: float, seconds: float, queue: int) -> list[float]:
    """Seconds of each vote on a server's leased stores, without Streamlit, beside a writer."""
    links = load.links(1, queue)
    writer = load.writer()
    process = load.desk(links, pace)
    process.seated.wait()
    load.notes.seconds = []
    time.sleep(seconds)
    process.kill()
    writer.kill()
    return load.notes.seconds


def kill_workers(load: Load, kills: int, queue: int) -> Counter[str]:
    """Kill the threads' process and the writer, whichever chance says, `kills` times; starts that failed, by kind."""
    links = load.links(max(1, round(kills * 12 / (queue * REVIEWERS))), queue)
    failed: Counter[str] = Counter()
    pool = {"server": load.desk(links, 0.2), "command line": load.writer()}
    for number in range(kills):
        name = load.rng.choice(sorted(pool))
        failed[name] += not pool[name].opened()
        amid = name == "server" and load.rng.random() < 0.75  # most kills amid votes, some while people arrive
        if amid:
            pool[name].seated.wait()
        time.sleep(load.rng.uniform(0.0, 2.0 if amid else 0.8))
        pool[name].kill()
        if number % 50 == 49:
            print(f"  {number + 1} kills, {len(load.notes.votes)} votes acknowledged so far", flush=True)
        pool[name] = load.desk(links, 0.2) if name == "server" else load.writer()
    for name, worker in pool.items():
        failed[name] += not worker.opened()
        worker.kill()
    return failed


def kill_app(load: Load, kills: int, queue: int) -> int:
    """Kill the real app with 16 sessions `kills` times, beside a writer; starts that failed."""
    sittings = [Sitting(load, tokens, 0.3, n) for n, tokens in enumerate(load.links(max(1, kills // 6), queue))]
    writer, port, failed = load.writer(), free_port(), 0
    for number in range(kills + 1):
        server = AppServer(load.home, port)
        try:
            server.wait()
        except RuntimeError as error:
            failed += 1
            load.notes.troubles.append(str(error))
            server.signal(signal.SIGKILL)
            continue
        for sitting in sittings:
            sitting.start(server.url)
        sittings[0].ready.wait()
        time.sleep(load.rng.uniform(0.5, 4.0))
        for sitting in sittings:
            sitting.stop()
        if number == kills:  # the last server ends in peace
            for sitting in sittings:
                sitting.join()
        server.signal(signal.SIGKILL)
        for sitting in sittings:
            sitting.join()
    writer.kill()
    return failed


def audit(load: Load) -> list[str]:
    """What is not as it must be."""
    store, notes = Store(load.path), load.notes
    votes = store.judgments(all_revisions=True)
    journal, _, problems = store_journal.read(store.journal_path)
    stored, acknowledged = Counter(vote.assignment for vote in votes), Counter(notes.votes)
    whole = Counter(score.eval_id for score in store.scores([f"batch-{n}" for n in notes.batches]))
    wrong = {
        "acknowledged votes are not in the database": len(acknowledged.keys() - stored.keys()),
        "acknowledged votes are not in the journal": len(acknowledged.keys() - {vote.assignment for vote in journal}),
        "items have two votes": sum(count > 1 for count in stored.values()),
        "items were acknowledged twice": sum(count > 1 for count in acknowledged.values()),
        "votes of the database are not in the journal": len(stored.keys() - {vote.assignment for vote in journal}),
        "acknowledged batches of scores are not whole": sum(whole[f"batch-{n}"] != BATCH for n in notes.batches),
        "write-ahead logs were set aside": len(list(load.home.glob("*.unreadable-*"))),
    }
    for problem in problems:  # a line cut short by a kill was acknowledged to nobody
        print(f"  {problem}")
    return [f"{count} {what}" for what, count in wrong.items() if count] + notes.troubles


def figures(name: str, seconds: Sequence[float], took: float) -> float:
    """Print the times of a phase; its p95."""
    p95 = percentile(list(seconds), 0.95)
    print(
        f"{name}: {len(seconds)} votes ({len(seconds) / took:.1f}/s), vote to next item p50 "
        f"{1000 * percentile(list(seconds), 0.5):.0f} ms, p95 {1000 * p95:.0f} ms, longest "
        f"{1000 * max(seconds):.0f} ms ({load_words()})",
        flush=True,
    )
    return p95


def measure(load: Load, quick: bool) -> tuple[dict[str, float], list[str]]:
    """The four timed phases: p95 by name, and which bounds were missed."""
    pace, seconds = HUMAN_SECONDS, 20.0 if quick else 90.0
    found = {}
    for name, timed in (("app", timed_app), ("threads", timed_desk)):
        for how, each, took in (("human", pace, seconds), ("flat out", 0.0, seconds / 3)):
            label = f"{name}, {'one vote each ' + format(pace, 'g') + ' s' if each else 'flat out'}"
            found[f"{name} {how}"] = figures(label, timed(load, each, took, 40 if quick else 100), took)
    slow = [name for name, p95 in found.items() if name.endswith("human") and p95 > BOUND_SECONDS]
    return found, [f"{name}: p95 {1000 * found[name]:.0f} ms, more than {1000 * BOUND_SECONDS:.0f}" for name in slow]


def main() -> int:
    """Run all phases; 0 when nothing was lost, doubled, not opened or too slow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer votes and kills")
    parser.add_argument("--kills", type=int, help="SIGKILLs in all; default 200, with --quick 12")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--desk", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--write", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.desk:
        desk(Path(options.desk[0]), float(options.desk[1]))
        return 0
    if options.write:
        write(Path(options.write[0]), int(options.write[1]))
        return 0
    kills = options.kills or (12 if options.quick else 200)
    apps = max(1, kills // 10)
    with tempfile.TemporaryDirectory(prefix="review-load-") as folder:
        load = Load(Path(folder), random.Random(options.seed))
        p95, wrong = measure(load, options.quick)
        before = len(load.notes.votes)
        failed = kill_workers(load, kills - apps, 40 if options.quick else 100)
        failed["app"] = kill_app(load, apps, 100)
        wrong += [f"{count} starts of the {name} failed" for name, count in failed.items() if count]
        amid = len(load.notes.votes) - before
        if amid < kills:
            wrong.append(f"only {amid} votes were acknowledged between {kills} kills: they prove little")
        wrong += audit(load)
        votes, batches = len(load.notes.votes), len(load.notes.batches)
    for line in wrong:
        print(f"MISSED: {line}")
    times = ", ".join(f"{name} {1000 * value:.0f} ms" for name, value in p95.items())
    print(
        f"review load: {kills} kills ({apps} of the real app), {votes} acknowledged votes ({amid} between kills) and "
        f"{batches} batches: {'nothing lost or doubled' if not wrong else 'see above'}; p95 {times}"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
