"""Does the Bradley-Terry fit exist? Disconnected graphs, sides that cannot be told from arms, total separation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.stats.clusters import Floats
from harness.stats.votes.record import Codes


def components(count: int, left: Codes, right: Codes) -> tuple[tuple[int, ...], ...]:
    """Arms 0 … count-1 in groups that are connected by comparisons, each sorted."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(left)), (left, right)), shape=(count, count))
    labels = connected_components(graph, directed=False)[1]
    groups: dict[int, list[int]] = {}
    for arm, label in enumerate(labels.tolist()):
        groups.setdefault(label, []).append(arm)
    return tuple(sorted(tuple(group) for group in groups.values()))


def check_identified(arms: Sequence[str], left: Codes, right: Codes, design: Floats) -> None:
    """Refuse what has no single answer, whatever the votes say; design is [n, arms + further columns].

    Raises DataError: groups of arms that were never compared with each other, or a side (or length) coefficient that
    the design cannot tell from the arms.
    """
    groups = components(len(arms), left, right)
    if len(groups) > 1:
        named = " | ".join(", ".join(arms[arm] for arm in group) for group in groups)
        raise DataError(
            f"these groups of arms were never compared with each other: {named}",
            hint="Collect votes on pairs between the groups, or rank each group alone",
        )
    if design.shape[1] == len(arms):
        return
    cells = np.unique(design, axis=0)
    # One rank is lost because only differences of scores matter.
    if np.linalg.matrix_rank(cells) < design.shape[1] - 1:
        raise DataError(
            "an effect of the side (or of the length) cannot be told from the arms' own: each arm always stood alike",
            hint="Balance the sides within each pair, or fit without that effect",
        )


def separated_rows(design: Floats, outcome: Floats) -> NDArray[np.bool_]:
    """Which votes [n] a limit of growing coefficients predicts without error, while it makes no other vote worse.

    With any such vote the likelihood has no maximum: some coefficients grow without bound (Albert & Anderson 1984). A
    linear program finds a direction that separates every vote that any direction does (after Konis 2007). `outcome` is
    1 or 0, or between them for a vote that counts as both; that one separates never.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_array, hstack, identity

    sign = np.where(outcome == 1.0, 1.0, np.where(outcome == 0.0, -1.0, 0.0))
    # A vote for and a vote against the same row hold it fixed, too, so that rows are needed once for each sign.
    rows, back = np.unique(np.column_stack([design, sign]), axis=0, return_inverse=True)
    margins, decided = rows[:, :-1] * np.where(rows[:, -1:] == 0.0, 1.0, rows[:, -1:]), rows[:, -1] != 0.0
    wins, fixed = csr_array(margins[decided]), csr_array(margins[~decided])
    count, width = wins.shape
    if not count:
        return np.zeros(len(outcome), dtype=np.bool_)
    # Largest sum of t with t <= margin of the row, 0 <= t <= 1: directions may be scaled, so t is 0 or 1.
    solved = linprog(
        np.concatenate([np.zeros(width), -np.ones(count)]),
        A_ub=hstack([-wins, identity(count, format="csr")]).tocsr(),
        b_ub=np.zeros(count),
        A_eq=hstack([fixed, csr_array((fixed.shape[0], count))]).tocsr() if fixed.shape[0] else None,
        b_eq=np.zeros(fixed.shape[0]) if fixed.shape[0] else None,
        bounds=[(None, None)] * width + [(0.0, 1.0)] * count,
        method="highs",
    )
    if not solved.success:
        raise RuntimeError(f"the linear program of separation failed: {solved.message}")
    separated = np.zeros(len(rows), dtype=np.bool_)
    separated[decided] = solved.x[width:] > 0.5
    return np.asarray(separated[back.reshape(-1)])
