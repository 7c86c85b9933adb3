from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from doorward.regular_file import read_regular_file, read_with_status

needs_posix = pytest.mark.skipif(os.name != "posix", reason="this system has no such files")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    file.chmod(0o600)
    return file


def refusal(path: Path | str, *, largest: int = 100, private: bool = False) -> str:
    with pytest.raises(OSError, match=r"\[Errno") as refused:
        read_regular_file(path, largest, private=private)
    assert isinstance(refused.value.strerror, str)
    return refused.value.strerror


@pytest.mark.parametrize("content", [b"", b"x", b"\r\n\x1a\0", b"y" * 200_000], ids=len)
def test_a_file_is_read_as_its_bytes_are(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    assert content == read_regular_file(path, 200_000)
    assert content == read_regular_file(str(path), 200_000)


def test_the_status_is_that_of_the_file_that_was_read(path: Path) -> None:
    content, status = read_with_status(path, 100)

    assert (b"content", path.stat().st_ino) == (content, status.st_ino)


def test_a_file_of_just_the_largest_size_is_read_and_one_byte_more_is_refused(path: Path) -> None:
    assert b"content" == read_regular_file(path, 7)
    assert "it has 7 bytes, and may have 6 bytes at most" == refusal(path, largest=6)


def test_a_file_that_is_too_large_is_not_read_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(descriptor: int, size: int) -> bytes:
        raise AssertionError((descriptor, size))

    monkeypatch.setattr(os, "read", read)
    with path.open("wb") as file:
        file.truncate(10_000_000_000)

    assert "10,000,000,000 bytes" in refusal(path)


def test_of_a_file_that_grows_while_it_is_read_no_more_is_read_than_shows_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def read(descriptor: int, size: int) -> bytes:
        asked.append(size)
        return b"z" * size

    monkeypatch.setattr(os, "read", read)

    assert "it has more, and may have 100,000 bytes at most" == refusal(path, largest=100_000)
    assert 100_001 == sum(asked)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc")
def test_a_file_whose_size_says_nothing_is_read_within_the_bound() -> None:
    assert b"Name:" == read_regular_file("/proc/self/status", 100_000)[:5]
    assert "it has more" in refusal("/proc/self/status", largest=10)


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def link_to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_suffix(".pipe"))
    path.symlink_to(path.with_suffix(".pipe"))


@needs_posix
@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize(
    ("make", "kind"),
    [(Path.mkdir, "a directory"), (make_pipe, "a named pipe"), (make_socket, "a socket")],
)
def test_what_is_not_a_regular_file_is_refused_without_waiting(
    tmp_path: Path,
    make: Callable[[Path], None],
    kind: str,
    private: bool,  # noqa: FBT001 - a parameter
) -> None:
    make(tmp_path / "it")

    assert f"it is {kind}, and must be a regular file" == refusal(tmp_path / "it", private=private)


@needs_posix
def test_a_device_is_refused_though_it_never_ends() -> None:
    assert "it is a device, and must be a regular file" == refusal("/dev/zero")


@needs_posix
def test_a_link_leads_to_what_it_names(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    link_to_a_pipe(tmp_path / "trap")

    assert b"content" == read_regular_file(tmp_path / "link", 100)
    assert "it is a named pipe" in refusal(tmp_path / "trap")


@needs_posix
def test_a_name_that_changes_hands_after_the_first_look_opens_no_pipe(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    looked_at = path.stat()
    monkeypatch.setattr(os, "stat", lambda name, **settings: looked_at)

    assert "it is a named pipe, and must be a regular file" == refusal(tmp_path / "pipe")


@needs_posix
def test_no_descriptor_is_left_open(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = os.dup(0)
    os.close(free)
    looked_at = path.stat()
    monkeypatch.setattr(os, "stat", lambda name, **settings: looked_at)

    read_regular_file(path, 100)
    refusal(tmp_path)
    again = os.dup(0)
    os.close(again)
    assert free == again


def test_an_absent_file_is_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as refused:
        read_regular_file(tmp_path / "absent", 100)
    assert errno.ENOENT == refused.value.errno


@pytest.mark.parametrize("name", ["a\0b", "\ud800"], ids=ascii)
def test_a_name_that_no_file_can_have_is_an_error_of_the_system_too(name: str) -> None:
    assert "no file can have this name" == refusal(name)


@needs_posix
def test_a_private_file_is_read_where_only_this_user_can_have_written_it(path: Path, tmp_path: Path) -> None:
    for mode in (0o600, 0o644, 0o400):
        path.chmod(mode)
        assert b"content" == read_regular_file(path, 100, private=True)
    (tmp_path / "link").symlink_to(path)
    assert "it is a symbolic link" in refusal(tmp_path / "link", private=True)


@needs_posix
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o660], ids=oct)
def test_a_private_file_that_others_may_write_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)

    assert b"content" == read_regular_file(path, 100)
    assert "others may write to it: its mode must be 0600" == refusal(path, private=True)


@needs_posix
def test_a_private_file_of_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)

    assert "it belongs to another user" == refusal(path, private=True)


@needs_posix
def test_a_link_that_takes_the_place_of_a_private_file_after_the_first_look_is_refused(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(path)
    looked_at = path.stat()
    monkeypatch.setattr(os, "stat", lambda name, **settings: looked_at)

    with pytest.raises(OSError, match="symbolic") as refused:
        read_regular_file(tmp_path / "link", 100, private=True)
    assert errno.ELOOP == refused.value.errno
