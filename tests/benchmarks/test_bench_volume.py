"""The benchmark of a whole volume: what it simulates, and what it makes of its measurements."""

import json
from pathlib import Path

import bench_volume
import numpy as np
import pytest
from other_results import sections

from ugodit.io.volumes import open_volume


def record(slices: int, processes: int, seconds: float, read: int) -> dict[str, object]:
    return {
        "slices": slices,
        "processes": processes,
        "threads": 1,
        "seconds": seconds,
        "cpu_seconds_of_busiest": seconds,
        "slice_seconds": [2.0] * slices,
        "bytes_read": read,
    }


def test_the_volume_is_undersampled_in_its_file_and_has_no_target(tmp_path: Path) -> None:
    path = bench_volume.simulated(tmp_path / "volume.h5", 7, 3, 64, 48)
    with open_volume(path) as volume:
        assert volume.shape == (7, 3, 64, 48)
        scan = volume.scan(6)
    assert scan.crop == (32, 48)
    assert scan.target is None
    assert scan.mask is not None
    assert not scan.kspace[..., ~scan.mask].any()
    assert scan.kspace[..., scan.mask].abs().min() > 0


def test_workers_take_slice_after_slice() -> None:
    assert bench_volume.schedule([3.0, 1.0, 1.0, 1.0], 2) == 3.0
    assert bench_volume.schedule([1.0] * 5, 2) == 3.0
    # 4 s are start and end: they stay, however many nodes there are.
    found = bench_volume.model({"slice_seconds": [1.0] * 8, "seconds": 8.0}, 2)
    assert found["1 nodes"] == {"seconds": 8.0, "times as fast as one": 1.0}
    assert found["4 nodes"] == {"seconds": 5.0, "times as fast as one": 1.6}


def test_what_python_itself_reads_does_not_count(tmp_path: Path) -> None:
    runs = {
        "1 slices, 1 x 1": record(1, 1, 5.0, 1100),
        "4 slices, 1 x 1": record(4, 1, 12.0, 1400),
        "4 slices, 2 x 1": record(4, 2, 6.0, 2600),
    }
    found = bench_volume.summary(runs, 100)
    assert found["runs"]["4 slices, 1 x 1"]["bytes_read_of_each_byte"] == 1.0
    assert found["runs"]["4 slices, 2 x 1"]["bytes_read_of_each_byte"] == 2.0
    (speed,) = found["speed"].values()
    assert speed["times as fast as one process of one thread"] == 2.0
    (tmp_path / "volume.json").write_text(json.dumps({**found, "raw": runs}))
    (section,) = sections(tmp_path)
    assert section.startswith("## A whole volume")
    assert "MODEL, not measured" in section
    assert "raw" not in section


@pytest.mark.slow
def test_a_run(tmp_path: Path) -> None:
    scan = bench_volume.simulated(tmp_path / "volume.h5", 2, 4, 64, 48)
    found = bench_volume.measure(scan, 2, 2, 1, "fast")
    assert found["fitted"] == 2
    assert 100 < found["peak_memory_mb"] < 2000
    assert found["bytes_read"] > 2 * 8 * 4 * 64 * 48
    assert np.sum(found["slice_seconds"]) < 2 * found["seconds"]
