import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import quality
import records
from cases import Wanted, check_disjoint, load_suite
from helpers import centred_ifft, data_folder, random_complex, write_fastmri
from methods import METHODS
from pictures import image_path, target_path
from scoring import checkpoints

from ugodit.errors import InputError
from ugodit.priors import acceptance

TINY = ["run", "--suite", "drawn_knees", "--size", "48x48", "--coils", "4", "--group", "2", "--accelerations", "4"]
STEPS = ["--preset", "fast", "--baseline-steps", "3", "--paper-steps", "2,3", "--set", "alone.fit.steps=2"]
for method in ("group_unadapted", "group_adapted"):
    STEPS += ["--set", f"{method}.train.steps=2", "--set", f"{method}.adapt.steps=3"]


def bench(folder, *options, methods="zero_filling,dip", cases="knee 100"):
    """The new records that a call of the command adds."""
    out = folder / "runs.jsonl"
    before = len(records.read([out]))
    files = ["--out", str(out), "--cache", str(folder / "cache")]
    assert quality.main([*TINY, *STEPS, "--methods", methods, "--cases", cases, *files, *options]) == 0
    return records.read([out])[before:]


def test_what_is_done_is_not_done_again_unless_its_configuration_changes(tmp_path):
    assert [run["method"] for run in bench(tmp_path)] == ["zero_filling", "dip"]
    assert bench(tmp_path) == []
    (changed,) = bench(tmp_path, "--set", "dip.fit.learning_rate=0.01")
    assert (changed["method"], changed["configuration"]["fit"]["learning_rate"]) == ("dip", 0.01)
    # The latest of a key is what tables show, and going back to the first configuration runs nothing.
    latest = records.latest(records.read([tmp_path / "runs.jsonl"]))
    assert [run["configuration"].get("fit", {}).get("learning_rate") for run in latest] == [None, 0.01]
    assert bench(tmp_path) == []
    assert len(bench(tmp_path, "--again")) == 2
    # Other measurements under the same name are other runs; another seed or method is simply a new one.
    assert len(bench(tmp_path, "--coils", "5")) == 2
    assert [run["seed"] for run in bench(tmp_path, "--seeds", "0,1", "--coils", "5")] == [1, 1]


def test_an_interrupted_line_costs_that_run_only(tmp_path):
    bench(tmp_path)
    out = tmp_path / "runs.jsonl"
    whole = out.read_text()
    out.write_text(whole[:-40])
    assert [run["method"] for run in bench(tmp_path)] == ["dip"]
    assert [run["method"] for run in records.read([out])] == ["zero_filling", "dip"]


def test_a_record_holds_what_was_run_and_what_came_out(tmp_path):
    for run in bench(tmp_path, methods="cg_sense_best,l1_wavelet,dip,deep_decoder,alone"):
        with np.load(image_path(tmp_path / "cache", run)) as images, np.load(target_path(tmp_path / "cache", run)) as t:
            target, found = t["target"].astype(float), dict(images)
        error = np.mean((target - found["image"]) ** 2)
        assert run["psnr"] == pytest.approx(10 * np.log10(target.max() ** 2 / error))
        assert run["nmse"] == pytest.approx(np.sum((target - found["image"]) ** 2) / np.sum(target**2))
        assert -1 < run["ssim"] < 1
        assert run["subject"] == "drawn knee 100"
        assert (run["mask"], run["acceleration"], run["center_fraction"], run["seed"]) == ("equispaced", 4, 0.08, 0)
        assert run["sampled"] < 0.5
        assert run["seconds"] > 0
        assert run["cpu_seconds"] > 0
        assert run["threads"] >= 1
        assert {"machine", "versions", "commit", "date", "load", "command"} <= set(run)
        if run["best"]:
            best = np.mean((target - found["best"]) ** 2)
            assert run["best"]["psnr"] == pytest.approx(10 * np.log10(target.max() ** 2 / best))
            assert run["best"]["psnr"] >= run["psnr"]
            assert run["best"]["psnr"] >= max(psnr for _, psnr in run["curve"]) - 1e-3
            assert len(run["curve"]) == run["configuration"]["fit"]["steps"] == run["more"]["steps"]
            # Rounding to milliseconds aside, time goes on.
            assert all(a[0] <= b[0] for a, b in zip(run["curve"], run["curve"][1:], strict=False))
    wavelet = next(run for run in records.read([tmp_path / "runs.jsonl"]) if run["method"] == "l1_wavelet")
    scores = wavelet["more"]["scores_by_weight"]
    assert scores[str(wavelet["more"]["weight"])] == max(scores.values())


