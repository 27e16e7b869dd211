"""From a scan to its operator: masks, maps and their cache, units."""

import argparse
from pathlib import Path

import pytest
import torch
from helpers import data_folder
from scans import line_mask, small_scan

from ugodit.data.scan import Scan
from ugodit.data.undersampling import undersample
from ugodit.errors import InputError
from ugodit.evaluation import metrics
from ugodit.evaluation.baselines import cg_sense
from ugodit.io.volumes import open_volume
from ugodit.reconstruction import preparation

CPU = torch.device("cpu")
OPTIONS = argparse.Namespace(mask="equispaced", acceleration=2.0, center_fraction=0.3, seed=0)


def scan(columns: int = 48, rows: int = 40) -> Scan:
    kspace, _, image = small_scan(rows=rows, columns=columns)
    return Scan("a", 0, kspace, None, (rows, columns), image.abs().float())


def test_every_sample_kept_gives_the_object_back() -> None:
    full = scan()
    prepared = preparation.prepare_scan(undersample(full, torch.ones(48, dtype=torch.bool)), CPU, None)
    image = prepared.magnitude(cg_sense(prepared.operator, mu=0.0))
    assert full.target is not None
    # The maps are estimated: the object comes back up to what calibration can tell, in its own units.
    assert metrics.nmse(full.target.numpy(), image) < 0.02


def test_a_mask_of_its_own_stays() -> None:
    own = undersample(scan(), line_mask(48, 3, 12))
    assert preparation.undersampled(own, OPTIONS) is own


def test_poisson_disc_masks_are_2d() -> None:
    options = argparse.Namespace(mask="poisson", acceleration=3.0, center_fraction=0.4, seed=1)
    chosen = preparation.undersampled(scan(), options)
    assert chosen.mask is not None
    assert chosen.mask.shape == (40, 48)
    prepared = preparation.prepare_scan(chosen, CPU, None)
    assert prepared.operator.weights.shape == (1, 40, 48)


def test_the_cache_is_used_and_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = undersample(scan(), line_mask(48, 2, 14))
    maps = preparation.cached_maps(own, tmp_path)
    (file,) = tmp_path.iterdir()
    with monkeypatch.context() as patched:
        patched.setattr(preparation, "reconstruction_maps", lambda _scan: pytest.fail("not taken from the cache"))
        assert torch.equal(preparation.cached_maps(own, tmp_path), maps)
    file.write_bytes(b"damaged")
    assert torch.equal(preparation.cached_maps(own, tmp_path), maps)
    other = undersample(scan(), line_mask(48, 3, 14))
    preparation.cached_maps(other, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_maps_that_are_nowhere_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    own = undersample(scan(), line_mask(48, 2, 14))
    monkeypatch.setattr(preparation, "reconstruction_maps", lambda scan: torch.zeros_like(scan.kspace))
    with pytest.raises(InputError, match="a, slice 0: calibration found no coil sensitivity"):
        preparation.prepare_scan(own, CPU, None)


@pytest.mark.parametrize("name", ["brain_lowres_16ch_96x96", "brain_t1_b_8ch_230x180"])
def test_real_scans_of_any_unit_prepare_alike(name: str) -> None:
    options = argparse.Namespace(mask="equispaced", acceleration=4.0, center_fraction=0.08, seed=0)
    with open_volume(data_folder() / "mri" / f"{name}.h5") as volume:
        prepared = preparation.prepare(volume, 0, options, CPU, None)
    magnitude = prepared.operator.initial().square().sum(1, keepdim=True).sqrt()
    assert float(torch.quantile(magnitude[prepared.operator.support], 0.995)) == pytest.approx(1, rel=1e-4)
    assert prepared.scan.target is not None
    target = prepared.scan.target.numpy()
    image = prepared.magnitude(cg_sense(prepared.operator))
    assert metrics.psnr(target, image) > metrics.psnr(target, prepared.magnitude(prepared.operator.initial())) + 3


def test_magnitude_of_the_coil_images() -> None:
    own = undersample(scan(), line_mask(48, 2, 14))
    prepared = preparation.prepare_scan(own, CPU, None)
    maps = preparation.reconstruction_maps(own)  # soft: they fade out
    image = torch.randn(prepared.operator.shape, generator=torch.Generator().manual_seed(0))
    coil_images = maps * torch.complex(image[0, 0], image[0, 1])
    expected = torch.linalg.vector_norm(coil_images, dim=0) * prepared.scale
    torch.testing.assert_close(torch.from_numpy(prepared.magnitude(image, of_coils=True)), expected)
    plain = torch.from_numpy(prepared.magnitude(image))
    assert (plain >= expected * (1 - 1e-6)).all()
    assert (plain > 1.2 * expected).any()
