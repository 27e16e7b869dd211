"""From a scan to its operator: masks, maps and their cache, units."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import data_folder
from scans import line_mask, small_scan

from ugodit.calibration import cache
from ugodit.calibration.maps import reconstruction_maps
from ugodit.data.sampling import Sampling
from ugodit.data.scan import Scan
from ugodit.data.undersampling import undersample
from ugodit.errors import InputError
from ugodit.evaluation import metrics
from ugodit.evaluation.baselines import cg_sense
from ugodit.io.volumes import open_volume
from ugodit.reconstruction.preparation import prepare


def scan(columns: int = 48, rows: int = 40) -> Scan:
    kspace, _, image = small_scan(rows=rows, columns=columns)
    return Scan("a", 0, kspace, None, (rows, columns), image.abs().float())


def test_every_sample_kept_gives_the_object_back() -> None:
    full = scan()
    prepared = prepare(undersample(full, torch.ones(48, dtype=torch.bool)))
    image = prepared.magnitude(cg_sense(prepared.operator, mu=0.0))
    assert full.target is not None
    # The maps are estimated: the object comes back up to what calibration can tell, in its own units.
    assert metrics.nmse(full.target.numpy(), image) < 0.02


def test_what_is_known_of_the_scan_comes_along() -> None:
    own = undersample(scan(), line_mask(48, 3, 12))
    prepared = prepare(own)
    assert (prepared.name, prepared.slice_index, prepared.shape, prepared.crop) == ("a", 0, (4, 40, 48), (40, 48))
    assert prepared.mask is own.mask
    assert prepared.target is own.target
    assert prepared.digest == own.digest()
    assert prepared.seconds > 0
    assert not hasattr(prepared, "scan")  # whose k-space would be held twice
    assert prepare(own, digest="known").digest == "known"


def test_poisson_disc_masks_are_2d() -> None:
    chosen = Sampling("poisson", 3.0, 0.4, seed=1).apply(scan())
    assert chosen.mask is not None
    assert chosen.mask.shape == (40, 48)
    prepared = prepare(chosen)
    assert prepared.operator.weights.shape == (1, 40, 48)


def test_a_2d_mask_of_lines_takes_the_path_of_lines() -> None:
    """A file's mask may have an axis of rows that says nothing: each row is a problem of its own all the same."""
    kspace, _, image = small_scan(rows=40, columns=48)
    full = Scan("a", 0, kspace, None, (30, 48), image.abs().float()[5:35])
    lines = line_mask(48, 3, 12)
    flat, plane = (prepare(undersample(full, mask)) for mask in (lines, lines.expand(40, 48)))
    assert plane.mask.shape == (40, 48)  # it is reported as it came
    assert plane.operator.weights.shape == flat.operator.weights.shape == (1, 48)
    assert plane.operator.shape == flat.operator.shape == (1, 2, 30, 48)  # rows outside the image are dropped
    assert torch.equal(plane.operator.initial(), flat.operator.initial())
    assert plane.scale == flat.scale
    # One sample less, and rows are coupled.
    samples = lines.expand(40, 48).clone()
    samples[3, int(lines.nonzero()[0])] = False
    coupled = prepare(undersample(full, samples))
    assert coupled.operator.weights.shape == (1, 40, 48)
    assert coupled.operator.shape == (1, 2, 40, 48)
    assert coupled.magnitude(coupled.operator.initial()).shape == (30, 48)


def test_the_cache_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = undersample(scan(), line_mask(48, 2, 14))
    first = prepare(own, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(cache, "reconstruction_maps", lambda _scan: pytest.fail("not taken from the cache"))
    again = prepare(own, cache=tmp_path)
    assert torch.equal(again.operator.maps, first.operator.maps)


def test_maps_are_shown_for_the_scans_own_coils() -> None:
    own = undersample(scan(), line_mask(48, 2, 14))
    shown: list[torch.Tensor] = []
    prepare(own, on_maps=shown.append)
    (maps,) = shown
    assert torch.equal(maps, reconstruction_maps(own))


def test_maps_of_the_scans_own_are_taken() -> None:
    kspace, maps, _ = small_scan(rows=40, columns=48)
    own = Scan.from_arrays(kspace, line_mask(48, 2, 2), maps)
    shown: list[torch.Tensor] = []
    prepared = prepare(own, on_maps=shown.append)
    assert torch.equal(shown[0], maps)
    torch.testing.assert_close(prepared.operator.sensitivity[0, 0], torch.linalg.vector_norm(maps, dim=0))
    # In other units they mean the same.
    scaled = prepare(Scan.from_arrays(kspace, line_mask(48, 2, 2), 1e-4 * maps))
    torch.testing.assert_close(scaled.operator.initial(), prepared.operator.initial(), rtol=1e-4, atol=1e-5)


def test_maps_that_are_nowhere_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    own = undersample(scan(), line_mask(48, 2, 14))
    monkeypatch.setattr(cache, "reconstruction_maps", lambda scan: torch.zeros_like(scan.kspace))
    with pytest.raises(InputError, match=r"^a, slice 0: calibration found no coil sensitivity"):
        prepare(own)
    with pytest.raises(InputError, match=r"^scans/a\.h5: slice 0: calibration found no coil sensitivity"):
        prepare(own, where="scans/a.h5: slice 0")


@pytest.mark.parametrize("name", ["brain_lowres_16ch_96x96", "brain_t1_b_8ch_230x180"])
def test_real_scans_of_any_unit_prepare_alike(name: str) -> None:
    with open_volume(data_folder() / "mri" / f"{name}.h5") as volume:
        prepared = prepare(Sampling("equispaced", 4.0, 0.08, seed=0).apply(volume.scan(0)))
    magnitude = prepared.operator.initial().square().sum(1, keepdim=True).sqrt()
    assert float(torch.quantile(magnitude[prepared.operator.support], 0.995)) == pytest.approx(1, rel=1e-4)
    assert prepared.target is not None
    target = prepared.target.numpy()
    image = prepared.magnitude(cg_sense(prepared.operator))
    assert metrics.psnr(target, image) > metrics.psnr(target, prepared.magnitude(prepared.operator.initial())) + 3


@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_units_are_the_scans_own(unit: float) -> None:
    full = scan()
    lines = line_mask(48, 2, 14)
    plain = prepare(undersample(full, lines))
    kspace, _, _ = small_scan(rows=40, columns=48)
    other = prepare(undersample(Scan("a", 0, kspace * unit, None, (40, 48), None), lines))
    torch.testing.assert_close(other.operator.initial(), plain.operator.initial(), rtol=1e-4, atol=1e-5)
    image = plain.operator.initial()
    np.testing.assert_allclose(other.magnitude(image), unit * plain.magnitude(image), rtol=1e-4)


def test_magnitude_of_the_coil_images() -> None:
    own = undersample(scan(), line_mask(48, 2, 14))
    prepared = prepare(own)
    maps = reconstruction_maps(own)  # soft: they fade out
    image = torch.randn(prepared.operator.shape, generator=torch.Generator().manual_seed(0))
    coil_images = maps * torch.complex(image[0, 0], image[0, 1])
    expected = torch.linalg.vector_norm(coil_images, dim=0) * prepared.scale
    torch.testing.assert_close(torch.from_numpy(prepared.magnitude(image, of_coils=True)), expected)
    plain = torch.from_numpy(prepared.magnitude(image))
    assert (plain >= expected * (1 - 1e-6)).all()
    assert (plain > 1.2 * expected).any()
