"""Files that are no store, places that cannot be written, disks that are full: one line each, nothing lost."""

import os
import re
import sqlite3
import struct
import tempfile
from contextlib import contextmanager
from pathlib import Path

import filelock  # noqa: F401  (imported before the rights to read the library are given up)
import pytest

from evenflow.errors import StoreError
from evenflow.record import Site, Store, lock

WEIGHT = Site("hidden_1.weight", "weight", 1, 8)
FULL = "everything recorded before is safe; free space and run the same command"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study.db"


def step(store, number, figure=1.0, **more):
    store.append(store.begin("a", 0, {}), number, [(WEIGHT, "accumulated", {"grad_norm": figure})], **more)


def make(path, steps=3):
    with Store.open(path, "a") as store:
        for number in range(steps):
            step(store, number)


def names(folder):
    return sorted(each.name for each in folder.iterdir())


def other_sqlite(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE run (id)")
    connection.commit()
    connection.close()


def other_format(path):
    make(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 7")
        connection.execute("UPDATE meta SET value = '\"9.1.0\"' WHERE key = 'evenflow'")
    connection.close()


def cut(path):
    make(path, 300)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def scribble(path):
    make(path, 300)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)


def rotten_figure(path):
    make(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE record SET grad_norm = 'much'")
    connection.close()


WRONG = {
    "text": (
        lambda path: path.write_text("step,loss\n1,2\n" * 99),
        "{path} is not a store of Evenflow; nothing was",
    ),
    "short text": (
        lambda path: path.write_text("hello"),
        "{path} is not a store of Evenflow; nothing was changed",
    ),
    "empty": (
        lambda path: path.touch(),
        "{path} is an empty file, not a store of Evenflow; nothing was changed",
    ),
    "other SQLite file": (
        other_sqlite,
        "{path} is an SQLite file of another program, not a store of Evenflow; nothing",
    ),
    "other format": (other_format, "store {path} has format 7, written by evenflow 9.1.0; this is evenflow "),
    "directory": (lambda path: path.mkdir(), "store {path} is a directory; name the file of results in it"),
    "head only": (
        lambda path: (make(path), os.truncate(path, 50)),
        "store {path} is damaged (it ends within its first",
    ),
    "cut": (
        cut,
        "store {path} is damaged (database disk image is malformed); nothing was changed; restore a copy",
    ),
    "scribbled": (
        scribble,
        "store {path} is damaged (database disk image is malformed); nothing was changed; restore",
    ),
}


def use(path, mode):
    with Store.open(path, mode) as store:
        store.table()
        step(store, 0)


@pytest.mark.parametrize("mode", ["r", "a"])
@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_store_is_refused_and_left_as_it_is(tmp_path, path, case, mode):
    spoil, line = WRONG[case]
    spoil(path)
    before, folder = None if path.is_dir() else path.read_bytes(), names(tmp_path)
    with pytest.raises(StoreError) as caught:
        use(path, mode)
    assert str(caught.value).startswith(line.format(path=path))
    assert "\n" not in str(caught.value)
    assert before is None or path.read_bytes() == before
    assert [name for name in names(tmp_path) if not name.endswith(("-wal", "-shm"))] == folder


def test_words_where_figures_should_be_are_damage(path):
    rotten_figure(path)
    with (
        Store.open(path) as store,
        pytest.raises(StoreError, match=r"is damaged \(could not convert string to float"),
    ):
        store.table()


def test_a_missing_store_is_not_made_by_reading(tmp_path, path):
    line = f"store {path} does not exist; check the path, or run the study that writes it"
    with pytest.raises(StoreError, match=f"^{re.escape(line)}$"):
        Store.open(path)
    assert names(tmp_path) == []


def test_reading_leaves_no_files_beside_the_store(tmp_path, path):
    make(path)
    before = path.read_bytes()
    with Store.open(path) as store:
        assert len(store.table()) == 3
    assert names(tmp_path) == ["study.db"]
    assert path.read_bytes() == before


def test_a_store_open_for_reading_cannot_be_written(path):
    make(path)
    with Store.open(path) as store:
        for write in (lambda: step(store, 9), lambda: store.meta.update(a=1), lambda: store.finish(1)):
            with pytest.raises(StoreError, match=r'is open for reading only; open it with mode "a" to write'):
                write()
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            store._connection.execute("DELETE FROM record")


def test_an_unknown_mode_is_refused(tmp_path, path):
    with pytest.raises(
        StoreError, match=r'mode "w" of store .* is not known; use "r" to read or "a" to append'
    ):
        Store.open(path, "w")
    assert names(tmp_path) == []


def test_directories_are_made_and_odd_names_work(tmp_path):
    path = tmp_path / "my runs" / "lr=0.1 #2?%41é.db"
    make(path)
    with Store.open(path) as store:
        assert len(store.table()) == 3
    assert names(path.parent) == [path.name]


def test_a_closed_store_says_so(path):
    make(path)
    store = Store.open(path)
    store.close()
    with pytest.raises(StoreError, match="Cannot operate on a closed database"):
        store.table()


# -- a full disk -------------------------------------------------------------------------------------------


def fill_up(store):
    for number in range(1, 1000):
        step(store, number, checkpoint=bytes(1000 * number))


def test_a_full_disk_keeps_what_was_recorded_and_goes_on_later(path):
    with Store.open(path, "a") as store:
        step(store, 0)
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages + 20}")
        with pytest.raises(StoreError) as caught:
            fill_up(store)
        done = store.runs()[0].steps_done
        assert str(caught.value) == f"disk full while writing store {path}: {FULL}"
        assert getattr(caught.value.__cause__, "sqlite_errorname", None) == "SQLITE_FULL"
        assert done >= 1
        kept = store.table()
        assert kept["step"].tolist() == list(range(done + 1))
        assert store.checkpoint(1) == (done, bytes(1000 * done))
        with Store.open(path) as reader:
            assert reader.table().equals(kept)
        store._connection.execute("PRAGMA max_page_count = 1000000")
        step(store, done + 1)
    with Store.open(path) as store:
        assert store.table()["step"].tolist() == list(range(done + 2))


def test_a_new_site_and_a_new_column_that_did_not_fit_are_written_later(path):
    """What was remembered of the failed step must be forgotten with it."""
    with Store.open(path, "a") as store:
        run = store.begin("a", 0, {})
        sites = [Site(f"w{i}", "weight", i, 1) for i in range(2000)]
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages + 5}")
        with pytest.raises(StoreError, match="disk full"):
            store.append(run, 0, [(site, "", {"mean": 1.0}) for site in sites])
        assert len(store.table()) == 0
        store._connection.execute("PRAGMA max_page_count = 1000000")
        store.append(run, 0, [(site, "", {"mean": 1.0}) for site in sites])
        assert len(store.table().sites) == 2000


