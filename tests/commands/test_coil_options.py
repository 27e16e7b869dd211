"""The coils' options as users give them to the commands: right numbers, right records, one line for what is wrong."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from command_files import QUICK, methods, write_scan
from command_files import quick_config as any_config
from helpers import centred_fft, centred_ifft, random_complex
from scans import line_mask, small_scan, smooth_field

from ugodit.calibration import compress_coils, prewhiten
from ugodit.calibration import pipeline as coil_chain
from ugodit.calibration.pipeline import CoilPlan, Coils, unwhitened
from ugodit.commands import reconstruct, train
from ugodit.io.fastmri import FastMRIVolume
from ugodit.io.maps import read_maps, write_maps
from ugodit.priors.prior import Prior
from ugodit.reconstruction import volumes

QUICKER = QUICK.replace("steps = 3", "steps = 1\nmask_bank = 2") + '[model]\ninitial_estimate = "conjugate_gradient"\n'
Capture = pytest.CaptureFixture[str]
SIZE = 40


def quick_config(folder: Path, text: str = QUICKER) -> Path:
    return any_config(folder, text)


def run(capsys: Capture, *words: object) -> tuple[int, list[dict[str, Any]], str]:
    status = reconstruct.main([*map(str, words), "--json"])
    captured = capsys.readouterr()
    return status, methods(captured.out), captured.err


def refused(capsys: Capture, *words: object) -> str:
    """The one line of a command that ends with exit code 2."""
    status, rows, log = run(capsys, *words)
    assert (status, rows) == (2, [])
    lines = log.splitlines()
    assert len(lines) == 1
    return lines[0]


def attributes(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        return {**dict(file.attrs), "settings": json.loads(file.attrs["settings"])}


def image(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        return np.asarray(file["reconstruction"][()], float)


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def uneven_noise(coils: int, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Correlated noise whose strength differs 20-fold between coils."""
    generator = np.random.default_rng(7)
    mixing = np.eye(coils) + 0.3 * (generator.standard_normal((coils, coils)) + 1j * generator.random((coils, coils)))
    mixing *= np.geomspace(0.2, 4, coils)[:, None]
    return np.asarray(np.tensordot(mixing, random_complex((coils, *shape), seed), 1))


def wide_scan(path: Path, slices: int = 1, coils: int = 6, noise: float = 0.0) -> Path:
    """A volume of smooth coils of uneven gain, none a mixture of others, and of objects inside the field of view."""
    size = 64
    radius = np.hypot(*np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size), indexing="ij"))
    kspace = []
    for index in range(slices):
        maps = smooth_field((coils, size, size), index, 1.2) * np.geomspace(1, 6, coils)[:, None, None]
        content = (1 + 0.3 * smooth_field((size, size), index + 50, 3.0)) * (radius < 0.8)
        kspace.append(centred_fft(maps * content) + noise * uneven_noise(coils, (size, size), index))
    array = np.stack(kspace).astype(np.complex64)
    rss = np.sqrt((np.abs(centred_ifft(array)) ** 2).sum(1)).astype(np.float32)
    return write_scan(path, rows=size, columns=size, kspace=array, reconstruction_rss=rss, ismrmrd_header=None)


def normalised_maps(scan: Path) -> np.ndarray:
    """Maps (S, C, H, W) from the coil images themselves: what calibration without errors would find."""
    with h5py.File(scan) as file:
        images = centred_ifft(file["kspace"][()])
    size = np.sqrt((abs(images) ** 2).sum(1, keepdims=True))
    return np.asarray(images / np.maximum(size, 1e-3 * size.max()), np.complex64)


# ---- maps from and to files ----------------------------------------------------------------------------------------


