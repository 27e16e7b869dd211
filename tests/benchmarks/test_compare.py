import json

import compare
import numpy as np
import pytest
from other_results import to_markdown
from pictures import LARGEST, mean_curve, montage, on_the_same_scans
from quality_tables import every_slice_table, margins_table, reach_lines, rows_of, scores_table
from records import append, commit, digest, done, key_of, latest, read

MACHINE = {"machine": "a CPU", "device": "cpu", "cores": 2, "threads": 1, "load": 0.5, "versions": {"torch": "2.7"}}


def record(method, case, psnr, *, label=None, best=None, granted="", seconds=10.0, curve=(), seed=0, **more):
    """A run as quality.py writes it, in round numbers."""
    return {
        **MACHINE,
        "suite": "knees",
        "source": "simulated",
        "case": case,
        "subject": case,
        "noise": "35 dB",
        "shape": [8, 32, 32],
        "mask": "equispaced",
        "acceleration": 4.0,
        "center_fraction": 0.08,
        "center_lines": 10,
        "sampled": 0.31,
        "seed": seed,
        "method": method,
        "label": label or method,
        "title": method,
        "granted": granted,
        "configuration": {},
        "configuration_hash": "0" * 16,
        "psnr": psnr,
        "ssim": psnr / 100,
        "nmse": 0.01,
        "seconds": seconds,
        "cpu_seconds": seconds / 2,
        "curve": list(curve),
        "best": best and {"psnr": best, "ssim": 0.5, "nmse": 0.1, "step": 7, "seconds": 6.0},
        "more": {},
        "commit": "abc",
        "date": "2025-01-02T03:04:05+00:00",
        "command": "python benchmarks/quality.py run",
        **more,
    }


def runs():
    granted = "also at the best step, chosen on the truth"
    curve = [[1.0, 20.0], [2.0, 31.5], [4.0, 35.0]]
    return [
        record("zero_filling", "a", 20.0),
        record("zero_filling", "b", 30.0),
        record("cg_sense", "a", 25.0),
        record("cg_sense", "b", 36.0),
        record("aseqdip", "a", 29.0, best=31.0, granted=granted),
        record("aseqdip", "b", 30.0, best=32.0, granted=granted),
        record("alone", "a", 33.0, label="ours, no prior (fast)", curve=curve),
        record("alone", "b", 35.0, label="ours, no prior (fast)", curve=curve),
        record("group_adapted", "a", 36.0, more={"training": {"seconds": 99.0}}, curve=[]),
    ]


