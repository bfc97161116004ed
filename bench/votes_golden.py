"""Do kappas and Bradley-Terry scores equal published ones?  python bench/votes_golden.py --data FOLDER

FOLDER holds two public data sets, which are not part of this repository:

- `pandalm/testset-v1.json` (WeOpenML/PandaLM, Apache-2.0): 999 pairs of answers judged by three annotators. Published
  Cohen's kappas: 0.85, 0.88 and 0.86;
- `llmfao/*.csv` (dustalov/evalica, Apache-2.0): votes, and golden scores of several methods. `bradley_terry` there has
  no side effect and scores that sum to one, so ours are fitted without it and compared as exp(score) / sum.

Prints its figures and exits with 1 when a kappa differs in its second decimal, an order differs, or a score by 1e-6.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np

from harness.stats import votes

PUBLISHED = {
    ("annotator1", "annotator2"): 0.85,
    ("annotator1", "annotator3"): 0.88,
    ("annotator2", "annotator3"): 0.86,
}
WITHIN = 1e-6
ANSWERS: tuple[votes.Winner, ...] = ("tie", "left", "right")


def kappas(file: Path) -> list[str]:
    """Print the kappas of the annotators, and return what differs from the published ones."""
    rows = json.loads(file.read_text(encoding="utf-8"))
    raters = sorted({name for pair in PUBLISHED for name in pair})
    table = votes.VoteTable.of(
        [
            votes.Vote(f"{row['instruction']}\n{row['input']}", *arms(row["cmp_key"]), rater, ANSWERS[row[rater]])
            for row in rows
            for rater in raters
        ]
    )
    missed = []
    for kappa in votes.pairwise_kappas(table):
        published = PUBLISHED[kappa.first, kappa.second]
        shown = "none" if kappa.value is None else f"{kappa.value:.4f}"
        print(f"kappa of {kappa.first} and {kappa.second}: {shown}, published {published}, {kappa.n} pairs")
        if kappa.value is None or round(kappa.value, 2) != published:
            missed.append(f"kappa of {kappa.first} and {kappa.second}: {shown}, not {published}")
    return missed


def arms(key: str) -> tuple[str, str]:
    """The two systems of a comparison key such as `bloom-7b_llama-7b`."""
    left, _, right = key.partition("_")
    return left, right


def scores(votes_file: Path, golden_file: Path) -> list[str]:
    """Print how far Bradley-Terry scores are from the golden ones, and return what differs."""
    with votes_file.open(encoding="utf-8", newline="") as lines:
        given = [
            votes.Vote(
                row.get("prompt") or str(number), row["left"], row["right"], row.get("worker") or "?", row["winner"]
            )
            for number, row in enumerate(csv.DictReader(lines))
        ]
    with golden_file.open(encoding="utf-8", newline="") as lines:
        golden = {
            row["item"]: float(row["score"]) for row in csv.DictReader(lines) if row["algorithm"] == "bradley_terry"
        }
    fit = votes.bradley_terry(votes.VoteTable.of(given), side=False)
    shares = np.exp(fit.scores) / np.exp(fit.scores).sum()
    ours = dict(zip(fit.arms, shares.tolist(), strict=True))
    if set(ours) != set(golden):
        return [f"{votes_file.name}: arms differ"]
    worst = max(abs(ours[arm] - golden[arm]) for arm in golden)
    same = sorted(ours, key=lambda arm: -ours[arm]) == sorted(golden, key=lambda arm: -golden[arm])
    order = "the same order" if same else "ANOTHER ORDER"
    print(f"{votes_file.name}: {len(given)} votes, {len(golden)} arms, {order}, scores differ by at most {worst:.1e}")
    return [] if same and worst <= WITHIN else [f"{votes_file.name}: {order}, scores differ by {worst:.1e}"]


def main(words: list[str] | None = None) -> int:
    """Compare all there is; 2 where the data are not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with pandalm/ and llmfao/")
    folder = parser.parse_args(words).data
    pandalm = folder / "pandalm" / "testset-v1.json"
    golden = sorted((folder / "llmfao").glob("*-golden.csv"))
    if not pandalm.is_file() or not golden:
        print(f"{folder} holds no pandalm/testset-v1.json or no llmfao/*-golden.csv", file=sys.stderr)
        return 2
    missed = kappas(pandalm)
    for file in golden:
        missed += scores(file.with_name(file.name.replace("-golden", "")), file)
    print(f"missed: {len(missed)}" + "".join(f"\n  {line}" for line in missed))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
