"""The rows of a run in one SQLite file (write-ahead log), keyed by the content hash of what was asked.

A cell is stored with all its rows in one synchronous transaction, so a row that was acknowledged
survives `kill -9` and power loss. Every cell carries a digest of its contents, so that a row that a
disk has changed is refused instead of handed out. The file holds nothing that depends on the clock or
on the order in which workers finished: equal seeds give equal contents.

`SELECT * FROM rows` shows every row with its cell (rows with NaN or infinity, which SQLite cannot
read, as one text per cell). Reading streams; nothing is held for all cells.
"""

import json
import sqlite3
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any

from pruneproof.errors import FileAccessError, FileFormatError, PruneproofError, StateError

from .cell import Row, Task, sort_key

SCHEMA = 2
EARLIER = 1  # the same without digests; such files are read, and get digests when they are written
APPLICATION = 0x50525546  # "PRUF", so that a stranger's SQLite file is not taken for ours

_TABLES = """
CREATE TABLE cells(key TEXT PRIMARY KEY, measure TEXT NOT NULL, cell TEXT NOT NULL, rows TEXT NOT NULL,
    digest TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE claims(id TEXT PRIMARY KEY, record TEXT NOT NULL, digest TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE asked(claim TEXT, position INTEGER, key TEXT NOT NULL, PRIMARY KEY (claim, position)) WITHOUT ROWID;
CREATE TABLE sources(measure TEXT, digest TEXT, PRIMARY KEY (measure, digest)) WITHOUT ROWID;
"""
_VIEW = """CREATE VIEW rows AS SELECT cells.key, cells.measure, cells.cell, each.key AS position, each.value AS row
    FROM cells, json_each(CASE WHEN json_valid(cells.rows) THEN cells.rows ELSE json_array(cells.rows) END) AS each"""


