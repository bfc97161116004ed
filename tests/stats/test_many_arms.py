"""Many arms at once are what they are one by one: pairs, variances, ranks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from method_pairs import method_difference, method_estimate, method_p_value

from harness import stats
from harness.metrics import METRICS
from harness.records import Estimate
from harness.stats import clusters
from harness.stats.across_seeds import mean_arm, parts_of
from harness.stats.all_pairs import squared_distances

EXAMPLES = 60
CLUSTERS = stats.Clusters.of([f"g{number // 3 + number // 20}" for number in range(EXAMPLES)], EXAMPLES)


def tables(seeds: tuple[int, ...], rng: np.random.Generator) -> list[tuple[stats.Floats, bool]]:
    """Values [seeds, n] of each arm, and whether it was trained (0 seeds: it was not)."""
    shared = rng.normal(size=EXAMPLES)
    return [
        (np.clip(0.5 + 0.2 * shared + 0.1 * rng.normal(size=(max(1, number), EXAMPLES)), 0, 1), number > 0)
        for number in seeds
    ]


def agree(table: stats.PairTable, one_by_one: dict[tuple[int, int], Estimate]) -> None:
    for (a, b), expected in one_by_one.items():
        assert table.value[a, b] == pytest.approx(expected.value, abs=1e-12)
        assert bool(table.known[a, b]) == (expected.low is not None)
        if expected.low is not None:
            assert table.low[a, b] == pytest.approx(expected.low, abs=1e-12)
            assert table.high[a, b] == pytest.approx(expected.high, abs=1e-12)


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
def test_methods_of_any_numbers_of_seeds(bounds: tuple[float, float] | None) -> None:
    made = tables((0, 3, 3, 5, 0, 4, 3), np.random.default_rng(1))
    made.append((made[1][0].copy(), True))  # the same answers to the last bit
    made.append((made[2][0] + 1e-9, True))  # nearly the same: squares would cancel
    made.append((made[0][0] * 1.0, False))
    arms = [stats.method_arm(table, CLUSTERS, trained=trained)[0] for table, trained in made]
    for level in (0.95, 0.9995):
        pairs = {
            (a, b): method_difference(
                made[a][0], made[b][0], CLUSTERS, trained=(made[a][1], made[b][1]), bounds=bounds, level=level
            )
            for a, b in itertools.permutations(range(len(made)), 2)
        }
        agree(stats.pair_table(arms, CLUSTERS, bounds, level), pairs)


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
def test_checkpoints(bounds: tuple[float, float] | None) -> None:
    made = [table.mean(axis=0) for table, _ in tables((0, 1, 2, 0, 3), np.random.default_rng(2))]
    made.append(made[1].copy())
    arms = [mean_arm(one[None], CLUSTERS, False) for one in made]
    pairs = {
        (a, b): stats.paired_difference(made[a], made[b], CLUSTERS, bounds=bounds)
        for a, b in itertools.permutations(range(len(made)), 2)
    }
    agree(stats.pair_table(arms, CLUSTERS, bounds), pairs)


def test_arms_at_once_are_arms_one_by_one_to_the_last_bit() -> None:
    made = [table for table, _ in tables((3,) * 5, np.random.default_rng(3))]
    reference = stats.method_arm(made[0][:1], CLUSTERS, trained=False)[0]
    together = stats.arms_of(np.stack(made), CLUSTERS, trained=True)
    less = stats.less_reference(together, reference)
    for table, arm, difference in zip(made, together, less, strict=True):
        alone = stats.method_arm(table, CLUSTERS, trained=True)[0]
        assert (
            (alone.values == arm.values).all() and (alone.influence == arm.influence).all() and alone.scale == arm.scale
        )
        assert arm.parts == parts_of(alone)
        assert difference.parts == parts_of(stats.subtract(alone, reference))
        expected = method_estimate(table, CLUSTERS, bounds=(0.0, 1.0))
        assert stats.arm_estimate(arm, CLUSTERS, "mean over examples", (0.0, 1.0)) == expected
        expected_p = method_p_value(table, made[0][:1], CLUSTERS, trained=(True, False))
        assert stats.arm_p_value(difference, CLUSTERS) == expected_p


@pytest.mark.parametrize("cells", [10**6, 1])
def test_corpus_arms_at_once_are_arms_one_by_one_to_the_last_bit(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "PART_CELLS", cells)
    rng = np.random.default_rng(5)
    made = [np.abs(rng.normal(size=(3, EXAMPLES, 2))) + 1 for _ in range(5)]
    combine = METRICS["perplexity"].combine
    assert combine is not None
    together = stats.corpus_arms_of(made, combine, CLUSTERS, trained=True)
    assert len(together) == len(made)
    for table, arm in zip(made, together, strict=True):
        alone, _ = stats.corpus_method_arm(table, combine, CLUSTERS, trained=True)
        assert (alone.values == arm.values).all() and (alone.influence == arm.influence).all()
        assert (alone.scale, alone.dof, alone.trained) == (arm.scale, arm.dof, arm.trained)
    made[3][1, 7, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        stats.corpus_arms_of(made, combine, CLUSTERS, trained=True)


def test_pairs_take_two_arms_and_two_clusters() -> None:
    arm = mean_arm(np.ones((1, EXAMPLES)), CLUSTERS, False)
    with pytest.raises(ValueError, match="two arms"):
        stats.pair_table([arm], CLUSTERS, None)
    one = stats.Clusters.of(["g"] * EXAMPLES, EXAMPLES)
    with pytest.raises(ValueError, match="two clusters"):
        stats.pair_table([mean_arm(np.ones((1, EXAMPLES)), one, False)] * 2, one, None)


def test_distances_of_nearly_equal_rows_keep_their_digits() -> None:
    rng = np.random.default_rng(4)
    rows = 1e3 + rng.normal(size=(20, 50)) * 10.0 ** rng.integers(-7, 1, size=(20, 1))
    direct = ((rows[:, None] - rows) ** 2).sum(axis=2)
    assert squared_distances(rows) == pytest.approx(direct, rel=1e-11)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), min_size=4, max_size=4), min_size=3, max_size=12), st.booleans())
def test_rank_intervals_count_the_arms_above(rows: list[list[int]], higher: bool) -> None:
    draws = np.asarray(rows, dtype=np.float64)
    signed = draws if higher else -draws
    above = np.array([[(row > value).sum() for value in row] for row in signed])
    at_least = np.array([[(row >= value).sum() for value in row] for row in signed])
    first = np.quantile(above + 1, 0.025, axis=0, method="lower")
    last = np.quantile(at_least, 0.975, axis=0, method="higher")
    expected = [(int(low), int(high)) for low, high in zip(first, last, strict=True)]
    assert stats.rank_intervals(draws, higher) == expected


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), min_size=1, max_size=45),
    level=st.sampled_from((0.5, 0.9, 0.95, 1.0)),
)
def test_rank_intervals_are_quantiles_of_the_ranks(rows: list[list[int]], level: float) -> None:
    draws = np.array(rows, dtype=float)
    above = 1 + (draws[:, None, :] > draws[:, :, None]).sum(axis=2)
    not_below = (draws[:, None, :] >= draws[:, :, None]).sum(axis=2)
    low = np.quantile(above, (1 - level) / 2, axis=0, method="lower")
    high = np.quantile(not_below, 1 - (1 - level) / 2, axis=0, method="higher")
    expected = list(zip(low.tolist(), high.tolist(), strict=True))
    assert stats.rank_intervals(draws, higher=True, level=level) == expected