def test_every_method_runs_and_a_prior_is_trained_once(tmp_path):
    methods = "self_guided_dip,aseqdip,tv,cg_sense,alone_equal,ugodit_paper,group_unadapted,group_adapted"
    runs = {run["method"]: run for run in bench(tmp_path, methods=methods)}
    assert set(runs) == set(methods.split(","))
    assert all("error" not in run and np.isfinite(run["psnr"]) for run in runs.values())
    assert len(list((tmp_path / "cache" / "priors").glob("*.safetensors"))) == 2  # the published one and ours
    ours = [runs[name]["more"]["training"] for name in ("group_unadapted", "group_adapted")]
    assert ours[0] == ours[1]
    assert ours[0]["seconds"] > 0
    assert (ours[0]["scans"], ours[0]["steps"]) == (2, 2)
    # A prior of two steps is none. Its judgement is the same whether it is then adapted or used zero-shot.
    judged = [runs[name]["more"]["held_out_errors"] for name in ("group_unadapted", "group_adapted")]
    assert judged[0] == judged[1]
    assert judged[0]["prior"] / judged[0]["initial"] > acceptance.FITS
    assert runs["group_adapted"]["more"]["prior_mode"] == "reject"
    assert runs["ugodit_paper"]["more"]["prior_mode"] == "adapt"
    assert runs["group_unadapted"]["more"]["uncertainty"]["error_over_uncertainty"] > 0
    group = runs["group_adapted"]["configuration"]["group"]
    assert [one["subject"] for one in group] == ["drawn knee 1", "drawn knee 2"]
    # Every training scan has lines of its own, none those of the tested scan.
    assert len({one["mask_seed"] for one in group} | {runs["group_adapted"]["seed"]}) == 3
    # Another prior, by its own name in the tables.
    (other,) = bench(tmp_path, "--prior-suite", "drawn_brains", methods="group_unadapted")
    assert other["label"] == "ours, prior unadapted (fast; prior of drawn_brains)"
    assert other["configuration"]["group"][0]["subject"] == "drawn brain 1"


@pytest.mark.parametrize(
    ("mode", "limits"), [("adapt", {"FITS": 9}), ("initialise", {"FITS": 0, "HELPS": 9, "OPEN": 0})]
)
def test_a_prior_is_used_as_its_judgement_says(tmp_path, monkeypatch, mode, limits):
    for name, value in limits.items():
        monkeypatch.setattr(acceptance, name, value)
    (run,) = bench(tmp_path, "--preset", "balanced", "--set", "group_adapted.alone.steps=2", methods="group_adapted")
    assert run["more"]["prior_mode"] == mode
    assert run["more"]["steps"] == {"adapt": 3, "initialise": 2}[mode]
    assert np.isfinite(run["psnr"])