class Store:
    """A results file, opened for one writer or for reading.

    Args:
        path: The file; it is made if absent.
        reading: Whether to leave the file as it is. Reading needs no right to write.

    Raises:
        FileFormatError: If the file is no results file, is of another version, or is damaged.
        FileAccessError: If the file cannot be opened or written.

    Example:
        >>> with Store(":memory:") as store:
        ...     store.add([(Task("00ff", "module:function", '{"x": 1}'), '[{"y": 2.0}]')])
        ...     "00ff" in store, list(store.cells())
        (True, [('module:function', {'x': 1}, [{'y': 2.0}])])
    """

    def __init__(self, path: Path | str, *, reading: bool = False) -> None:
        self.path, self._reading = path, reading
        self._digests = True
        self._connection = self._connect()
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

    def __len__(self) -> int:
        with self._explained():
            return int(self._connection.execute("SELECT count(*) FROM cells").fetchone()[0])

    def add(self, answers: Iterable[tuple[Task, str]]) -> None:
        """Acknowledge cells with their rows (JSON lists): all of them, or none if this raises."""
        cells = ((task.key, task.measure, task.cell, rows) for task, rows in answers)
        with self._transaction():
            self._connection.executemany(
                "INSERT OR IGNORE INTO cells VALUES (?, ?, ?, ?, ?)", ((*cell, _digest(*cell)) for cell in cells)
            )

    def register(self, claim: str, record: dict[str, Any], keys: Iterable[str]) -> None:
        """Remember which cells a claim needs, with its criterion, before the first of them is computed.

        Args:
            claim: Id of the claim.
            record: What is known of it, as JSON values.
            keys: Keys of its cells, in the order of its grid.
        """
        needed, text = list(keys), json.dumps(record, sort_keys=True, ensure_ascii=False)
        with self._transaction():
            entry = (claim, text, _digest(claim, text, *needed))
            self._connection.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, ?)", entry)
            self._connection.execute("DELETE FROM asked WHERE claim = ?", (claim,))
            numbered = ((claim, position, key) for position, key in enumerate(needed))
            self._connection.executemany("INSERT INTO asked VALUES (?, ?, ?)", numbered)

    def claims(self) -> dict[str, dict[str, Any]]:
        """Claim id → what was recorded by `register`."""
        column = "digest" if self._digests else "NULL"
        with self._explained():
            found = self._connection.execute(f"SELECT id, record, {column} FROM claims ORDER BY id").fetchall()
            for claim, record, digest in found:
                if digest is not None and digest != _digest(claim, record, *self.needed(claim)):
                    raise self._damaged(f"what was recorded of claim {claim} was changed")
            return {claim: json.loads(record) for claim, record, _ in found}

    def needed(self, claim: str) -> list[str]:
        """The keys of a claim's cells, in the order of its grid."""
        query = "SELECT key FROM asked WHERE claim = ? ORDER BY position"
        with self._explained():
            return [key for (key,) in self._connection.execute(query, (claim,))]

    def missing(self, claim: str) -> int:
        """How many cells of a claim have no rows yet."""
        query = "SELECT count(*) FROM asked WHERE claim = ? AND key NOT IN (SELECT key FROM cells)"
        with self._explained():
            return int(self._connection.execute(query, (claim,)).fetchone()[0])

    def rows(self, claim: str) -> Iterator[Row]:
        """The rows of a claim in the order of its grid, each merged with its cell's parameters."""
        with self._explained():
            for key in self.needed(claim):
                if (found := self._find(key)) is not None:
                    _, parameters, rows = found
                    yield from ({**parameters, **row} for row in rows)

    def cells(self) -> Iterator[tuple[str, Row, list[Row]]]:
        """Every cell in the order of measures and parameters: measure, parameters, rows."""
        with self._explained():
            for task, rows in self.answers():
                yield task.measure, json.loads(task.cell), json.loads(rows)

    def answers(self) -> Iterator[tuple[Task, str]]:
        """Every cell in the order of measures and parameters, as `add` takes it.

        Raises:
            FileFormatError: If the file is damaged: its structure is checked first, then each cell.
        """
        with self._explained():
            (state,) = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
            if state != "ok":
                raise self._damaged(str(state))
            for (key,) in self._connection.execute("SELECT key FROM cells ORDER BY measure, sort_key(cell), key"):
                found = self._read(key)
                if found is None:
                    raise self._damaged(f"cell {key} is not where it should be")
                yield Task(key, *found[:2]), found[2]

    def answer(self, key: str) -> str | None:
        """The rows of a cell as JSON, or None if there are none yet."""
        with self._explained():
            found = self._read(key)
            return None if found is None else found[2]

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """Read the file as it is now for the whole of the block, whatever another process stores meanwhile."""
        with self._transaction("DEFERRED"):
            yield

    def measures(self) -> set[str]:
        """The measures that have cells."""
        with self._explained():
            return {name for (name,) in self._connection.execute("SELECT DISTINCT measure FROM cells")}

    def sources(self) -> set[tuple[str, str]]:
        """Measures with the digests of the sources that computed their cells."""
        with self._explained():
            return set(self._connection.execute("SELECT measure, digest FROM sources")) if self._digests else set()

    def add_sources(self, sources: Iterable[tuple[str, str]]) -> None:
        """Remember with which sources the measures' cells are computed."""
        with self._transaction():
            self._connection.executemany("INSERT OR IGNORE INTO sources VALUES (?, ?)", sources)

    def _find(self, key: str) -> tuple[str, Row, list[Row]] | None:
        found = self._read(key)
        return None if found is None else (found[0], json.loads(found[1]), json.loads(found[2]))

    def _read(self, key: str) -> tuple[str, str, str] | None:
        """Measure, parameters and rows of a cell, once they agree with the cell's digest."""
        columns = "measure, cell, rows" + (", digest" if self._digests else "")
        found = self._connection.execute(f"SELECT {columns} FROM cells WHERE key = ?", (key,)).fetchone()
        if found is None:
            return None
        measure, cell, rows, *digest = found
        if digest and digest[0] != _digest(key, measure, cell, rows):
            raise self._damaged(f"a stored row of {measure} {cell} was changed")
        return measure, cell, rows

    def _connect(self) -> sqlite3.Connection:
        with self._explained():
            if not self._reading or not Path(self.path).is_file():
                return sqlite3.connect(self.path, isolation_level=None, timeout=10)
            file = Path(self.path).absolute().as_uri()
            connection = sqlite3.connect(f"{file}?mode=ro", uri=True, isolation_level=None, timeout=10)
            try:
                connection.execute("PRAGMA schema_version").fetchone()
                return connection
            except sqlite3.OperationalError:  # SQLite cannot make its side files here
                connection.close()
            log = Path(f"{self.path}-wal")
            if log.is_file() and log.stat().st_size:
                raise FileAccessError(
                    f"results: {self.path} cannot be read here: rows in {log.name} are not folded in yet, which needs "
                    "the right to write. Copy both files to a folder that can be written and read the copy."
                )
            return sqlite3.connect(f"{file}?mode=ro&immutable=1", uri=True, isolation_level=None)

    def _prepare(self) -> None:
        version = self._pragma("user_version")
        empty = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        ours = version in (EARLIER, SCHEMA) and self._pragma("application_id") == APPLICATION
        if not ours and (self._reading or not empty):
            raise FileFormatError(
                f"results: {self.path} is not a results file of this version (schema {SCHEMA}): it "
                f"{'holds nothing' if empty else f'has schema {version}'}. It was left as it is; move it away, "
                "or pass --out with another folder."
            )
        self._connection.create_function("sort_key", 1, sort_key, deterministic=True)
        self._digests = empty or version == SCHEMA
        if self._reading:
            self._connection.execute("PRAGMA query_only = ON")
            return
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        if empty:
            self._make([*_TABLES.split(";\n"), _VIEW])
        elif not self._digests:
            self._add_digests()
        elif self._connection.execute("SELECT sql FROM sqlite_master WHERE name = 'rows'").fetchone() != (_VIEW,):
            self._make(["DROP VIEW IF EXISTS rows", _VIEW])  # an earlier view could not read NaN

    def _add_digests(self) -> None:
        """Bring a file of the earlier schema up to this one; its rows and keys stay what they are."""
        old = ("cells", "claims", "asked")
        with self._transaction():
            self._connection.execute("DROP VIEW IF EXISTS rows")
            for name in old:
                self._connection.execute(f"ALTER TABLE {name} RENAME TO earlier_{name}")
            for statement in [*_TABLES.split(";\n"), _VIEW]:
                self._connection.execute(statement)
            self._connection.create_function("digest", -1, _digest, deterministic=True)
            self._connection.execute(
                "INSERT INTO cells SELECT key, measure, cell, rows, digest(key, measure, cell, rows) FROM earlier_cells"
            )
            self._connection.execute("INSERT INTO asked SELECT * FROM earlier_asked")
            for claim, record in self._connection.execute("SELECT * FROM earlier_claims").fetchall():
                entry = (claim, record, _digest(claim, record, *self.needed(claim)))
                self._connection.execute("INSERT INTO claims VALUES (?, ?, ?)", entry)
            for name in old:
                self._connection.execute(f"DROP TABLE earlier_{name}")
            self._connection.execute(f"PRAGMA user_version = {SCHEMA}")
        self._digests = True

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
                    with suppress(sqlite3.Error):  # what went wrong first is what is told
                        self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Generator[None]:
        """Turn what SQLite says about the file into one line with a remedy."""
        try:
            yield
        except (sqlite3.Error, json.JSONDecodeError, UnicodeError) as error:
            kind, remedy = _REMEDIES.get(str(error), (None, "Check the file and its folder, or pass another --out."))
            if kind is None:
                kind = FileAccessError if isinstance(error, sqlite3.OperationalError) else FileFormatError
            raise kind(f"results: {self.path} cannot be used: {error}. {remedy}") from None

    def _damaged(self, what: str) -> FileFormatError:
        one = " ".join(what.split())
        return FileFormatError(f"results: {self.path} is damaged: {one}. Restore a copy, or start anew elsewhere.")


def _digest(*texts: str) -> str:
    return blake2b(json.dumps(texts).encode(), digest_size=8).hexdigest()


_REMEDIES: dict[str, tuple[type[PruneproofError], str]] = {
    "database or disk is full": (
        FileAccessError,
        "Free some space and run again with --resume; finished cells are kept.",
    ),
    "database is locked": (StateError, "Wait for the other run to end, or pass --out with another folder."),
    "file is not a database": (
        FileFormatError,
        "It was left as it is; move it away, or pass --out with another folder.",
    ),
    "database disk image is malformed": (
        FileFormatError,
        "It is damaged: restore a copy, or start anew with another --out.",
    ),
}
