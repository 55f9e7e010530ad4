"""SQLite files: made whole, opened carefully, their errors put into one line.

A file that is not a store is recognised by its first hundred bytes, before SQLite has touched it, so that
nothing foreign is ever changed.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from evenflow.errors import StoreError

# Files that this process has open as stores, by device and inode. To open and close such a file once more, outside
# SQLite, would drop SQLite's locks on it and ruin the store: https://www.sqlite.org/howtocorrupt.html, section 2.2.
_open_here: Counter[tuple[int, int]] = Counter()

APPLICATION = 0x45764677  # "EvFw", at byte 68 of the file: https://www.sqlite.org/fileformat.html
FORMAT = 1
BUSY_SECONDS = 60.0

# A statistic's column has no declared type: in a REAL column SQLite writes -0.0 as the integer 0.
LAYOUT = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE statistic (name TEXT PRIMARY KEY, meaning TEXT, formula TEXT, unit TEXT, merge TEXT, over TEXT);
CREATE TABLE run (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, seed INTEGER NOT NULL, fields TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending', steps_done INTEGER NOT NULL DEFAULT 0, facts TEXT NOT NULL DEFAULT '{}');
CREATE TABLE checkpoint (run INTEGER PRIMARY KEY, step INTEGER NOT NULL, state BLOB NOT NULL);
CREATE TABLE place (id INTEGER PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, depth INTEGER NOT NULL,
    units INTEGER NOT NULL, phase TEXT NOT NULL, UNIQUE (name, kind, depth, units, phase));
CREATE TABLE moment (id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, step INTEGER NOT NULL,
    source TEXT NOT NULL, UNIQUE (run, step, source));
CREATE TABLE record (moment INTEGER NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (moment, place)) WITHOUT ROWID;
CREATE VIEW flow AS SELECT run.key, run.seed, moment.step, moment.source, place.name, place.kind, place.depth,
    place.units, place.phase, record.* FROM record JOIN moment ON moment.id = record.moment
    JOIN run ON run.id = moment.run JOIN place ON place.id = record.place;
"""


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection to the store at `path`; mode "a" makes the file where there is none.

    Raises:
        StoreError: no store, another format version, a place that cannot be read or written, a full disk.
    """
    if mode not in ("r", "a"):
        raise StoreError(f'mode "{mode}" of store {path} is not known; use "r" to read or "a" to append')
    if mode == "a" and not path.exists():
        with translated(path):
            _create(path)
    _check_file(path)
    with translated(path):
        return _open_to_append(path) if mode == "a" else _open_to_read(path)


def _create(path: Path) -> None:
    """Make the whole file under another name first: a process that is killed leaves no half of a store."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.new")
    draft.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.executescript(f"BEGIN; {LAYOUT} COMMIT;")
            connection.execute("INSERT INTO meta VALUES ('format', ?)", (str(FORMAT),))
            connection.execute("INSERT INTO meta VALUES ('evenflow', ?)", (f'"{_version()}"',))
        try:
            os.link(draft, path)  # fails where another process was faster; its store is as good as ours
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            if not path.exists():
                os.replace(draft, path)
    finally:
        for tail in ("", "-wal", "-shm", "-journal"):
            with suppress(OSError):
                draft.with_name(draft.name + tail).unlink(missing_ok=True)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("evenflow")
    except PackageNotFoundError:  # run from a source tree
        return "0+unknown"