# -- places without the right to write ---------------------------------------------------------------------


@contextmanager
def without_rights():
    """As a user that owns nothing; root may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def closed_folder():
    """A folder in which nothing can be made; not `tmp_path`, into which only its owner may look."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "study.db")
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)


def test_a_store_in_a_read_only_folder_can_be_read(closed_folder):
    with without_rights(), Store.open(closed_folder / "study.db") as store:
        assert len(store.table()) == 3
    assert names(closed_folder) == ["study.db"]


def test_a_store_in_a_read_only_folder_cannot_be_written(closed_folder):
    path = closed_folder / "study.db"
    line = rf"store {path} cannot be written \(.*\); choose a path in a directory that you can write to"
    with without_rights(), pytest.raises(StoreError, match=line):
        Store.open(path, "a")
    for new in (closed_folder / "new.db", closed_folder / "runs" / "new.db"):
        with (
            without_rights(),
            pytest.raises(StoreError, match=rf"store {new} cannot be written \(.*\); choose a path"),
        ):
            Store.open(new, "a")
        with without_rights(), pytest.raises(StoreError, match=f"store {new} cannot be locked"), lock(new):
            pass
    assert names(closed_folder) == ["study.db"]


def test_a_store_that_others_may_not_read_is_one_line(closed_folder):
    path = closed_folder / "study.db"
    path.chmod(0)
    with (
        without_rights(),
        pytest.raises(
            StoreError, match=f"store {path} cannot be read: Permission denied; check its permissions"
        ),
    ):
        Store.open(path)


@pytest.mark.filterwarnings("ignore:os.fork")  # another test of this process may have started threads
def test_steps_that_a_killed_process_left_beside_are_read_or_told(closed_folder):
    path = closed_folder / "study.db"
    closed_folder.chmod(0o755)
    child = os.fork()
    if child == 0:
        step(Store.open(path, "a"), 3)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert names(closed_folder) == ["study.db", "study.db-shm", "study.db-wal"]
    closed_folder.chmod(0o555)
    with without_rights(), Store.open(path) as store:
        assert store.table()["step"].tolist() == [0, 1, 2, 3]
    closed_folder.chmod(0o755)
    (closed_folder / "study.db-shm").unlink()
    closed_folder.chmod(0o555)
    with (
        without_rights(),
        pytest.raises(StoreError, match=r"study.db-wal holds steps that are not in it yet; copy both"),
    ):
        Store.open(path)


def test_a_store_kept_busy_is_told(path, monkeypatch):
    monkeypatch.setattr("evenflow.record.connection.BUSY_SECONDS", 0.05)
    make(path)
    with (
        Store.open(path, "a") as first,
        first._writing(),
        pytest.raises(StoreError, match="kept busy by another process"),
    ):
        Store.open(path, "a")


def test_a_killed_creation_leaves_no_half_of_a_store(tmp_path, path, monkeypatch):
    """The file appears under its name only when it is whole."""

    def dies(*_):
        assert not path.exists()
        raise KeyboardInterrupt

    monkeypatch.setattr("evenflow.record.connection.os.link", dies)
    with pytest.raises(KeyboardInterrupt):
        Store.open(path, "a")
    assert names(tmp_path) == []


def test_a_file_system_without_hard_links_will_do(path, monkeypatch):
    def refuses(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("evenflow.record.connection.os.link", refuses)
    make(path)
    with Store.open(path) as store:
        assert len(store.table()) == 3


def test_the_header_carries_the_application_number(path):
    make(path)
    assert struct.unpack(">I", path.read_bytes()[68:72]) == (0x45764677,)
