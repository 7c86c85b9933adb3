"""Writing whole, and removing what killed writers have left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from doorward.keys.caching import temporary
from doorward.keys.caching.temporary import write_whole

posix = pytest.mark.skipif(os.name != "posix", reason="process numbers are looked up on POSIX")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def left_behind(path: Path, writer: str, age: float = 0.0) -> Path:
    """Make a temporary file as a writer leaves it that was killed so many seconds ago."""
    left = path.with_name(f".{path.name}.{writer}.0a1b2c3d4e5f.tmp")
    left.write_bytes(b"{")
    made_at = time.time() - age
    os.utime(left, (made_at, made_at))
    return left


@pytest.fixture(scope="module")
def gone() -> int:
    """Give the number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_it_returns_the_status_of_what_is_there_now(path: Path) -> None:
    status = write_whole(str(path), b"content")
    now = path.stat()

    assert b"content" == path.read_bytes()
    assert (status.st_ino, status.st_mtime_ns, 7) == (now.st_ino, now.st_mtime_ns, now.st_size)
    assert [path] == list(path.parent.iterdir())


@posix
def test_the_file_of_a_writer_that_is_gone_is_removed_after_a_minute(path: Path, gone: int) -> None:
    """A container may share the name of its host with another, in which that number is a living writer."""
    left = left_behind(path, f"{temporary._machine()}.{gone}", age=50)
    write_whole(str(path), b"content")
    assert left.exists()

    left_behind(path, f"{temporary._machine()}.{gone}", age=70)
    write_whole(str(path), b"content")
    assert [path] == list(path.parent.iterdir())


@posix
def test_a_writer_that_was_killed_leaves_nothing_for_long(path: Path) -> None:
    script = (
        "import os, sys\nfrom doorward.keys.caching.temporary import write_whole\n"
        "os.fsync = lambda descriptor: os.kill(os.getpid(), 9)\nwrite_whole(sys.argv[1], b'half')"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    (left,) = path.parent.iterdir()
    assert -9 == killed.returncode
    os.utime(left, (time.time() - 70, time.time() - 70))
    write_whole(str(path), b"whole")

    assert [path] == list(path.parent.iterdir())


@pytest.mark.parametrize(
    "writer",
    [f"{temporary._machine()}.{os.getpid()}", "elsewhere.1", "rubbish"],
    ids=["this process", "another machine", "rubbish"],
)
def test_a_file_of_another_writer_stays_for_an_hour(path: Path, writer: str) -> None:
    left = left_behind(path, writer, age=3_500)
    write_whole(str(path), b"content")
    assert left.exists()

    left_behind(path, writer, age=3_700)
    write_whole(str(path), b"content")
    assert not left.exists()


@pytest.mark.parametrize("name", ["other.json", ".other.json.1.tmp", ".keys.json.swp", "keys.json.tmp"])
def test_no_other_file_is_touched(path: Path, name: str) -> None:
    other = path.with_name(name)
    other.write_bytes(b"precious")
    os.utime(other, (0, 0))
    write_whole(str(path), b"content")

    assert b"precious" == other.read_bytes()


@posix
def test_what_is_no_file_stays(path: Path) -> None:
    left = path.with_name(".keys.json.a.1.b.tmp")
    left.symlink_to(path)
    os.utime(left, (0, 0), follow_symlinks=False)
    write_whole(str(path), b"content")

    assert left.is_symlink()
