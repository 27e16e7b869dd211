"""What a process that died while it wrote leaves behind."""

from pathlib import Path

from ugodit.io.atomic import remove_partial_files


def test_half_written_files_of_one_name_are_removed(tmp_path: Path) -> None:
    gone = (".a.h5.0123abcd.partial", ".a.png.0123abcd.partial", ".a_slice003_00ffee.h5.0123abcd.partial")
    # Of another volume, which may be at work; of another program; whole.
    kept = (".a.b.h5.0123abcd.partial", ".ab.h5.0123abcd.partial", ".a.partial", "a.h5")
    for name in (*gone, *kept):
        (tmp_path / name).touch()
    remove_partial_files(tmp_path, "a")
    assert {path.name for path in tmp_path.iterdir()} == set(kept)
    remove_partial_files(tmp_path / "not there", "a")
