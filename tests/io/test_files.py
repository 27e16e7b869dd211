"""What is asked of files before they are opened, and what becomes of temporary ones."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ugodit.errors import InputError
from ugodit.io import atomic
from ugodit.io.atomic import remove_left_over, write_file
from ugodit.io.files import check_path, read_bytes, require_regular_file


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (os.fsdecode(b"\xff.h5"), "expected a path in UTF-8"),
        ("a\x1b[31m.h5", "expected a path of printable characters"),
        ("a\0.h5", "expected a path of printable characters"),
        ("x" * 300, "cannot be reached .*too long"),
        ("a/" * 300, "expected at most 200 folders within one another"),
        (("x" * 200 + "/") * 100, "cannot be reached .*too long"),
    ],
)
def test_paths_that_cannot_be_are_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_path(tmp_path / name)


def test_a_folder_without_permission_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(InputError, match=r"cannot be reached \(permission denied\)"):
        check_path(tmp_path / "a.h5")
    with pytest.raises(InputError, match=r"cannot be read \(permission denied\)"):
        require_regular_file(tmp_path / "a.h5", "a file")


def test_what_is_not_there_yet_is_a_path_all_the_same(tmp_path: Path) -> None:
    check_path(tmp_path / "new" / "é.h5")


def test_only_regular_files_of_a_sensible_size_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a", "a text", 5) == b"12345"
    with pytest.raises(InputError, match="expected a text of at most 4 bytes, got more"):
        read_bytes(tmp_path / "a", "a text", 4)
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero"), tmp_path):
        with pytest.raises(InputError, match="expected a text, got a folder or a device"):
            read_bytes(path, "a text", 5)
    with pytest.raises(InputError, match="there is no such file"):
        read_bytes(tmp_path / "a" / "b", "a text", 5)


def test_temporary_files_of_dead_processes_are_removed(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    ours = tmp_path / f".a.h5.{atomic._HOST}-{os.getpid()}-01234567.partial"
    theirs = tmp_path / f".a.h5.{atomic._HOST}-{dead.pid}-01234567.partial"
    elsewhere = tmp_path / ".a.h5.00000000-1-01234567.partial"
    earlier = tmp_path / ".a.h5.01234567.partial"
    other = tmp_path / "a.partial"
    for path in (ours, theirs, elsewhere, earlier, other):
        path.touch()
    remove_left_over(tmp_path)
    assert set(tmp_path.iterdir()) == {ours, elsewhere, earlier, other}
    old = time.time() - 2 * 24 * 3600
    for path in (ours, elsewhere, earlier, other):
        os.utime(path, (old, old))
    remove_left_over(tmp_path)
    assert set(tmp_path.iterdir()) == {ours, other}
    remove_left_over(tmp_path / "nowhere")


def test_a_name_as_long_as_the_system_allows_can_be_written(tmp_path: Path) -> None:
    write_file(tmp_path / ("x" * 255), b"1")
    with pytest.raises(InputError, match="cannot be written"):
        write_file(tmp_path / ("x" * 256), b"1")
    assert len(list(tmp_path.iterdir())) == 1