def test_written_maps_give_the_same_images_and_are_espirits(tmp_path: Path, capsys: Capture) -> None:
    scan, config, out = write_scan(tmp_path / "a.h5"), quick_config(tmp_path), tmp_path / "out"
    status, rows, log = run(capsys, scan, "--out", out, "--config", config, "--write-maps", tmp_path / "maps.h5")
    assert status == 0, log
    maps = read_maps(tmp_path / "maps.h5", (2, 4, SIZE, SIZE))
    cached = [read_maps(path, (1, 4, SIZE, SIZE))[0] for path in sorted((out / "maps").iterdir())]
    assert torch.equal(maps, torch.stack(cached))
    write_maps(tmp_path / "bart.cfl", maps)
    for path in (tmp_path / "maps.h5", tmp_path / "bart.cfl", tmp_path / "bart"):
        again = tmp_path / f"again_{path.name}"
        status, other, log = run(capsys, scan, "--out", again, "--config", config, "--maps", path)
        assert status == 0, log
        assert np.array_equal(image(again / "a.h5"), image(out / "a.h5"))
        assert [row["PSNR"] for row in other] == [row["PSNR"] for row in rows]
        assert not (again / "maps").exists()
        assert len(attributes(again / "a.h5")["settings"]["coils"]["maps"]["sha256"]) == 64


def test_given_maps_are_used_and_other_ones_done_again(tmp_path: Path, capsys: Capture) -> None:
    """Exact maps need no calibration lines at all, at which ESPIRiT stops."""
    mask = line_mask(SIZE, 2, 0).numpy()
    mask[SIZE // 2] = False
    scan, config = write_scan(tmp_path / "a.h5", 1, mask=mask), quick_config(tmp_path)
    words = (scan, "--out", tmp_path / "out", "--config", config)
    complaint = refused(capsys, *words)
    assert f"{scan}: slice 0: kspace: expected measured, non-zero samples round the centre" in complaint
    assert "--maps" in complaint
    _, maps, _ = small_scan(rows=SIZE, columns=SIZE)
    write_maps(tmp_path / "maps.h5", maps[None])
    status, rows, log = run(capsys, *words, "--maps", tmp_path / "maps.h5")
    assert status == 0, log
    assert rows[1]["method"] == "CG-SENSE"
    assert rows[1]["NMSE"] < 0.02
    assert "skipped" in run(capsys, *words, "--maps", tmp_path / "maps.h5")[2]
    write_maps(tmp_path / "maps.h5", maps[None] * 1j)
    assert "skipped" not in run(capsys, *words, "--maps", tmp_path / "maps.h5")[2]


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_units_of_given_maps_do_not_matter(tmp_path: Path, capsys: Capture, factor: float) -> None:
    scan = write_scan(tmp_path / "a.h5", 1)
    _, maps, _ = small_scan(rows=SIZE, columns=SIZE)
    write_maps(tmp_path / "maps.h5", factor * maps[None])
    words = (scan, "--out", tmp_path / "out", "--config", quick_config(tmp_path), "--maps", tmp_path / "maps.h5")
    status, rows, log = run(capsys, *words)
    assert status == 0, log
    assert rows[1]["NMSE"] < 0.02


def test_some_slices_and_folders(tmp_path: Path, capsys: Capture) -> None:
    scans = [write_scan(tmp_path / f"{name}.h5", 3, seed=seed) for seed, name in enumerate("ab")]
    config, maps = quick_config(tmp_path), tmp_path / "maps"
    words = (*scans, "--config", config, "--slices", "1:3")
    status, _, log = run(capsys, *words, "--out", tmp_path / "out", "--write-maps", maps)
    assert status == 0, log
    assert sorted(path.name for path in maps.iterdir()) == ["a.h5", "b.h5"]
    with h5py.File(maps / "b.h5") as file:
        assert file["maps"].shape == (2, 4, SIZE, SIZE)
        assert file.attrs["slices"].tolist() == [1, 2]
        assert file.attrs["scan"] == "b"
    status, _, log = run(capsys, *words, "--out", tmp_path / "again", "--maps", maps)
    assert status == 0, log
    for name in ("a.h5", "b.h5"):
        assert np.array_equal(image(tmp_path / "again" / name), image(tmp_path / "out" / name))
    # Skipped volumes write their maps too, where they are not there yet.
    shutil.rmtree(maps)
    assert "skipped" in run(capsys, *words, "--out", tmp_path / "out")[2]
    assert run(capsys, *words, "--out", tmp_path / "out", "--write-maps", maps)[0] == 0
    assert len(list(maps.iterdir())) == 2
    complaint = refused(capsys, *scans, "--config", config, "--out", tmp_path / "third", "--maps", maps)
    assert f"--maps: {maps / 'a.h5'}: maps: expected those of slice 0, got slices [1, 2]" in complaint
    assert not list((tmp_path / "third").iterdir())


def test_ambiguous_and_dangerous_places_are_refused(tmp_path: Path, capsys: Capture) -> None:
    scans = [write_scan(tmp_path / f"{name}.h5", 1) for name in "ab"]
    before = [scan.read_bytes() for scan in scans]
    config, folder, out = quick_config(tmp_path), tmp_path / "maps", tmp_path / "out"
    folder.mkdir()
    maps = torch.from_numpy(random_complex((1, 4, SIZE, SIZE)))
    write_maps(folder / "a.h5", maps)
    words = ("--out", out, "--config", config)
    one, both = (scans[0], *words), (*scans, *words)
    assert "expected a folder with NAME.h5 or NAME.cfl" in refused(capsys, *both, "--maps", folder / "a.h5")
    assert "expected b.h5 or b.cfl in this folder, found neither" in refused(capsys, *both, "--maps", folder)
    write_maps(folder / "a.cfl", maps)
    assert "found both; remove one" in refused(capsys, *one, "--maps", folder)
    assert "expected a folder for the maps of 2 scans" in refused(capsys, *both, "--write-maps", folder / "x.h5")
    assert "is or will be there" in refused(capsys, *both, "--write-maps", tmp_path)
    assert "is or will be there" in refused(capsys, *one, "--write-maps", scans[0])
    assert "is or will be there" in refused(capsys, *one, "--write-maps", out)
    assert "cannot be made a folder" in refused(capsys, *one, "--write-maps", config / "maps")
    assert [scan.read_bytes() for scan in scans] == before
    assert not [path for path in out.iterdir() if path.name != "maps"]


def _nan() -> np.ndarray:
    maps = random_complex((2, 4, SIZE, SIZE))
    maps[1, 0, 3, 3] = np.nan
    return maps


def _empty_slice() -> np.ndarray:
    maps = random_complex((2, 4, SIZE, SIZE))
    maps[1] = 0
    return maps


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (
            random_complex((2, 3, SIZE, SIZE)),
            rf"maps: expected \(2, 4, {SIZE}, {SIZE}\) .* got \(2, 3, {SIZE}, {SIZE}\)",
        ),
        (random_complex((4, SIZE, SIZE)), rf"maps: expected \(2, 4, {SIZE}, {SIZE}\) .* got \(4, {SIZE}, {SIZE}\)"),
        (random_complex((2, 2, 4, SIZE, SIZE)), "expected one set of maps a slice, got 2"),
        (_nan(), "maps, slice 1: expected finite numbers"),
        (_empty_slice(), r"maps: all 0 for this slice; leave this slice out \(--slices\)"),
    ],
)
def test_maps_that_do_not_fit_are_refused(tmp_path: Path, capsys: Capture, maps: np.ndarray, message: str) -> None:
    scan = write_scan(tmp_path / "a.h5")
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file["maps"] = maps
    words = (scan, "--out", tmp_path / "out", "--config", quick_config(tmp_path), "--maps", tmp_path / "maps.h5")
    assert re.search(message, refused(capsys, *words))


