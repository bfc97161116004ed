"""Two processes at once, and processes that are killed: nothing is given out twice, nothing acknowledged is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from review_samples import open_sample, person, work

from harness import review
from harness.review.plan import Design
from harness.store import Store

ROOT = Path(__file__).parents[2]
VOTE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from review_samples import ballot
from harness import review
from harness.review.blind import BlindItem
from harness.store import Store
store = Store(Path(sys.argv[1]))
who = review.authenticate(store, sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
found = review.next_item(store, who)
while isinstance(found, BlindItem):
    print("shown", found.token, flush=True)
    receipt, after = review.vote_and_next(store, who, ballot(found))
    print("voted", found.vote_id, receipt.new, flush=True)
    found = after
print("done", flush=True)
"""


def voter(store: Store, token: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", VOTE, str(store.path), token, str(Path(__file__).parents[1])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def lines(process: subprocess.Popen[str], word: str) -> list[str]:
    """What the process still says after `word`, to its end."""
    said, _ = process.communicate()
    return [line.split()[1] for line in said.splitlines() if line.startswith(word)]


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def test_two_raters_racing_for_open_pairs_never_get_one_beyond_its_raters(store: Store) -> None:
    _, plan = open_sample(store, Design(8, 1, 1))
    gone = person(store, "Gone")
    review.next_item(store, gone)
    review.revoke(store, "r1", "Gone")  # all eight pairs are open to whoever comes
    tokens = [review.invite(store, "r1", name) for name in ("Ann", "Bo")]
    processes = [voter(store, token) for token in tokens]
    for process in processes:
        ready(process)
    for process in processes:
        go(process)
    shown = [lines(process, "shown") for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert not set(shown[0]) & set(shown[1])
    assert sorted(shown[0] + shown[1]) == sorted(a.token for a in plan)
    assert Counter(vote.assignment for vote in store.judgments()) == Counter(a.token for a in plan)


def test_two_people_arriving_at_once_take_different_queues(store: Store) -> None:
    open_sample(store, Design(4, 2, 2))
    processes = [voter(store, review.invite(store, "r1", name)) for name in ("Ann", "Bo")]
    for process in processes:
        ready(process)
    for process in processes:
        go(process)
    assert [len(lines(process, "voted")) for process in processes] == [4, 4]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(str(one.queue) for one in review.invitations(store, "r1")) == ["0", "1"]
    assert review.status(store, "r1").votes == 8


def test_one_reviewer_in_two_processes_votes_once_an_item(store: Store) -> None:
    open_sample(store, Design(6, 1, 1))
    token = review.invite(store, "r1", "Ann")
    processes = [voter(store, token) for _ in range(2)]
    for process in processes:
        ready(process)
    for process in processes:
        go(process)
    voted = [name for process in processes for name in lines(process, "voted")]
    assert [process.returncode for process in processes] == [0, 0]
    assert len(set(voted)) == 6 == len(store.judgments(all_revisions=True))


def test_kills_in_the_middle_of_voting_lose_and_double_nothing(store: Store) -> None:
    open_sample(store, Design(12, 1, 1, repeats=3))
    token, chance = review.invite(store, "r1", "Ann"), random.Random(3)
    acknowledged: list[str] = []
    for _ in range(3):
        process = voter(store, token)
        ready(process)
        go(process)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("voted"):
                acknowledged.append(line.split()[1])
                if chance.random() < 0.5:
                    break
        try:
            process.wait(timeout=chance.random() * 0.1)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        acknowledged += lines(process, "voted")
    stored = [vote.id for vote in store.judgments(all_revisions=True)]
    assert len(acknowledged) >= 3 and set(acknowledged) <= set(stored)
    assert len(set(stored)) == len(stored)
    who = review.authenticate(store, token)
    assert who is not None
    assert work(store, who) == 15 - len(stored)
    everything = store.judgments(all_revisions=True)
    assert len(everything) == 15 == len({vote.assignment for vote in everything})


def test_a_round_comes_back_from_the_journal_with_its_votes(store: Store) -> None:
    there, plan = open_sample(store, Design(4, 1, 1))
    token = review.invite(store, "r1", "Ann")
    who = review.authenticate(store, token)
    assert who is not None and work(store, who) == 4
    review.close(store, "r1", "owner", "enough")
    before = review.status(store, "r1")
    store.path.unlink()
    fresh = Store(store.path)
    assert fresh.rebuild_journal() > 0 and fresh.rebuild_journal() == 0
    assert review.status(fresh, "r1") == before and before.votes == 4 and before.state == "closed"
    assert review.authenticate(fresh, token) is not None
    assert review.round_votes(fresh, "r1").assignments == tuple(plan)
    assert review.find_round(fresh, "r1").seed == there.seed
