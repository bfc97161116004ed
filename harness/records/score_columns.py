"""Scores of many evaluations as arrays: one block for each metric. Reads as a sequence of Score, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, overload

from harness.records.scoring import Score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class ScoreBlock:
    """One version of one metric over E evaluations and I items. Arrays hold 0 where their mask says no."""

    suite: str
    metric: str
    filter: str
    version: int
    evaluations: tuple[str, ...]
    items: tuple[str, ...]
    """In the stored order of the first evaluation that has this metric."""
    present: NDArray[np.bool_]
    """[E, I]: whether there is a Score."""
    ok: NDArray[np.bool_]
    """[E, I]: whether its status is `ok`."""
    values: NDArray[np.float64]
    """[E, I]."""
    valued: NDArray[np.bool_]
    """[E, I]: whether there is a value."""
    statistics: NDArray[np.float64] | None = None
    """[E, I, k]."""
    counted: NDArray[np.bool_] | None = None
    """[E, I]: whether there are statistics."""
    orders: Mapping[int, NDArray[np.intp]] = field(default_factory=dict)
    """Row → its items in stored order, where that is another one than that of `items`."""

    def order(self, row: int) -> NDArray[np.intp]:
        """Columns of the items that a row has a Score of, in stored order."""
        return self.orders[row] if row in self.orders else self.present[row].nonzero()[0]

    def scores(self, row: int) -> Iterator[Score]:
        """The Scores of one evaluation, in stored order."""
        statistics = self.statistics if self.counted is not None else None
        for place in map(int, self.order(row)):
            found = None
            if statistics is not None and self.counted is not None and self.counted[row, place]:
                found = tuple(statistics[row, place].tolist())
            yield Score(
                self.evaluations[row],
                self.suite,
                self.items[place],
                self.metric,
                self.filter,
                self.version,
                "ok" if self.ok[row, place] else "missing",
                float(self.values[row, place]) if self.valued[row, place] else None,
                found,
            )


@dataclass(frozen=True, slots=True, eq=False)
class ScoreColumns(Sequence[Score]):
    """All blocks; as a sequence, block by block and evaluation by evaluation."""

    blocks: tuple[ScoreBlock, ...]

    def only(self, wanted: Callable[[ScoreBlock], bool]) -> ScoreColumns:
        """The blocks that are wanted."""
        return replace(self, blocks=tuple(block for block in self.blocks if wanted(block)))

    def __len__(self) -> int:
        return sum(int(block.present.sum()) for block in self.blocks)

    def __iter__(self) -> Iterator[Score]:
        for block in self.blocks:
            for row in range(len(block.evaluations)):
                yield from block.scores(row)

    @overload
    def __getitem__(self, index: int) -> Score: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Score]: ...

    def __getitem__(self, index: int | slice) -> Score | Sequence[Score]:
        return list(self)[index]