# ---- whitening and compression -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "extra",
    [
        ["--prewhiten", "outer"],
        ["--prewhiten", "{noise}"],
        ["--compress", "5"],
        ["--compress", "0.99"],
        ["--compress", "5", "--compress-method", "geometric"],
        ["--prewhiten", "{noise}", "--compress", "5"],
        ["--prewhiten", "{noise}", "--compress", "5", "--compress-method", "geometric"],
    ],
)
@pytest.mark.parametrize("given", [False, True], ids=["espirit", "maps"])
def test_images_stay_in_the_units_of_the_scan(tmp_path: Path, capsys: Capture, extra: list[str], given: bool) -> None:
    scan = wide_scan(tmp_path / "a.h5", noise=2e-3)
    with h5py.File(tmp_path / "noise.h5", "w") as file:
        file["noise"] = uneven_noise(6, (3000,), 99).astype(np.complex64)
    words = [scan, "--config", quick_config(tmp_path), "--acceleration", "2", "--center-fraction", "0.4"]
    if given:
        write_maps(tmp_path / "maps.h5", torch.from_numpy(normalised_maps(scan)))
        words += ["--maps", tmp_path / "maps.h5"]
    extra = [word.format(noise=tmp_path / "noise.h5") for word in extra]
    _, plain, _ = run(capsys, *words, "--out", tmp_path / "plain")
    status, rows, log = run(capsys, *words, "--out", tmp_path / "out", *extra)
    assert status == 0, log
    with h5py.File(scan) as file:
        target = file["reconstruction_rss"][()].astype(float)
    found = image(tmp_path / "out" / "a.h5")
    inside = target > 0.2 * target.max()
    # A wrong unit would be a factor, here or there; whitening and fewer coils change the noise, and aliasing where
    # nothing but the maps can undo it (zero filling is left out).
    assert np.quantile(found[inside] / target[inside], [0.1, 0.5, 0.9]) == pytest.approx([1, 1, 1], abs=0.06)
    for row, other in zip(rows[1:], plain[1:], strict=True):
        assert row["NMSE"] < 2 * other["NMSE"] + 2e-3, row["method"]
    recorded = attributes(tmp_path / "out" / "a.h5")
    assert ("prewhitening" in recorded) == ("--prewhiten" in extra)
    assert ("coil_compression" in recorded) == ("--compress" in extra)
    assert recorded["settings"]["coils"].keys() == {
        *(["prewhiten"] if "--prewhiten" in extra else []),
        *(["compress"] if "--compress" in extra else []),
        *(["maps"] if given else []),
    }
    if "5" in extra:
        assert recorded["coil_compression_virtual_coils"] == 5
        assert recorded["coil_compression_coils"] == 6
        assert recorded["coil_compression_kept_energy"].shape == (1,)