def test_the_decoder_to_start_from_is_chosen_by_its_name_of_today_and_of_yesterday(tmp_path, capsys):
    settings = ["--set", "group_adapted.train.shared_decoder=false"]
    (second,) = bench(tmp_path, *settings, "--decoder", "1", methods="group_adapted")
    assert second["configuration"]["decoder"] == "1"
    capsys.readouterr()
    assert bench(tmp_path, *settings, "--start", "1", methods="group_adapted") == []
    assert "--start is called --decoder now" in capsys.readouterr().err
    # An untrained decoder cannot be judged.
    (fresh,) = bench(tmp_path, *settings, "--decoder", "fresh", methods="group_adapted")
    assert fresh["more"]["prior_mode"] == "adapt"
    assert "held_out_errors" not in fresh["more"]
    assert len(list((tmp_path / "cache" / "priors").glob("*.safetensors"))) == 1
    (missing,) = bench(tmp_path, *settings, "--decoder", "2", methods="group_adapted")
    assert missing["error"] == "--decoder: expected mean, fresh or 0 to 1, got 2"


def test_records_of_earlier_configurations_still_count():
    """They are known by suite, case, ..., and label: under another title they would be rows of their own."""
    found = records.read([Path(quality.__file__).parent / "results" / "quality.jsonl"])
    assert len(found) > 200
    for run in found:
        assert run["title"] == METHODS[run["method"]].title
        assert run["label"].startswith(run["title"])
        assert all(name in run for name in records.KEY)


def test_a_time_budget_ends_the_untrained_ones(tmp_path):
    steps = ["--set", "dip.fit.steps=1000000", "--budget", "0.3"]
    (run,) = bench(tmp_path, *steps, methods="dip")
    assert run["more"]["stopped"] == "time budget of 0.3 s"
    assert run["more"]["steps"] < 1000
    assert run["curve"][-1][0] >= 0.3


def test_a_method_that_cannot_do_a_case_is_recorded_and_tried_again(tmp_path):
    # So few lines outside the centre that they cannot be split.
    few = ["--center-fraction", "0.3", "--mask", "random"]
    failed, fine = bench(tmp_path, *few, methods="alone,zero_filling")[::-1]
    assert "splitting needs" in failed["error"]
    assert "psnr" in fine
    assert [run["method"] for run in bench(tmp_path, *few, methods="alone,zero_filling")] == ["alone"]


@pytest.mark.parametrize("name", ["drawn_knees", "drawn_brains", "knees", "brains"])
@pytest.mark.parametrize("part", ["test", "all", "train"])
def test_no_subject_is_on_both_sides(name, part):
    if not name.startswith("drawn"):
        data_folder()  # skips where there are no measurements
    suite = load_suite(name, Wanted(size=(32, 32), coils=2, group=2, part=part))
    assert suite.test
    for tested in suite.test:
        group = suite.training_for(tested)
        assert group
        assert tested.subject not in {one.subject for one in group}
        check_disjoint(group, [tested])
    # The check itself can fail.
    with pytest.raises(InputError, match="in training and in test"):
        check_disjoint(suite.train, [suite.train[0]])


def test_two_slices_of_one_brain_never_train_each_other():
    data_folder()
    suite = load_suite("brains", Wanted())
    for tested in suite.test:
        with h5py.File(data_folder() / "mri" / f"{tested.name}.h5") as file:
            own = file.attrs["patient_id"]
        for one in suite.training_for(tested):
            with h5py.File(data_folder() / "mri" / f"{one.name}.h5") as file:
                assert file.attrs["patient_id"] != own


def _volumes(folder, patients):
    folder.mkdir(parents=True)
    for index, patient in enumerate(patients):
        kspace = random_complex((2, 3, 32, 24), index)
        target = np.sqrt((np.abs(centred_ifft(kspace)) ** 2).sum(1)).astype(np.float32)
        attributes = {"patient_id": patient, "max": float(target.max())}
        write_fastmri(folder / f"v{index}.h5", kspace=kspace, reconstruction_rss=target, attributes=attributes)


