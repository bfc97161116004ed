"""What can be stored and asked: the class through which everything reads and writes the database.

Every operation, reading ones too, opens the file anew under the lock beside it (see file.py), uses one cursor and
closes; a Store holds no connection and may be used from several threads and processes. The database is copied with
`copy` or `export`, never by reading the file.

Beside `<db>` stand `<db>.lock` (never delete it: whoever waits holds the old file), `<db>.journal.jsonl` (votes, see
journal.py), and where a crash left a write-ahead log that cannot be read, `<db>.wal.unreadable-<time>`.
"""

from __future__ import annotations

import copy
import difflib
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.records import (
    Assignment,
    Entry,
    Evaluation,
    ExperimentRecord,
    GateCall,
    Guess,
    Judgment,
    Likelihood,
    ParityCheck,
    Prediction,
    Round,
    RunRecord,
    Score,
    SealedAccess,
    SentinelCheck,
    ServingPass,
    TrainLog,
    Trial,
)
from harness.store import batches, journal, scores, states
from harness.store.file import StoreFile, quoted, remove_database, transaction
from harness.store.session import Session
from harness.store.tables import JUDGMENTS, TABLES, TRAIN_LOG, Row, Table, columns, decode, encode


class Store:
    """The database of one home folder.

    `timeout` is how many seconds an operation waits for another process or thread before StoreLocked; `lock=False`
    leaves the lock out, which loses data and is there so that the benchmark can show it; `migrations` is a folder in
    place of the package's own; `lease=True` is for servers (`lease.py`). `messages` collects what a person should
    be told (a log that was set aside, torn lines of the journal). The file is made at the first operation; the folder
    at once.

    Every operation may raise StoreLocked, NewerSchema, DiskFull or StoreError; a write that raised stored nothing.
    """

    def __init__(
        self,
        path: Path,
        *,
        timeout: float = 30.0,
        lock: bool = True,
        migrations: Path | None = None,
        lease: bool = False,
    ) -> None:
        self._file = StoreFile(path, timeout=timeout, lock=lock, migrations=migrations, lease=lease)
        self._held: Any = None
        """A cursor that stays open, in place of one for every operation."""
        self.path = self._file.path
        self.lock_path = self._file.lock_path
        self.journal_path = self.path.with_name(self.path.name + ".journal.jsonl")
        self.messages = self._file.messages

    # ----------------------------------------------------------------------------------------------------- writing

    def ingest(self, records: Sequence[Any]) -> int:
        """Store any mix of records in one transaction; returns how many rows were new.

        A row that is already stored is left out, so ingesting twice is harmless. A row with the natural key of a
        stored one but other content supersedes it: readers see the last. Replaying rows that were superseded changes
        nothing, except for experiments and entries, which state the present and may go back.
        """
        batches: list[tuple[Table, list[Row]]] = []
        for kind, table in TABLES.items():
            rows = encode(table, [record for record in records if type(record) is kind])
            if rows:
                batches.append((table, rows))
        unknown = {type(record).__name__ for record in records if type(record) not in TABLES}
        if unknown:
            raise TypeError(f"the store has no table for {', '.join(sorted(unknown))}")
        if any(table is JUDGMENTS or table.record.__name__ in journal.KINDS for table, _ in batches):
            raise TypeError("votes and review rounds are stored in a session, which writes the journal first")
        if not batches:
            return 0
        with self._open() as cursor, transaction(cursor):
            return sum(self.insert(cursor, table, rows) for table, rows in batches)

    @contextmanager
    def opened(self) -> Iterator[Store]:
        """This store for several reads in a row: the file is opened once, and the lock held to the end of the block.

        Keep it short: nobody else reads or writes meanwhile.
        """
        with self._open() as cursor:
            held = copy.copy(self)
            held._held = cursor
            yield held

    def _open(self) -> AbstractContextManager[Any]:
        return self._file.open() if self._held is None else nullcontext(self._held)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Read, decide and write under one lock, in one transaction; when the block has ended, it is on disk.

        Keep it short, and begin no other operation of the store within it: that one would wait for the lock in vain.
        """
        with self._open() as cursor, transaction(cursor):
            session = Session(self, cursor, self._file.kept)
            yield session
            if session.journaled:
                journal.append(self.journal_path, *session.journaled)

    def rebuild_journal(self) -> int:
        """Take in the votes and review rounds of the journal that the database lacks; returns how many records.

        Lines that cannot be read (the last one may be cut short by a crash) are reported in `messages`.
        """
        with self._open() as cursor:
            votes, others, problems = journal.read(self.journal_path)
            for problem in problems:
                self._file.tell(problem)
            first: dict[tuple[str, int], Judgment] = {}
            for vote in votes:  # as in a session: the first vote of a revision counts
                first.setdefault((vote.assignment, vote.revision), vote)
            by_id: dict[str, Judgment] = {}
            for vote in first.values():
                by_id.setdefault(vote.id, vote)
            batches = [(JUDGMENTS, encode(JUDGMENTS, by_id.values()))]
            batches += [
                (table, encode(table, [record for record in others if type(record) is kind]))
                for kind, table in TABLES.items()
                if kind.__name__ in journal.KINDS
            ]
            with transaction(cursor):
                return sum(self.insert(cursor, table, rows) for table, rows in batches if rows)

    # ----------------------------------------------------------------------------------------------------- reading

    def experiments(self) -> list[ExperimentRecord]:
        """All experiments, the newest last."""
        return self._read(TABLES[ExperimentRecord], order="seq")

    def experiments_on(self, task_fingerprint: str) -> set[str]:
        """Ids of all experiments on these splits, deleted ones too: their test-set evaluations stay counted."""
        query = "SELECT experiment_id FROM {} WHERE task_fingerprint = $1"
        with self._open() as cursor:
            rows = cursor.execute(
                f"{query.format('experiments')} UNION {query.format('deletions')}", [task_fingerprint]
            )
            return {row[0] for row in rows.fetchall()}

    def experiment(self, name_or_id: str) -> ExperimentRecord:
        """The experiment with this id, or the newest of this name; StoreError names the nearest when there is none."""
        records: list[ExperimentRecord] = self._read(
            TABLES[ExperimentRecord], "experiment_id = $1 OR name = $1", [name_or_id], order="experiment_id = $1, seq"
        )
        if records:
            return records[-1]
        names = list(dict.fromkeys(record.name for record in self.experiments()))
        near = difflib.get_close_matches(name_or_id, names, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        raise StoreError(
            f"no experiment named {name_or_id!r} in {self.path}",
            hint=f"{hint}`harness store info` lists the {len(names)} stored experiments",
        )

    def entries(self, experiment_id: str) -> list[Entry]:
        """Arms and seeds of an experiment, in the order in which they were first stored."""
        return self._read(TABLES[Entry], "experiment_id = $1", [experiment_id])

    def trials(self, experiment_id: str) -> list[Trial]:
        """Trials of an experiment's tuning, in the order in which they were first stored."""
        return self._read(TABLES[Trial], "experiment_id = $1", [experiment_id])

    def runs(self, train_ids: Sequence[str]) -> list[RunRecord]:
        """All attempts at these trainings."""
        return self._read(TABLES[RunRecord], "train_id IN (SELECT unnest($1::VARCHAR[]))", [list(train_ids)])

    def evaluations(self, eval_ids: Sequence[str]) -> list[Evaluation]:
        """Evaluations by id."""
        return self._read(TABLES[Evaluation], "eval_id IN (SELECT unnest($1::VARCHAR[]))", [list(eval_ids)])

    def predictions(self, eval_ids: Sequence[str]) -> list[Prediction]:
        """Predictions of these evaluations, in stored order."""
        return self._read(TABLES[Prediction], "list_contains($1, eval_id)", [list(eval_ids)])

    def likelihoods(self, eval_ids: Sequence[str]) -> list[Likelihood]:
        """Likelihoods of these evaluations, in stored order."""
        return self._read(TABLES[Likelihood], "list_contains($1, eval_id)", [list(eval_ids)])

    def scores(self, eval_ids: Sequence[str]) -> list[Score]:
        """Scores of these evaluations, in stored order; a metric's older versions too."""
        return self._read(TABLES[Score], "list_contains($1, eval_id)", [list(eval_ids)])

    def score_columns(self, eval_ids: Sequence[str]) -> Sequence[Score]:
        """As `scores`, as columns where they fit: the same Scores, in the same order within a metric and evaluation."""
        with self._open() as cursor:
            columns = scores.score_columns(cursor, eval_ids)
        return columns if columns is not None else self.scores(eval_ids)

    def answer_counts(self, eval_ids: Sequence[str]) -> dict[str, tuple[int, int, int, int, str, str, int]]:
        """Evaluation → what `AnswerCounts` has; see `scores.answer_counts`."""
        with self._open() as cursor:
            return scores.answer_counts(cursor, eval_ids)

    def train_logs(self, train_ids: Sequence[str]) -> list[TrainLog]:
        """The training logs of all attempts at these trainings, each by step; those that have none are left out."""
        names = [name for name in columns(TRAIN_LOG) if name not in TRAIN_LOG.outer]
        query = (
            f"SELECT train_id, attempt, {', '.join(map(_name, names))} FROM current_{TRAIN_LOG.name} "
            "WHERE list_contains($1, train_id) ORDER BY train_id, attempt, first_seq, seq"
        )
        with self._open() as cursor:
            rows = cursor.execute(query, [list(train_ids)]).fetchall()
        logs: dict[tuple[str, int], list[Row]] = {}
        for train_id, attempt, *values in rows:
            logs.setdefault((train_id, attempt), []).append(tuple(values))
        return [TrainLog(*key, tuple(decode(TRAIN_LOG, rows))) for key, rows in logs.items()]

    def looks(self, experiment: str | None = None) -> list[SealedAccess]:
        """Scorings of the sealed test split in their order; of one experiment (as SealedAccess has it) or all."""
        return self._read(TABLES[SealedAccess], "$1::VARCHAR IS NULL OR experiment = $1", [experiment])

    def sentinels(self, suite: str) -> list[SentinelCheck]:
        """Checks of environments on this sealed suite, in the order they were made."""
        return self._read(TABLES[SentinelCheck], "suite = $1", [suite], order="seq")

    def parities(self, eval_id: str) -> list[ParityCheck]:
        """Parity checks of what ships against this evaluation, in the order they were made."""
        return self._read(TABLES[ParityCheck], "eval_id = $1", [eval_id], order="seq")

    def serving(self, experiment_id: str) -> list[ServingPass]:
        """Passes of serving figures over an experiment's arms, in the order they were made."""
        return self._read(TABLES[ServingPass], "experiment_id = $1", [experiment_id], order="created, seq")

    def gates(self) -> list[GateCall]:
        """Every call of a gate with its verdict, in the order they were stored."""
        return self._read(TABLES[GateCall], order='"when", seq')

    def judgments(self, *, all_revisions: bool = False) -> list[Judgment]:
        """Votes: the last revision of each assignment, or every one."""
        return self._read(JUDGMENTS, source="judgments", order="seq") if all_revisions else self._read(JUDGMENTS)

    def rounds(self, experiment_id: str) -> list[Round]:
        """Review rounds over an experiment's arms, in the order they were opened."""
        return self._read(TABLES[Round], "experiment = $1", [experiment_id])

    def ballots(
        self, round_id: str
    ) -> tuple[list[Assignment], list[Judgment], list[Guess], dict[tuple[str, str], int]]:
        """A round's assignments, every vote on them, the closing guesses, and how many characters each text has.

        Texts are by (example, source).
        """
        mine = "assignment IN (SELECT token FROM assignments WHERE round = $1)"
        lengths = "SELECT example, source, length(text) FROM current_review_texts WHERE round = $1"
        with self._open() as cursor:
            return (
                self.select(cursor, TABLES[Assignment], ("round = $1", "", ""), [round_id]),
                self.select(cursor, JUDGMENTS, (mine, "judgments", "seq"), [round_id]),
                self.select(cursor, TABLES[Guess], ("round = $1", "", ""), [round_id]),
                {(example, source): n for example, source, n in cursor.execute(lengths, [round_id]).fetchall()},
            )

    def tally(self, round_id: str) -> states.Tally:
        """How many assignments of a round stand how, counted by the database: a page asks for it at every vote."""
        with self._open() as cursor:
            return states.tally(cursor, round_id)

    def has_evaluation(self, eval_id: str) -> bool:
        """Whether this evaluation is stored; whatever was ingested with it is then stored too."""
        with self._open() as cursor:
            return bool(cursor.execute("SELECT 1 FROM evaluations WHERE eval_id = $1 LIMIT 1", [eval_id]).fetchone())

    def state(self, experiment_id: str) -> str:
        """Changes whenever something is stored that a leaderboard of this experiment is made from; cheap to ask."""
        with self._open() as cursor:
            return states.of_experiment(cursor, experiment_id)

    def round_state(self, round_id: str) -> str:
        """Changes whenever something is stored that belongs to this review round; cheap to ask."""
        with self._open() as cursor:
            return states.of_round(cursor, round_id)

    def counts(self) -> dict[str, int]:
        """Rows per table, superseded ones included."""
        names = [table.name for table in TABLES.values()]
        with self._open() as cursor:
            selects = ", ".join(f"(SELECT count(*) FROM {name})" for name in names)
            return dict(zip(names, cursor.execute(f"SELECT {selects}").fetchone(), strict=True))

    # ----------------------------------------------------------------------------------------------------- copying

    def export(self, folder: Path) -> None:
        """Write every table as Parquet, with the SQL that loads it again, into `folder`, which must be empty or new."""
        folder = Path(folder).absolute()
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise StoreError(f"{folder} is not an empty folder", hint="Give a new folder")
        with self._open() as cursor:
            folder.mkdir(parents=True, exist_ok=True)
            cursor.execute(f"EXPORT DATABASE {quoted(folder)} (FORMAT parquet)")

    def copy(self, to: Path) -> None:
        """Write a copy of the database to the new file `to`, whole or not at all. The journal is not copied."""
        to = Path(to).absolute()
        if to.exists():
            raise StoreError(f"{to} exists already", hint="Give the name of a new file")
        partial = to.with_name(f"{to.name}.partial-{os.getpid()}")
        with self._open() as cursor:
            to.parent.mkdir(parents=True, exist_ok=True)
            source = cursor.execute("SELECT current_database()").fetchone()[0]
            try:
                cursor.execute(f"ATTACH {quoted(partial)} AS harness_copy")
                try:
                    cursor.execute(f"COPY FROM DATABASE {_name(source)} TO harness_copy")
                    cursor.execute("CHECKPOINT harness_copy")
                finally:
                    cursor.execute("DETACH harness_copy")
                partial.replace(to)
            finally:
                remove_database(partial)

    # ------------------------------------------------------------------------------------------------------ inside

    def _read(
        self, table: Table, where: str = "true", values: Sequence[Any] = (), *, source: str = "", order: str = ""
    ) -> list[Any]:
        with self._open() as cursor:
            return self.select(cursor, table, (where, source, order), values)

    def select(self, cursor: Any, table: Table, query: tuple[str, str, str], values: Sequence[Any]) -> list[Any]:
        """Records of `table`; `query` is (condition, table or view in place of the current one, order)."""
        where, source, order = query
        names = ", ".join(_name(name) for name in columns(table) if name not in table.outer)
        order = order or ("seq" if source else "first_seq, seq")
        select = f"SELECT {names} FROM {source or 'current_' + table.name} WHERE {where} ORDER BY {order}"
        return decode(table, cursor.execute(select, list(values)).fetchall())

    def insert(self, cursor: Any, table: Table, rows: list[Row]) -> int:
        kinds = columns(table)
        stored = table.name if table.against == "all" else f"current_{table.name}"
        anti = ""
        for number, same in enumerate(table.same or (tuple(kinds),)):
            equal = " AND ".join(f"b.{_name(name)} IS NOT DISTINCT FROM s{number}.{_name(name)}" for name in same)
            anti += f" ANTI JOIN {stored} s{number} ON {equal}"
        names = ", ".join(_name(name) for name in kinds)
        values = ", ".join(f"b.{_name(name)}" for name in kinds)
        source, parameters, batch = batches.source(table, kinds, rows)
        if batch is not None:
            cursor.register(source, batch)  # the next one replaces it; the close ends it
        # Rows lie in the order of their numbers, so that whoever reads all of them need not sort.
        result = cursor.execute(
            f"INSERT INTO {table.name} (seq, {names}) "
            f"SELECT (SELECT coalesce(max(seq), 0) FROM {table.name}) + b.batch_row, {values} FROM {source} b{anti} "
            "ORDER BY b.batch_row",
            parameters,
        )
        return int(result.fetchone()[0])


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
