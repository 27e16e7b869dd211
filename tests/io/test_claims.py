"""Claims: one process each, lost with its life; no race between those who want a dead one's work."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ugodit.errors import OutputError
from ugodit.io import claims as claims_module
from ugodit.io.claims import Claims

DYING = """
import sys
from pathlib import Path
from ugodit.io.claims import Claims
claims = Claims(Path({folder!r})).__enter__()
assert claims.take("work")
print("taken", flush=True)
sys.stdin.read()
"""


def far_away(folder: Path, name: str, age: float = 0.0, about: str = "") -> None:
    """A process on another machine that last renewed itself so many seconds ago."""
    path = folder / f"{name}-1-000000.owner"
    folder.mkdir(exist_ok=True)
    path.write_text(json.dumps({"boot": "another", "pids": "", "pid": 1, "started": "1", "about": about}))
    then = time.time() - age
    os.utime(path, (then, then))


def test_only_one_has_a_claim_until_it_is_released(tmp_path: Path) -> None:
    with Claims(tmp_path / "a") as one, Claims(tmp_path / "a") as two:
        assert one.take("work")
        assert one.take("work")
        assert not two.take("work")
        assert two.take("other")
        one.release("work")
        assert two.take("work")
        assert not one.take("work")
    assert list((tmp_path / "a").iterdir()) == []


def test_the_end_of_a_block_releases(tmp_path: Path) -> None:
    with Claims(tmp_path) as one:
        with Claims(tmp_path) as two:
            assert two.take("work")
        assert one.take("work")


def test_a_killed_process_of_this_machine_loses_its_claims_at_once(tmp_path: Path) -> None:
    code = DYING.format(folder=str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "taken\n"
        with Claims(tmp_path) as claims:
            assert not claims.take("work")
            assert claims.others() == [""]
            other.kill()
            other.wait()
            assert claims.others() == []
            assert claims.take("work")
            claims.clear()
            # The registration of this process and its claims: two generations of one.
            assert sorted(path.suffix for path in tmp_path.iterdir()) == [".claim-1", ".owner"]


def test_a_process_elsewhere_is_dead_when_its_lease_is_over(tmp_path: Path) -> None:
    far_away(tmp_path, "far")
    (tmp_path / "work.claim-0").write_text("far-1-000000")
    with Claims(tmp_path, lease=60) as claims:
        assert not claims.take("work")
        far_away(tmp_path, "far", age=50)
        assert not claims.take("work")
        far_away(tmp_path, "far", age=70)
        assert claims.take("work")
        # The one that was only slow comes back: the claim is no longer its own, and nobody else gets it.
        far_away(tmp_path, "far")
        with Claims(tmp_path, lease=60) as third:
            assert not third.take("work")


def test_a_process_renews_itself(tmp_path: Path) -> None:
    with Claims(tmp_path, lease=0.3) as claims:
        path = next(tmp_path.glob("*.owner"))
        before = path.stat().st_mtime_ns
        deadline = time.monotonic() + 20
        while path.stat().st_mtime_ns == before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert path.stat().st_mtime_ns > before
        assert claims.take("work")


def test_of_many_who_want_a_dead_ones_work_one_gets_it(tmp_path: Path) -> None:
    for attempt in range(20):
        name = f"work{attempt}"
        (tmp_path / f"{name}.claim-0").write_text("nobody-1-000000")
        got: list[int] = []
        barrier = threading.Barrier(8)
        claimants = [Claims(tmp_path).__enter__() for _ in range(8)]

        def want(one: Claims, place: int, name: str = name, got: list[int] = got, gate: threading.Barrier = barrier):
            gate.wait()
            if one.take(name):
                got.append(place)

        threads = [threading.Thread(target=want, args=(one, place)) for place, one in enumerate(claimants)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 1
        for one in claimants:
            one.__exit__(None, None, None)


def test_others_and_what_they_are_about(tmp_path: Path) -> None:
    far_away(tmp_path, "far", about="x")
    far_away(tmp_path, "gone", age=1e6, about="y")
    with Claims(tmp_path, "z") as claims:
        assert claims.others() == ["x"]


def test_what_the_dead_left_is_cleared_but_not_under_the_living(tmp_path: Path) -> None:
    far_away(tmp_path, "gone", age=1e6)
    for name in ("work.claim-0", ".half.0123abcd.partial"):
        (tmp_path / name).write_text("gone-1-000000")
    (tmp_path / "kept.h5").write_text("")
    far_away(tmp_path, "far")
    with Claims(tmp_path) as claims:
        claims.clear()
        assert (tmp_path / ".half.0123abcd.partial").exists()
        far_away(tmp_path, "far", age=1e6)
        claims.clear()
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["kept.h5", f"{claims.name}.owner"])


def test_who_comes_while_the_dead_are_cleared_away_keeps_its_registration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = Claims.others
    with Claims(tmp_path) as one:
        two = Claims(tmp_path)

        def and_then_two_comes(claims: Claims) -> list[str]:
            found = others(claims)
            two.__enter__()
            assert two.take("work")
            return found

        monkeypatch.setattr(Claims, "others", and_then_two_comes)
        one.clear()
        monkeypatch.undo()
        assert one.others() == [""]
        assert not one.take("work")
        two.__exit__(None, None, None)


def test_a_registration_that_is_not_written_yet_counts_while_it_is_young(tmp_path: Path) -> None:
    path = tmp_path / "far-1-000000.owner"
    with Claims(tmp_path, "x", lease=60) as claims:
        path.touch()
        claims.clear()
        assert claims.others() == ["x"]
        os.utime(path, (time.time() - 70,) * 2)
        claims.clear()
        assert not path.exists()


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(claims_module.errno.EPERM, "not here")

    monkeypatch.setattr(os, "link", refused)
    with Claims(tmp_path) as one, Claims(tmp_path) as two:
        assert one.take("work")
        assert not two.take("work")
        # A claim whose owner is not written yet counts while it is young.
        (tmp_path / "young.claim-0").touch()
        assert not two.take("young")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/folder: cannot be written \(Not a directory\)"):
        Claims(tmp_path / "file" / "folder").__enter__()


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    foreign = ("mine.owner", "thesis.partial", ".thesis.partial", "a.claim-b", "essay.claim-1", "owner", "x.claim-")
    for name in foreign:
        (tmp_path / name).write_text("mine")
        os.utime(tmp_path / name, (1e9, 1e9))
    with Claims(tmp_path) as claims:
        assert claims.others() == []
        claims.clear()
        assert claims.take("essay")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(set(foreign) - {"essay.claim-1"})


@pytest.mark.timeout(30)
def test_what_is_no_file_is_no_claim_and_no_registration(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "work.claim-0")
    os.mkfifo(tmp_path / "far-1-000000.owner")
    (tmp_path / "folder.claim-3").mkdir()
    (tmp_path / "device.claim-0").symlink_to("/dev/zero")
    (tmp_path / "near-1-000000.owner").symlink_to("/dev/zero")
    for path in tmp_path.glob("*.owner"):
        os.utime(path, (1e9, 1e9), follow_symlinks=False)
    with Claims(tmp_path) as claims:
        assert claims.others() == []
        assert claims.take("work")
        assert claims.take("folder")
        assert claims.take("device")
        claims.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["folder.claim-3"]


def test_a_time_to_come_is_no_sign_of_life(tmp_path: Path) -> None:
    far_away(tmp_path, "far", age=-1e9)
    (tmp_path / "work.claim-0").write_text("far-1-000000")
    (tmp_path / "empty.claim-0").touch()
    os.utime(tmp_path / "empty.claim-0", (4e9, 4e9))
    with Claims(tmp_path) as claims:
        assert claims.others() == []
        assert claims.take("work")
        assert claims.take("empty")


def test_an_empty_claim_counts_for_a_part_of_a_lease_only(tmp_path: Path) -> None:
    (tmp_path / "work.claim-0").touch()
    with Claims(tmp_path, lease=60) as claims:
        assert not claims.take("work")
        then = time.time() - 11
        os.utime(tmp_path / "work.claim-0", (then, then))
        assert claims.take("work")


@pytest.mark.timeout(30)
def test_a_claim_of_many_generations_is_released_at_once(tmp_path: Path) -> None:
    (tmp_path / "work.claim-99999999999").write_text("gone-1-000000")
    with Claims(tmp_path) as claims:
        assert claims.take("work")
        assert (tmp_path / "work.claim-100000000000").exists()
        claims.release("work")
        assert claims.take("work")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("owner", ["a\0b-1-000000", "../x-1-000000", "x" * 5000, "a\nb-1-000000"])
def test_a_claim_whose_owner_is_none(tmp_path: Path, owner: str) -> None:
    (tmp_path / "work.claim-0").write_text(owner)
    os.utime(tmp_path / "work.claim-0", (1e9, 1e9))
    with Claims(tmp_path) as claims:
        assert claims.take("work")


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "{}", '{"pid": 1e400}', "\udcff", "9" * 5000])
def test_a_damaged_registration(tmp_path: Path, content: str) -> None:
    path = tmp_path / "far-1-000000.owner"
    path.write_text(content, errors="surrogateescape")
    os.utime(path, (1e9, 1e9))
    with Claims(tmp_path) as claims:
        assert claims.others() == []
        claims.clear()
        assert not path.exists()


@pytest.mark.parametrize("pid", [10**30, -1, 0, 2**31, "1", None, [1]])
def test_a_registration_of_this_machine_of_no_process(tmp_path: Path, pid: object) -> None:
    path = tmp_path / "far-1-000000.owner"
    path.write_text(json.dumps({**claims_module.this_process(), "pid": pid}))
    with Claims(tmp_path) as claims:
        assert claims.others() == []
