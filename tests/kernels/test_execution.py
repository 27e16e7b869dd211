"""The record of what else the last bits depend on."""

from pathlib import Path

import pytest
import torch

from ugodit.kernels import _cpu, execution_record
from ugodit.kernels.execution import _openmp_runtime


def test_the_record_says_how_the_process_computes(threads: None, variant: str) -> None:
    torch.set_num_threads(2)
    record = execution_record()
    assert record["threads"] == 2
    assert record["instruction_set"] == variant == _cpu.selected_variant()
    assert record["torch"] == torch.__version__
    assert {"torch_instruction_set", "openmp"} <= set(record)
    assert all(isinstance(value, str | int) for value in record.values())  # what an HDF5 attribute holds
    assert "gpu" not in record
    torch.set_num_threads(1)
    assert execution_record() != record


def test_openmp_by_the_name_of_its_file(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    line = "7f0000000000-7f0000001000 r-xp 00000000 08:01 12 {}\n"
    for paths, expected in (
        ([], "none"),
        (["/lib/libc.so.6", "[heap]"], "none"),
        (["/a b/torch/lib/libgomp-24e2ab19.so.1.0.0", "/lib/libc.so.6"], "libgomp-24e2ab19.so.1.0.0"),
        (["/x/libiomp5.so", "/x/libgomp.so.1", "/x/libgomp.so.1"], "libgomp.so.1, libiomp5.so"),
    ):
        maps.write_text("7f0000000000-7f0000001000 rw-p 00000000 00:00 0\n" + "".join(map(line.format, paths)))
        assert _openmp_runtime(maps) == expected
    assert _openmp_runtime(tmp_path / "none") == "none"


@pytest.mark.gpu
def test_a_gpu_is_named() -> None:
    record = execution_record(torch.device("cuda", 0))
    assert record["gpu"] == torch.cuda.get_device_name(0)
