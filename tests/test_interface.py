"""The Python interface: quick to import, as printed in the README, and bit for bit what the commands give."""

import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from command_files import QUICK, quick_config, write_scan
from scans import line_mask, small_scan

import ugodit
from ugodit.commands import reconstruct, train
from ugodit.commands.options import parse
from ugodit.commands.reconstruct import _parser
from ugodit.errors import InputError
from ugodit.fit.fit import Step
from ugodit.priors.presets import Preset

SAMPLING = ugodit.Sampling(acceleration=4, center_fraction=0.2)


@pytest.fixture
def preset(tmp_path: Path) -> Preset:
    """The preset that the quick configuration file describes."""
    scan = write_scan(tmp_path / "any.h5", 1)
    return parse(_parser(), [str(scan), "--out", "x", "--config", str(quick_config(tmp_path))]).preset


def test_the_import_is_quick_and_brings_no_torch() -> None:
    # The median of three, in processes of their own; the time of an empty process is taken off.
    def seconds(code: str) -> float:
        took = []
        for _ in range(3):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            took.append(time.perf_counter() - began)
        return sorted(took)[1]

    code = "import sys, ugodit; assert not {'torch', 'numpy', 'h5py'} & set(sys.modules); dir(ugodit)"
    assert seconds(code) - seconds("pass") < 0.1


def test_every_public_name_is_there_and_is_no_module() -> None:
    for name in ugodit.__all__:
        assert getattr(ugodit, name) is not None
        # `import ugodit.NAME` would replace it.
        assert not (Path(ugodit.__file__).parent / f"{name}.py").exists()
        assert not (Path(ugodit.__file__).parent / name).is_dir()
    assert set(ugodit.__all__) <= set(dir(ugodit))
    with pytest.raises(AttributeError, match="has no attribute 'reconstructor_'"):
        ugodit.reconstructor_  # noqa: B018