def test_magnitudes_in_the_data_folder_are_no_measured_brains(tmp_path):
    _volumes(tmp_path / "data" / "mri", ["p", "q"])
    folder = tmp_path / "data" / "mri"
    (folder / "v0.h5").rename(folder / "brain_a_3ch_32x24.h5")
    with h5py.File(folder / "brain_a_magnitude_32x24.h5", "w") as file:
        file["magnitude"] = np.ones((1, 32, 24), np.float32)
    suite = load_suite("brains", Wanted(data=tmp_path / "data"))
    assert [one.name for one in suite.test] == ["brain_a_3ch_32x24 0", "brain_a_3ch_32x24 1"]
    (folder / "brain_a_3ch_32x24.h5").unlink()
    with pytest.raises(InputError, match=r"brain_\*\.h5 with k-space, found none"):
        load_suite("brains", Wanted(data=tmp_path / "data"))


def test_a_folder_is_split_by_subject(tmp_path, capsys):
    _volumes(tmp_path / "mixed", ["p", "q", "p", "r", "s"])
    suite = load_suite("folder", Wanted(path=tmp_path / "mixed"))
    assert {one.subject for one in suite.train} == {"p", "q"}
    assert [one.name for one in suite.test] == ["v3", "v4"]
    assert len(load_suite("folder", Wanted(path=tmp_path / "mixed", every_slice=True)).test) == 4
    _volumes(tmp_path / "two" / "train", ["p", "q"])
    _volumes(tmp_path / "two" / "test", ["q"])
    assert quality.main(["list", "--suite", "folder", "--path", str(tmp_path / "two")]) == 2
    assert "subject q is in training and in test" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--methods", "magic"], "--methods: expected some of"),
        (["--set", "dip.fit.stepz=3"], "--set: dip.fit.stepz: no such option"),
        (["--set", "dop.fit.steps=3"], "--set: dop.fit.steps: expected METHOD"),
        (["--set", "dip.fit.steps"], "--set: expected METHOD.TABLE.FIELD=VALUE"),
        (["--set", "dip.fit.steps=0"], "--set: dip.fit: steps: expected 1 or more"),
        (["--set", "dip.fit.input_noise=0.1"], "--set: dip.fit.input_noise: no such option"),
        (["--set", "alone.model.iterations=2.5"], "--set: alone.model: iterations: expected int"),
        (["--set", "group_adapted.train.held_out=0.1"], "--set: group_adapted.train: held_out: expected 0"),
        (["--cases", "knee 7"], "--cases: 'knee 7' is not in suite"),
        (["--noise", "loud"], "--noise: expected clean or decibels"),
        (["--accelerations", "four"], "--accelerations: expected numbers"),
        (["--paper-steps", "5"], "--paper-steps: expected TRAIN,ADAPT"),
        (["--suite", "folder"], "--path: suite folder needs"),
        (["--decoder", "third"], "--decoder: expected mean, fresh or a number"),
        (["--device", "cuda:77"], "--device: cuda:77 asked for"),
    ],
)
def test_bad_options_are_one_line(tmp_path, capsys, options, complaint):
    files = ["--out", str(tmp_path / "runs.jsonl"), "--cache", str(tmp_path / "cache")]
    assert quality.main([*TINY, *STEPS, *files, *options]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert complaint in line
    assert not (tmp_path / "runs.jsonl").exists()


def test_checkpoints_are_dense_at_the_start_and_include_both_ends():
    for steps in (1, 2, 5, 24, 100, 2000):
        found = sorted(checkpoints(steps, 24))
        assert (found[0], found[-1]) == (1, steps)
        assert len(found) <= 25
    assert sum(step <= 200 for step in found) > sum(step > 1800 for step in found)


def test_pictures_of_each_case(tmp_path):
    bench(tmp_path, "--pictures", str(tmp_path / "pictures"), methods="zero_filling,alone")
    (picture,) = (tmp_path / "pictures").iterdir()
    assert picture.name == "quality_drawn_knees_knee_100_4x_35_dB.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "runs.jsonl").read_text().splitlines()[0])["case"] == "knee 100"
