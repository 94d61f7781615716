"""The rows of a run in one SQLite file (write-ahead log), keyed by the content hash of what was asked.

A cell is stored with all its rows in one synchronous transaction, so a row that was acknowledged survives `kill -9` and
power loss. The file holds nothing that depends on the clock or on the order in which workers finished: equal seeds give
equal contents. `SELECT * FROM rows` shows every row with its cell (rows with NaN or infinity, which SQLite cannot read,
as one text per cell). Reading streams; nothing is held for all cells.
"""

import json
import sqlite3
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from pruneproof.errors import PruneproofError

from .cell import Row, Task, place

SCHEMA = 1
APPLICATION = 0x50525546  # "PRUF", so that a stranger's SQLite file is not taken for ours


_TABLES = """
CREATE TABLE cells(key TEXT PRIMARY KEY, measure TEXT NOT NULL, cell TEXT NOT NULL, rows TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE claims(id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE asked(claim TEXT, position INTEGER, key TEXT NOT NULL, PRIMARY KEY (claim, position)) WITHOUT ROWID;
"""


_VIEW = """CREATE VIEW rows AS SELECT cells.key, cells.measure, cells.cell, each.key AS position, each.value AS row
    FROM cells, json_each(CASE WHEN json_valid(cells.rows) THEN cells.rows ELSE json_array(cells.rows) END) AS each"""


class Store:
    """A results file, opened for one writer or for reading.

    Arguments:
        path: the file; it is made if absent.
        reading: whether to leave the file as it is.

    Raises `PruneproofError` if the file cannot be opened or written, was made by another version, or is to be read and
    holds nothing.

    Example:
        >>> with Store(":memory:") as store:
        ...     store.add([(Task("00ff", "module:function", '{"x": 1}'), '[{"y": 2.0}]')])
        ...     "00ff" in store, list(store.cells())
        (True, [('module:function', {'x': 1}, [{'y': 2.0}])])
    """

    def __init__(self, path: Path | str, *, reading: bool = False) -> None:
        self.path, self._reading = path, reading
        with self._explained():
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=10)
        try:
            with self._explained():
                self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Fold the write-ahead log into the file; a store that is not closed loses nothing."""
        self._connection.close()

    def __contains__(self, key: str) -> bool:
        with self._explained():
            return self._connection.execute("SELECT 1 FROM cells WHERE key = ?", (key,)).fetchone() is not None

    def add(self, answers: Iterable[tuple[Task, str]]) -> None:
        """Acknowledge cells with their rows (JSON lists): all of them, or none if this raises."""
        records = ((task.key, task.measure, task.cell, rows) for task, rows in answers)
        with self._transaction():
            self._connection.executemany("INSERT OR IGNORE INTO cells VALUES (?, ?, ?, ?)", records)

    def ask(self, claim: str, record: dict[str, Any], keys: Iterable[str]) -> None:
        """Remember which cells a claim needs, with its criterion, before the first of them is computed."""
        with self._transaction():
            text = json.dumps(record, sort_keys=True, ensure_ascii=False)
            self._connection.execute("INSERT OR REPLACE INTO claims VALUES (?, ?)", (claim, text))
            self._connection.execute("DELETE FROM asked WHERE claim = ?", (claim,))
            numbered = ((claim, position, key) for position, key in enumerate(keys))
            self._connection.executemany("INSERT INTO asked VALUES (?, ?, ?)", numbered)

    def claims(self) -> dict[str, dict[str, Any]]:
        """Claim id → what was recorded by `ask`."""
        with self._explained():
            found = self._connection.execute("SELECT id, record FROM claims ORDER BY id")
            return {claim: json.loads(record) for claim, record in found}

    def missing(self, claim: str) -> int:
        """How many cells of a claim have no rows yet."""
        query = "SELECT count(*) FROM asked WHERE claim = ? AND key NOT IN (SELECT key FROM cells)"
        with self._explained():
            return int(self._connection.execute(query, (claim,)).fetchone()[0])

    def rows(self, claim: str) -> Iterator[Row]:
        """The rows of a claim in the order of its grid, each merged with its cell's parameters."""
        query = "SELECT cell, rows FROM asked JOIN cells USING (key) WHERE claim = ? ORDER BY position"
        with self._explained():
            for cell, rows in self._connection.execute(query, (claim,)):
                parameters = json.loads(cell)
                yield from ({**parameters, **row} for row in json.loads(rows))

    def cells(self) -> Iterator[tuple[str, Row, list[Row]]]:
        """Every cell in the order of measures and parameters: measure, parameters, rows."""
        with self._explained():
            for (key,) in self._connection.execute("SELECT key FROM cells ORDER BY measure, place(cell), key"):
                found = self._connection.execute("SELECT measure, cell, rows FROM cells WHERE key = ?", (key,))
                measure, cell, rows = found.fetchone()
                yield measure, json.loads(cell), json.loads(rows)

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """Read the file as it is now for the whole of the block, whatever another process stores meanwhile."""
        with self._transaction("DEFERRED"):
            yield

    def measures(self) -> set[str]:
        """The measures that have cells."""
        with self._explained():
            return {name for (name,) in self._connection.execute("SELECT DISTINCT measure FROM cells")}

    def __len__(self) -> int:
        with self._explained():
            return int(self._connection.execute("SELECT count(*) FROM cells").fetchone()[0])

    def _prepare(self) -> None:
        version = self._pragma("user_version")
        empty = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        ours = version == SCHEMA and self._pragma("application_id") == APPLICATION
        if not ours and (self._reading or not empty):
            remedy = "move the file away, or pass --out with another folder; it was left as it is"
            received = f"{self.path} with {'nothing in it' if empty else f'schema {version}'}"
            raise PruneproofError("results", required=f"a file of schema {SCHEMA}", received=received, remedy=remedy)
        self._connection.create_function("place", 1, place, deterministic=True)
        if self._reading:
            self._connection.execute("PRAGMA query_only = ON")
            return
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        if empty:
            self._make([*_TABLES.split(";\n"), _VIEW])
        elif self._connection.execute("SELECT sql FROM sqlite_master WHERE name = 'rows'").fetchone() != (_VIEW,):
            self._make(["DROP VIEW IF EXISTS rows", _VIEW])  # an earlier view could not read NaN

    def _make(self, statements: list[str]) -> None:
        with self._transaction():
            for statement in statements:
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA application_id = {APPLICATION}")
            self._connection.execute(f"PRAGMA user_version = {SCHEMA}")

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Generator[None]:
        with self._explained():
            self._connection.execute(f"BEGIN {kind}")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Generator[None]:
        """Turn what SQLite says about the file into one line with a remedy."""
        try:
            yield
        except (sqlite3.Error, json.JSONDecodeError) as error:
            remedy = _REMEDIES.get(str(error), "check the file and its folder, or pass --out with another folder")
            received = f"{self.path}: {error}"
            raise PruneproofError(
                "results", required="a readable, writable file", received=received, remedy=remedy
            ) from None


_REMEDIES = {
    "database or disk is full": "free some space and run again with --resume; finished cells are kept",
    "database is locked": "wait for the other run to end, or pass --out with another folder",
    "file is not a database": "move the file away, or pass --out with another folder; it was left as it is",
    "database disk image is malformed": "the file is damaged: restore a copy, or start anew with another --out",
}
