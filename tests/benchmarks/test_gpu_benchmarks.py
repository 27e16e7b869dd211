"""The GPU's benchmarks, small and on the CPU: every line runs, and what they compare agrees."""

import json
from pathlib import Path

import bench_adaptation
import bench_calibration_gpu
import pytest
import torch


def test_adaptation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "adaptation_gpu.json"
    assert bench_adaptation.main(["--device", "cpu", "--small", "--count", "2", "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert {"date", "device", "torch", "size", "steps", "times_faster"} <= set(result)
    ways = {row["way"] for row in result["steps"]}
    assert {"as published", "float32, eager", "bfloat16, CUDA graph, grouped convolutions"} <= ways
    assert all(row["ms a step and slice"] > 0 for row in result["steps"])
    assert "times faster; written to" in capsys.readouterr().out


def test_adaptation_takes_the_published_steps() -> None:
    """Losses of both ways, further than the benchmark's own check, on another size."""
    problem = bench_adaptation.Problem((4, 21, 34), 1, torch.device("cpu"), bench_adaptation.NetworkConfig.unet(4, 2))
    for inner in (1, 3):
        config = bench_adaptation.configuration(inner, 8)
        ours, theirs = bench_adaptation.our_steps(problem, config), bench_adaptation.published_steps(problem, config)
        for mine, other in zip(ours, theirs, strict=False):
            # Rounding that Adam's first steps, which are of equal size whatever the gradient, enlarge.
            assert float(mine) == pytest.approx(float(other), rel=2e-3)


def test_calibration(tmp_path: Path) -> None:
    out = tmp_path / "calibration_gpu.json"
    assert bench_calibration_gpu.main(["--device", "cpu", "--small", "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert result["size"] == [3, 4, 32, 40]
    assert result["seconds"] > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("benchmark_module", [bench_adaptation, bench_calibration_gpu])
def test_they_say_that_they_need_a_gpu(benchmark_module: object) -> None:
    with pytest.raises(SystemExit, match="needs a GPU and ugodit"):
        benchmark_module.main([])  # type: ignore[attr-defined]