def test_prewhitening_helps_where_a_coil_is_noisy(tmp_path: Path, capsys: Capture) -> None:
    clean, noisy = wide_scan(tmp_path / "clean.h5"), wide_scan(tmp_path / "a.h5", noise=0.05)
    words = (noisy, "--config", quick_config(tmp_path), "--acceleration", "3", "--center-fraction", "0.4")
    with h5py.File(clean) as file, h5py.File(noisy, "r+") as other:
        other["reconstruction_rss"][...] = file["reconstruction_rss"][()]
    errors = []
    for name, extra in (("plain", []), ("white", ["--prewhiten", "outer"])):
        status, rows, log = run(capsys, *words, "--out", tmp_path / name, *extra)
        assert status == 0, log
        errors.append(rows[1]["NMSE"])  # CG-SENSE's: nothing learned
    assert errors[1] < 0.8 * errors[0]


def test_written_maps_are_those_of_the_scans_own_coils(tmp_path: Path, capsys: Capture) -> None:
    scan = wide_scan(tmp_path / "a.h5", noise=2e-3)
    options = ["--prewhiten", "outer", "--compress", "5"]
    words = (scan, "--config", quick_config(tmp_path), "--acceleration", "2", "--center-fraction", "0.4", *options)
    status, _, log = run(capsys, *words, "--out", tmp_path / "out", "--write-maps", tmp_path / "maps.h5")
    assert status == 0, log
    maps = read_maps(tmp_path / "maps.h5", (1, 6, 64, 64)).numpy()[0]
    # Up to the phase that every pixel's coils share, they are the coils' images divided by their root sum of squares.
    truth = normalised_maps(scan)[0]
    radius = np.hypot(*np.meshgrid(np.linspace(-1, 1, 64), np.linspace(-1, 1, 64), indexing="ij"))
    agreement = abs((maps.conj() * truth).sum(0))[radius < 0.7]
    assert np.quantile(agreement, 0.05) > 0.97
    # Read again under the same options they give the same images, but for rounding carried on by the fit.
    assert run(capsys, *words, "--out", tmp_path / "again", "--maps", tmp_path / "maps.h5")[0] == 0
    assert relative(image(tmp_path / "again" / "a.h5"), image(tmp_path / "out" / "a.h5")) < 1e-3