@pytest.mark.parametrize("words", [["nowhere.h5", "--out", "o"], ["a", "--out", "o", "--presett", "fast"], ["--out"]])
def test_a_mistake_is_answered_before_torch_is_there(tmp_path: Path, words: list[str]) -> None:
    code = (
        "import sys\nfrom ugodit.commands.reconstruct import main\n"
        f"assert main({words!r}) == 2\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)


def test_snippet_and_command_give_the_same_bits(tmp_path: Path, preset: Preset) -> None:
    torch.set_num_threads(1)
    scans = [write_scan(tmp_path / f"{name}.h5", 2, seed=seed) for seed, name in enumerate("abc")]
    config, path = str(quick_config(tmp_path)), tmp_path / "p.safetensors"
    shared = ["--config", config, "--threads", "1"]
    assert train.main([*map(str, scans[:2]), "--out", str(path), *shared]) == 0
    prior = ugodit.train_prior(scans[:2], sampling=SAMPLING, preset=preset)
    assert prior.hash == ugodit.Prior.load(path).hash
    words = [str(scans[2]), "--out", str(tmp_path / "out"), "--slices", "1:2", "--uncertainty", *shared]
    assert reconstruct.main([*words, "--prior", str(path)]) == 0
    volume = ugodit.open_volume(scans[2])
    result = ugodit.Reconstructor(prior, preset=preset, uncertainty=True)(volume[1:2], sampling=SAMPLING)
    result.save(tmp_path / "recon.h5")
    with h5py.File(tmp_path / "out" / "c.h5") as command, h5py.File(tmp_path / "recon.h5") as snippet:
        assert set(command) == set(snippet) == {"reconstruction", "uncertainty", "mask"}
        for name in command:
            np.testing.assert_array_equal(command[name][()], snippet[name][()])
        of_command = {"seconds_before", "seconds_files"}
        changing = {"seconds_per_slice", "seconds_besides_per_slice"}
        assert set(command.attrs) == set(snippet.attrs) | of_command
        for name in set(snippet.attrs) - changing:
            assert np.array_equal(command.attrs[name], snippet.attrs[name]), name
    np.testing.assert_array_equal(result.images, h5py.File(tmp_path / "recon.h5")["reconstruction"][()])
    assert result.uncertainty is not None
    assert result.prior_mode in (["adapt"], ["reject"], ["initialise"])
    assert (len(result.seconds), result.masks.shape, result.slices) == (1, (1, 40), range(1, 2))
    assert result.settings["sampling"] == {"kind": "equispaced", "acceleration": 4, "center_fraction": 0.2, "seed": 0}
    assert ugodit.score(tmp_path / "recon.h5", scans[2]).slices == 1


def test_scans_from_arrays(preset: Preset) -> None:
    kspace, maps, image = small_scan(rows=40, columns=40)
    mask = line_mask(40, 3, 12)
    alone = ugodit.Reconstructor(preset=preset)
    found = alone(ugodit.Scan.from_arrays(kspace.numpy(), mask.numpy(), maps.numpy()))
    assert found.images.shape == (1, 40, 40)
    assert (found.prior_mode, found.targets, found.settings["sampling"]) == (None, None, None)
    # With the true maps and a third of the lines the object is there, in its own units.
    error = np.linalg.norm(found.images[0] - image.abs().numpy()) / np.linalg.norm(image)
    assert error < 0.15
    full = ugodit.Scan.from_arrays(kspace, target=image.abs().float())
    both = alone([full, full], sampling=SAMPLING)
    assert both.targets is not None
    assert both.images.shape == both.targets.shape == (2, 40, 40)
    assert both.settings["measurements"][0] == both.settings["measurements"][1]
    with pytest.raises(InputError, match="`sampling`: expected how to undersample a fully sampled scan"):
        alone(full)


def test_a_callback_sees_every_step_and_may_stop(preset: Preset) -> None:
    scan = ugodit.Scan.from_arrays(*small_scan(rows=40, columns=40)[:1], mask=line_mask(40, 3, 12))
    seen: list[tuple[int, int, float]] = []

    def on_step(step: Step) -> bool:
        seen.append((step.iteration, step.total, step.loss))
        return step.iteration == 2

    result = ugodit.Reconstructor(preset=preset)(scan, on_step=on_step)
    assert [(iteration, total) for iteration, total, _ in seen] == [(1, 3), (2, 3)]
    assert "stopped at step 2" in result.stopped[0]
    seen.clear()
    prior = ugodit.train_prior([scan], preset=preset, on_step=on_step)
    assert (len(seen), prior.provenance["steps"]) == (2, 2)
    # An answer that is not True is none: a callback may return whatever it likes.
    result = ugodit.Reconstructor(preset=preset)(scan, on_step=lambda step: step.iteration)
    assert result.stopped == ["all 3 steps done"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "fastt"}, "`preset`: expected one of fast, balanced, thorough, paper, got 'fastt', did you mean"),
        ({"device": "tpu"}, "`device`: expected auto, cpu, cuda or cuda:N"),
        ({"batch": 0}, "`batch`: expected 1 or more, got 0"),
        ({"zero_shot": True}, "`zero_shot`: needs a prior"),
        ({"preset": "paper", "uncertainty": True}, "`uncertainty`: comes from two random splits"),
    ],
)
def test_errors_name_the_parameter(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ugodit.Reconstructor(**options)  # type: ignore[arg-type]


def test_seconds_count_all_that_a_slice_costs(tmp_path: Path, preset: Preset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibration, the judgement of the prior, the fit and the final image: each is made to take a while."""
    from ugodit.calibration import cache
    from ugodit.reconstruction import pipeline

    scan = write_scan(tmp_path / "a.h5", 1)
    prior = ugodit.train_prior([scan], sampling=SAMPLING, preset=preset)

    def slowly(function):  # type: ignore[no-untyped-def]
        def slow(*arguments, **options):  # type: ignore[no-untyped-def]
            time.sleep(0.3)
            return function(*arguments, **options)

        return slow

    volume = ugodit.open_volume(scan)
    plain = ugodit.Reconstructor(prior, preset=preset)(volume, sampling=SAMPLING).seconds[0]
    monkeypatch.setattr(cache, "reconstruction_maps", slowly(cache.reconstruction_maps))
    for name in ("initial_estimates", "held_out_errors", "adapt"):
        monkeypatch.setattr(pipeline, name, slowly(getattr(pipeline, name)))
    assert ugodit.Reconstructor(prior, preset=preset)(volume, sampling=SAMPLING).seconds[0] > plain + 4 * 0.3 - 0.2


def test_quick_configuration_is_the_tests_own(preset: Preset) -> None:
    assert "steps = 3" in QUICK
    assert (preset.train.steps, preset.adapt.steps, preset.alone.steps) == (3, 3, 3)


def test_files_stand_for_what_is_in_them(tmp_path: Path, preset: Preset) -> None:
    scan = write_scan(tmp_path / "a.h5", 2)
    prior = ugodit.train_prior(str(scan), slices=slice(0, 1), sampling=SAMPLING, preset=preset)
    assert len(prior.provenance["scans"]) == 1
    prior.save(tmp_path / "p.safetensors")
    options: dict[str, object] = {"preset": preset, "zero_shot": True}
    again = ugodit.Reconstructor(tmp_path / "p.safetensors", maps_cache=str(tmp_path / "maps"), **options)  # type: ignore[arg-type]
    found = again(scan, sampling=SAMPLING)
    volume = ugodit.open_volume(scan)
    assert len(volume) == len(list(volume)) == 2
    expected = ugodit.Reconstructor(prior, **options)(list(volume), sampling=SAMPLING)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.images, expected.images)
    assert len(list((tmp_path / "maps").iterdir())) == 2
    with pytest.raises(TypeError, match="source: expected a list of Scan, got one of PosixPath"):
        again([scan], sampling=SAMPLING)  # type: ignore[list-item]


def test_scans_with_and_without_a_mask_together(preset: Preset) -> None:
    kspace = small_scan(rows=40, columns=40)[0]
    scans = [ugodit.Scan.from_arrays(kspace, line_mask(40, 3, 12)), ugodit.Scan.from_arrays(kspace)]
    result = ugodit.Reconstructor(preset=preset)(scans, sampling=SAMPLING)
    assert result.masks[0].tolist() == line_mask(40, 3, 12).tolist()
    assert result.masks[1].tolist() == SAMPLING.mask((40, 40)).tolist()


def test_arrays_of_other_libraries_are_calibrated() -> None:
    kspace = small_scan(rows=40, columns=40)[0]
    maps = ugodit.estimate_maps(kspace.numpy(), mask=np.ones(40, bool))
    torch.testing.assert_close(maps, ugodit.estimate_maps(kspace))


@pytest.mark.parametrize("answer", [True, np.True_, torch.tensor(True)])
def test_true_of_any_library_stops(answer: object, preset: Preset) -> None:
    scan = ugodit.Scan.from_arrays(small_scan(rows=40, columns=40)[0], line_mask(40, 3, 12))
    assert "stopped at step 1" in ugodit.Reconstructor(preset=preset)(scan, on_step=lambda _: answer).stopped[0]


def test_masks_of_both_kinds_in_a_volume(preset: Preset) -> None:
    kspace = small_scan(rows=40, columns=40)[0]
    lines = line_mask(40, 3, 12)
    varying = lines.expand(40, 40).clone()
    varying[0] = varying[0].roll(1)
    alike, both = (ugodit.Scan.from_arrays(kspace, mask) for mask in (lines.expand(40, 40), varying))
    together = ugodit.Reconstructor(preset=preset, batch=2)
    assert together([alike, both]).images.shape == (2, 40, 40)
    # Found before anything is fitted.
    poisson = ugodit.Sampling("poisson", acceleration=3, center_fraction=0.3)
    with pytest.raises(InputError, match="mask: expected one kind for all slices"):
        together([ugodit.Scan.from_arrays(kspace, lines), ugodit.Scan.from_arrays(kspace)], sampling=poisson)


def test_flipped_arrays_are_refused_and_do_not_end_the_process() -> None:
    kspace = small_scan(rows=40, columns=40)[0].numpy()
    with pytest.raises(TypeError, match=r"kspace: expected an array without negative strides .* pass a copy"):
        ugodit.Scan.from_arrays(kspace[:, ::-1])
    assert ugodit.Scan.from_arrays(kspace[:, ::-1].copy(), [True] * 40).mask is not None
    with pytest.raises(ValueError, match="kspace: expected samples that are measured and not zero"):
        ugodit.Scan.from_arrays(kspace, [False] * 40)


def test_what_is_no_scan_is_told_where_to_go(preset: Preset, tmp_path: Path) -> None:
    alone = ugodit.Reconstructor(preset=preset)
    with pytest.raises(TypeError, match=r"source: expected a file, .* got ndarray; make a scan of an array with"):
        alone(np.zeros((2, 4, 4), np.complex64))  # type: ignore[arg-type]
    scan = write_scan(tmp_path / "a.h5", 1)
    with pytest.raises(TypeError, match="sampling: expected"):
        alone(scan, sampling=4)  # type: ignore[arg-type]
    prior = ugodit.train_prior(tmp_path.glob("a.h5"), sampling=SAMPLING, preset=preset)
    wrong: list[dict[str, object]] = [{"decoder": "meen"}, {"decoder": "fresh", "zero_shot": True}]
    for options in wrong:
        with pytest.raises(InputError, match="`decoder`: "):
            ugodit.Reconstructor(prior, preset=preset, **options)  # type: ignore[arg-type]


def test_every_second_slice_is_recorded_as_such(tmp_path: Path, preset: Preset) -> None:
    volume = ugodit.open_volume(write_scan(tmp_path / "a.h5", 3))
    result = ugodit.Reconstructor(preset=preset)(volume[::2], sampling=SAMPLING)
    assert result.settings["slices"] == [0, 2]