def cells(table):
    """The rows of a Markdown table as lists of texts, by their first cell."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in [rows[0], *rows[2:]]}


def test_scores_are_means_over_the_scans_and_best_steps_are_rows_of_their_own():
    table = cells(scores_table(runs()))
    assert table["method"] == ["PSNR, dB", "SSIM", "NMSE", "seconds", "of processor", "prior, s", "a", "b"]
    assert table["zero_filling"][0] == "25.00"
    assert table["zero_filling"][-2:] == ["20.00", "30.00"]
    assert table["aseqdip"][0] == "29.50"
    assert table["aseqdip, best step"][:4] == ["31.50", "0.5000", "0.10000", "6"]
    # A mean over fewer scans says so, and a scan that was not run is not a number.
    assert table["group_adapted [1 of 2 runs]"][0] == "36.00"
    assert table["group_adapted [1 of 2 runs]"][-3:] == ["99", "36.00", "-"]
    assert "granted to aseqdip: also at the best step" in scores_table(runs())


def test_failures_are_named_and_not_averaged():
    failed = record("tv", "a", 0.0) | {"error": "too few lines"}
    del failed["psnr"]
    text = scores_table([*runs(), failed])
    assert "failed: tv on a (seed 0): too few lines" in text
    assert "tv" not in cells(text)


def test_margins_are_over_common_runs_with_the_worst_in_brackets():
    table = cells(margins_table(runs()))
    assert table["PSNR minus that of"] == ["ours, no prior (fast)", "group_adapted"]
    assert table["aseqdip, best step"] == ["+2.50 (+2.00)", "+5.00 (+5.00)"]
    assert table["ours, no prior (fast)"] == ["-", "+3.00 (+3.00)"]
    assert margins_table(runs()[:2]) == ""


def test_time_to_reach_asequdip():
    # Best 31 and 32 after 6 s each: reached after 2 s and 4 s.
    (line,) = reach_lines(runs())
    assert line == "ours, no prior (fast) reaches aSeqDIP's best PSNR in 0.500 of aSeqDIP's time (worst 0.667)"
    low = [record("alone", case, 10.0, curve=[[1.0, 10.0]]) for case in "ab"]
    assert "2 of 2 runs never reach it" in reach_lines([*runs()[4:6], *low])[0]


def test_every_slice_says_where_ours_is_not_better():
    table = cells(every_slice_table(runs()))
    assert table["a, equispaced, seed 0, simulated, 35 dB"] == ["20.00", "25.00", "33.00", "0.3300", "10", "yes"]
    assert table["b, equispaced, seed 0, simulated, 35 dB"][-1] == "NO"
    assert every_slice_table(runs()[:4]) == ""


def test_rows_come_in_the_methods_order():
    names = [row.name for row in rows_of(runs()[::-1])]
    assert names[:4] == ["zero_filling", "cg_sense", "aseqdip", "aseqdip, best step"]


def test_results_are_written_from_whatever_there_is(tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    out, pictures = tmp_path / "RESULTS.md", tmp_path / "pictures"
    files = ["--results", str(results), "--out", str(out), "--pictures", str(pictures), "--cache", str(tmp_path)]
    assert compare.main(files) == 0
    assert "No run of" in out.read_text()
    for run in runs():
        append(results / "quality.jsonl", run)
    kernels = {"machine": {"cores": 2}, "loss, s": {"ours": 0.005, "sigpy": 0.1}}
    (results / "sense.json").write_text(json.dumps(kernels))
    assert compare.main(files) == 0
    text = out.read_text()
    assert "GPU timings have not been run" in text
    assert "### knees, 35 dB, equispaced 4x" in text
    assert "## Kernels on the CPU" in text
    assert "python benchmarks/quality.py run" in text
    assert "a CPU, 2 cores, 1 threads" in text
    (picture,) = pictures.iterdir()
    assert f"(pictures/{picture.name})" in text
    # The same files give the same text; GPU results take the warning away, one after another.
    assert compare.main(files) == 0
    assert out.read_text() == text
    (results / "sense_gpu.json").write_text(json.dumps({"device": "a GPU", "cases": []}))
    assert compare.main(files) == 0
    assert "Some GPU timings have not been run:** adaptation_gpu, calibration_gpu." in out.read_text()
    for name in ("adaptation_gpu", "calibration_gpu"):
        (results / f"{name}.json").write_text(json.dumps({"device": "a GPU"}))
    assert compare.main(files) == 0
    assert "have not been run" not in out.read_text()


def test_a_damaged_result_is_one_line(tmp_path, capsys):
    (tmp_path / "calibration.json").write_text("{")
    assert compare.main(["--results", str(tmp_path), "--out", str(tmp_path / "R.md")]) == 2
    assert "calibration.json: expected JSON" in capsys.readouterr().err
    assert not (tmp_path / "R.md").exists()
    assert compare.main(["--results", str(tmp_path / "none")]) == 2


def test_any_json_becomes_tables():
    text = to_markdown(
        {"a": 1, "alike": {"x": {"s": 1.5, "t": True}, "y": {"s": 2.0}}, "rows": [{"n": 1}, {"n": 2}]}, 3
    )
    assert cells(text)["a"] == ["1"]
    assert cells(text)["x"] == ["1.5", "yes"]
    assert cells(text)["y"] == ["2", ""]
    assert "### rows" in text


def test_the_latest_of_a_key_counts_and_failures_are_not_done(tmp_path):
    first, second = record("dip", "a", 1.0), record("dip", "a", 2.0, configuration_hash="1")
    failed = record("tv", "a", 1.0, error="no")
    path = tmp_path / "deep" / "runs.jsonl"
    for run in (first, second, failed):
        append(path, run)
    found = read([path, tmp_path / "absent.jsonl"])
    assert [run["psnr"] for run in latest(found)] == [2.0, 1.0]
    assert done(found) == {(key_of(first), "0" * 16), (key_of(second), "1")}


def test_a_digest_does_not_depend_on_the_order_of_names():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})
    assert commit() == "unknown" or len(commit().rstrip("+")) == 12


def test_curves_are_means_over_the_same_scans():
    many = [record("alone", case, 40.0, label="ours") for case in "abc"]
    few = [record("group_adapted", case, 30.0, label="prior") for case in "ab"]
    assert [(run["label"], run["case"]) for run in on_the_same_scans(many + few)] == [
        ("ours", "a"),
        ("ours", "b"),
        ("prior", "a"),
        ("prior", "b"),
    ]
    elsewhere = [record("dip", "d", 20.0, label="DIP")]
    assert {run["label"] for run in on_the_same_scans(many + few + elsewhere)} == {"ours", "prior"}
    assert on_the_same_scans([]) == []


def test_curves_are_averaged_point_by_point():
    seconds, psnrs = mean_curve([[[1, 10], [2, 20]], [[3, 30]]])
    np.testing.assert_allclose(seconds, [2, 2.5])
    np.testing.assert_allclose(psnrs, [20, 25])


@pytest.mark.parametrize("shape", [(320, 256), (48, 40)])
def test_montages_stay_small_even_of_noise(shape):
    noise = np.random.default_rng(0).random((8, *shape)).astype(np.float32)
    content = montage({f"method {i}": image for i, image in enumerate(noise[:7])}, {}, noise[7])
    assert content.startswith(b"\x89PNG")
    assert len(content) <= LARGEST