@pytest.mark.parametrize("method", ["svd", "geometric"])
def test_maps_are_treated_as_the_measurements_are(method: str) -> None:
    """A x = F S x for the scan's coils, then whitened and compressed, equals the operator's A of the changed maps."""
    kspace, maps, image = small_scan(coils=6, rows=24, columns=20, noise=0.05)
    whitened, whitening = prewhiten(kspace, torch.from_numpy(uneven_noise(6, (500,), 3).astype(np.complex64)))
    _, compression = compress_coils(whitened, coils=4, method=method)  # type: ignore[arg-type]
    coils = Coils(whitening, compression)
    changed, intensity = coils.maps_of_operator(maps)
    assert intensity is not None
    measured = torch.from_numpy(centred_fft(maps.numpy() * image.numpy())).to(torch.complex64)
    expected = compression.apply(whitening.apply(measured))
    found = centred_fft((changed * image / intensity).numpy())
    assert relative(abs(found - expected.numpy()) + 1, np.ones_like(found, float)) < 1e-5
    torch.testing.assert_close(changed.abs().square().sum(0), maps.abs().square().sum(0), rtol=1e-4, atol=1e-5)
    # Maps found in whitened coils go back to the scan's.
    white, _ = Coils(whitening).maps_of_operator(maps)
    torch.testing.assert_close(unwhitened(white, whitening), maps, rtol=1e-4, atol=1e-5)


def test_nothing_asked_changes_nothing() -> None:
    _, maps, _ = small_scan()
    assert CoilPlan().record() == {}
    assert Coils().maps_of_operator(maps) == (maps, None)
    assert unwhitened(maps, None) is maps
    assert Coils().attributes() == {}


def test_a_fraction_is_kept_in_every_slice_of_a_batch(tmp_path: Path, capsys: Capture) -> None:
    scan = wide_scan(tmp_path / "a.h5", slices=3)
    with h5py.File(scan, "r+") as file:
        file["kspace"][1, 2:] = 0.01 * file["kspace"][1, 2:]  # fewer virtual coils would do in this slice
    words = ("--config", quick_config(tmp_path), "--batch", 3, "--compress", "0.98", "--center-fraction", "0.4")
    status, _, log = run(capsys, scan, "--out", tmp_path / "out", *words)
    assert status == 0, log
    recorded = attributes(tmp_path / "out" / "a.h5")
    assert recorded["coil_compression_kept_energy"].shape == (3,)
    assert (recorded["coil_compression_kept_energy"] >= 0.98).all()
    assert 1 < recorded["coil_compression_virtual_coils"] < 6


def test_cached_maps_know_what_was_done_to_the_coils(tmp_path: Path, capsys: Capture) -> None:
    scan = wide_scan(tmp_path / "a.h5")
    with h5py.File(tmp_path / "noise.h5", "w") as file:
        file["noise"] = uneven_noise(6, (3000,), 99).astype(np.complex64)
    words = (scan, "--out", tmp_path / "out", "--config", quick_config(tmp_path), "--center-fraction", "0.4")
    for count, extra in ((1, []), (1, ["--compress", "4"]), (2, ["--prewhiten", "{noise}"]), (2, ["--overwrite"])):
        status, _, log = run(capsys, *words, *(word.format(noise=tmp_path / "noise.h5") for word in extra))
        assert status == 0, log
        assert len(list((tmp_path / "out" / "maps").iterdir())) == count


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--compress", "0"], "--compress: expected a number of coils from 1, or a fraction up to 1.0, got '0'"),
        (["--compress", "1.5"], "--compress: expected a number of coils"),
        (["--compress", "few"], "--compress: expected a number of coils"),
        (["--compress", "5"], "expected from 1 to its 4 coils, got 5"),
        (["--compress", "2", "--compress-method", "pca"], "--compress-method"),
        (
            ["--compress", "2", "--compress-method", "geometric", "--mask", "poisson"],
            "--compress: method: expected svd",
        ),
        (["--prewhiten", "nowhere.h5"], "--prewhiten: nowhere.h5: expected an HDF5 file"),
        (["--prewhiten", "{noise}"], "expected noise of the 4 coils of"),
        (["--maps", "nowhere.h5"], "--maps: nowhere.h5: expected an HDF5 file"),
        (["--maps", "{noise}"], "maps: expected a complex dataset `maps` of sensitivity maps, got noise"),
        (["--maps", "nowhere"], "--maps: nowhere.hdr: expected a BART header"),
        (["--write-maps", "maps.npy"], "--write-maps: maps.npy: expected a name that ends in .h5 or .cfl"),
    ],
)
def test_bad_options_are_one_line(tmp_path: Path, capsys: Capture, words: list[str], message: str) -> None:
    scan = write_scan(tmp_path / "a.h5", 1)
    with h5py.File(tmp_path / "noise.h5", "w") as file:
        file["noise"] = random_complex((3, 1000))
    words = [word.format(noise=tmp_path / "noise.h5") for word in words]
    assert message in refused(capsys, scan, "--out", tmp_path / "out", "--config", quick_config(tmp_path), *words)