def _check_file(path: Path) -> None:
    try:
        if _open_here[_place(path)]:
            return
        with open(path, "rb") as file:
            head = file.read(100)
    except FileNotFoundError:
        raise StoreError(
            f"store {path} does not exist; check the path, or run the study that writes it"
        ) from None
    except IsADirectoryError:
        raise StoreError(f"store {path} is a directory; name the file of results in it") from None
    except OSError as error:
        raise StoreError(f"store {path} cannot be read: {error.strerror}; check its permissions") from None
    other = "; nothing was changed; choose another path"
    if not head:
        raise StoreError(f"{path} is an empty file, not a store of Evenflow{other} or delete it")
    if not head.startswith(b"SQLite format 3\0"):
        raise StoreError(f"{path} is not a store of Evenflow{other}")
    if len(head) < 100:
        raise StoreError(damage(path, "it ends within its first 100 bytes"))
    (form,), (application,) = struct.unpack(">i", head[60:64]), struct.unpack(">I", head[68:72])
    if application != APPLICATION:
        raise StoreError(f"{path} is an SQLite file of another program, not a store of Evenflow{other}")
    if form != FORMAT:
        raise StoreError(
            f"store {path} has format {form}, written by evenflow {_writer(path)}; this is evenflow {_version()}, "
            f"which reads format {FORMAT}{other} or read it with that version"
        )


def _writer(path: Path) -> str:
    with (
        suppress(sqlite3.Error, AttributeError, TypeError),
        closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection,
    ):
        return connection.execute("SELECT value FROM meta WHERE key = 'evenflow'").fetchone()[0].strip('"')
    return "of an unknown version"


def _open_to_append(path: Path) -> sqlite3.Connection:
    connection = _connection(path, "mode=rw")
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")  # a place that cannot be written to is found out now
        connection.execute("ROLLBACK")
    except BaseException:
        connection.close()
        raise
    return connection


def _open_to_read(path: Path) -> sqlite3.Connection:
    """Try to read beside writers first; where no file can be made beside the store, read it as it lies.

    A store that is read as immutable shows nothing of its -wal file, so this is done only where that is empty.
    """
    wal = path.with_name(path.name + "-wal")
    for options in ("mode=rw", "mode=ro&immutable=1"):
        connection = _connection(path, options)
        try:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("SELECT count(*) FROM meta").fetchone()
        except sqlite3.OperationalError as error:
            connection.close()
            blocked = (error.sqlite_errorcode & 0xFF) in _PLACE or _room(path) < _LITTLE
            if options != "mode=rw" or not blocked:
                raise
            if wal.exists() and wal.stat().st_size:
                raise StoreError(
                    f"store {path} cannot be read where it lies, and {wal.name} holds steps that are not in it yet; "
                    "copy both files to a directory that you can write to"
                ) from None
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise AssertionError("unreachable")


class _Connection(sqlite3.Connection):
    """A connection that notes which file this process has open."""

    place: tuple[int, int] | None = None

    def close(self) -> None:
        super().close()
        if self.place is not None:
            _open_here[self.place] -= 1
            self.place = None


def _connection(path: Path, options: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?{options}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        factory=_Connection,
    )
    connection.place = _place(path)
    _open_here[connection.place] += 1
    return connection


def _place(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


_LITTLE = 1 << 20  # bytes of room with which an error of input or output means a full disk
_PLACE = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLite and the operating system say into one line about this store."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(_message(path, error)) from error


def _message(path: Path, error: sqlite3.Error | OSError) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    base = None if code is None else code & 0xFF
    full = base == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in _FULL_ERRORS
    if full or (base == sqlite3.SQLITE_IOERR and _room(path) < _LITTLE):
        return (
            f"disk full while writing store {path}: everything recorded before is safe; "
            "free space and run the same command"
        )
    if base in _PLACE or isinstance(error, OSError):
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return (
            f"store {path} cannot be written ({reason}); choose a path in a directory that you can write to"
        )
    if base in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return (
            f"store {path} was kept busy by another process for {BUSY_SECONDS:.0f} s; "
            "end that process or wait for it, and run the same command"
        )
    if base in _DAMAGE:
        return damage(path, str(error))
    return f"store {path}: {error}"


def damage(path: Path, reason: str) -> str:
    """The line about a file that was a store and is broken."""
    return (
        f"store {path} is damaged ({reason}); nothing was changed; restore a copy, or move it away and run "
        "the same command again"
    )


def _room(path: Path) -> int:
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:
        return 1 << 62


def _full_errors() -> tuple[int, ...]:
    import errno

    return tuple(getattr(errno, name) for name in ("ENOSPC", "EDQUOT") if hasattr(errno, name))


_FULL_ERRORS = _full_errors()