# ---- what is found before the first fit ----------------------------------------------------------------------------


def _poisoned(kspace: np.ndarray) -> None:
    kspace[1, 0, 3, 3] = np.inf


def _silent(kspace: np.ndarray) -> None:
    kspace[1] = 0


def _no_centre(kspace: np.ndarray) -> None:
    kspace[1, :, :, SIZE // 2] = 0


def _narrow(kspace: np.ndarray) -> None:
    kspace[1, :, :, SIZE // 2 - 2] = 0
    kspace[1, :, :, SIZE // 2 + 2] = 0


@pytest.mark.parametrize(
    ("spoil", "message", "fitted"),
    [
        (_poisoned, "kspace, slice 1: expected finite numbers", False),
        (_silent, "kspace, slice 1: every sample is zero", False),
        (_no_centre, "slice 1: kspace: expected measured, non-zero samples round the centre", False),
        (_narrow, "slice 1: kspace: expected at least 5 measured lines round the centre", True),
    ],
)
def test_a_bad_slice_is_found_early_or_costs_no_other(
    tmp_path: Path, capsys: Capture, spoil: Any, message: str, fitted: bool
) -> None:
    scan = write_scan(tmp_path / "a.h5")
    with h5py.File(scan, "r+") as file:
        kspace = file["kspace"][()]
        spoil(kspace)
        file["kspace"][...] = kspace
    complaint = refused(capsys, scan, "--out", tmp_path / "out", "--config", quick_config(tmp_path))
    assert f"{scan}: {message}" in complaint
    assert (tmp_path / "out" / "a.slices" / "slice_0000.h5").exists() == fitted
    assert train.main([str(scan), "--out", str(tmp_path / "p"), "--config", str(quick_config(tmp_path))]) == 2
    assert f"{scan}: {message}" in capsys.readouterr().err


def test_maps_of_all_slices_are_checked_before_any_fit(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, maps = write_scan(tmp_path / "a.h5"), tmp_path / "maps.h5"
    words = (scan, "--out", tmp_path / "out", "--config", quick_config(tmp_path))
    assert run(capsys, *words, "--write-maps", maps)[0] == 0
    with h5py.File(maps, "r+") as file:
        file["maps"][1, 0, 0, 0] = np.nan
    monkeypatch.setattr(volumes, "reconstruct_batch", lambda *_: pytest.fail("fitted"))
    assert "maps, slice 1: expected finite" in refused(capsys, *words, "--maps", maps, "--overwrite")


def test_too_few_lines_to_split_are_found_before_any_fit(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = write_scan(tmp_path / "a.h5", mask=line_mask(SIZE, SIZE, 12).numpy())
    monkeypatch.setattr(volumes, "reconstruct_batch", lambda *_: pytest.fail("fitted"))
    complaint = refused(capsys, scan, "--out", tmp_path / "out", "--config", quick_config(tmp_path))
    assert f"{scan}: slice 0: mask: splitting needs at least 2 measured lines" in complaint


def test_a_bad_target_of_another_slice_is_found(tmp_path: Path, capsys: Capture) -> None:
    scan = write_scan(tmp_path / "a.h5")
    with h5py.File(scan, "r+") as file:
        file["reconstruction_rss"][1, 0, 0] = np.nan
    words = (scan, "--out", tmp_path / "out", "--config", quick_config(tmp_path), "--slices", "0:1")
    assert "reconstruction_rss, slice 1: expected finite" in refused(capsys, *words)


def test_k_space_is_read_twice(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    scan, reads = write_scan(tmp_path / "a.h5", 3), []
    original = FastMRIVolume.scan
    monkeypatch.setattr(FastMRIVolume, "scan", lambda self, index: reads.append(index) or original(self, index))
    words = (scan, "--out", tmp_path / "out", "--config", quick_config(tmp_path))
    assert run(capsys, *words, "--batch", 3)[0] == 0
    assert reads == [0, 1, 2] * 2  # to check all of it, and to use it
    reads.clear()
    # How many coils keep a fraction of the energy depends on all slices: they are read for that first.
    assert run(capsys, *words, "--batch", 1, "--overwrite", "--compress", "0.9")[0] == 0
    assert reads == [0, 1, 2] * 3


@pytest.mark.parametrize("dead", [None, 2])
def test_one_coil_and_dead_coils_are_reconstructed(tmp_path: Path, capsys: Capture, dead: int | None) -> None:
    kspace = small_scan(coils=1 if dead is None else 4, rows=SIZE, columns=SIZE)[0].numpy()[None]
    if dead is not None:
        kspace[:, dead] = 0
    rss = np.sqrt((np.abs(centred_ifft(kspace)) ** 2).sum(1)).astype(np.float32)
    scan = write_scan(tmp_path / "a.h5", kspace=kspace, reconstruction_rss=rss)
    words = (scan, "--out", tmp_path / "out", "--config", quick_config(tmp_path), "--acceleration", "2")
    status, rows, log = run(capsys, *words, "--write-maps", tmp_path / "maps.h5", "--center-fraction", "0.5")
    assert status == 0, log
    assert rows[2]["NMSE"] < 0.1
    maps = read_maps(tmp_path / "maps.h5", (1, *kspace.shape[1:]))[0]
    if dead is None:
        inside = maps[0].abs() > 0
        torch.testing.assert_close(maps[0][inside].imag, torch.zeros(int(inside.sum())), atol=1e-5, rtol=0)
    else:
        assert float(maps[dead].abs().max()) < 1e-6


# ---- train -----------------------------------------------------------------------------------------------------------


def test_a_prior_says_how_its_scans_coils_were_treated(tmp_path: Path, capsys: Capture) -> None:
    scans = [wide_scan(tmp_path / f"{name}.h5", coils=n, noise=2e-3) for name, n in (("a", 6), ("b", 5))]
    config = quick_config(tmp_path, QUICKER.replace("0.2", "0.4"))
    words = [*map(str, scans), "--config", str(config), "--maps-cache", str(tmp_path / "cache"), "--json"]
    options = ["--prewhiten", "outer", "--compress", "4", "--write-maps", str(tmp_path / "maps")]
    assert train.main([*words, "--out", str(tmp_path / "p.safetensors"), *options]) == 0, capsys.readouterr().err
    sources = Prior.load(tmp_path / "p.safetensors").provenance["scans"]
    assert [source["coil_compression_coils"] for source in sources] == [6, 5]
    assert sources[0]["coil_options"] == {"prewhiten": "outer", "compress": {"virtual_coils": 4, "method": "svd"}}
    assert sources[1]["prewhitening"] == "outer k-space"
    assert read_maps(tmp_path / "maps" / "b.h5", (1, 5, 64, 64)).any()
    assert train.main([*words, "--out", str(tmp_path / "q.safetensors"), "--maps", str(tmp_path / "maps")]) == 0
    again = Prior.load(tmp_path / "q.safetensors").provenance["scans"]
    assert again[0]["coil_options"]["maps"]["file"] == "a.h5"
    assert len(list((tmp_path / "cache").iterdir())) == 2  # given maps are not kept a second time
    capsys.readouterr()
    one_file = str(tmp_path / "maps" / "a.h5")
    assert train.main([*words, "--out", str(tmp_path / "r.safetensors"), "--maps", one_file]) == 2
    assert "expected a folder" in capsys.readouterr().err


def test_plans_with_a_noise_scan_are_told_apart(tmp_path: Path) -> None:
    recipes = []
    for seed in (1, 2):
        with h5py.File(tmp_path / "noise.h5", "w") as file:
            file["noise"] = random_complex((3, 100), seed)
        recipes.append(CoilPlan(coil_chain.Noise.read(tmp_path / "noise.h5")).record())
    assert recipes[0] != recipes[1]
