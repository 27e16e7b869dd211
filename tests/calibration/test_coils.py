"""Coil compression and noise prewhitening."""

import numpy as np
import pytest
import torch
from helpers import centred_fft, centred_ifft, random_complex

from ugodit.calibration import compress_coils, estimate_maps, prewhiten
from ugodit.errors import InputError


def low_rank_kspace(coils: int, rank: int, height: int = 40, width: int = 36, noise: float = 0.0) -> np.ndarray:
    """K-space, strong in the centre, whose coils are mixtures of `rank` signals."""
    signals = random_complex((rank, height, width), seed=1)
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    signals *= np.exp(-8 * (x**2 + y**2)).astype(np.float32)
    mixing = np.linalg.qr(random_complex((coils, coils), seed=2))[0][:, :rank]
    kspace = np.einsum("cr,rhw->chw", mixing, signals)
    return (kspace + noise * random_complex((coils, height, width), seed=3)).astype(np.complex64)


@pytest.mark.parametrize("method", ["svd", "geometric"])
def test_compression_loses_nothing_of_a_low_rank_array(method: str) -> None:
    kspace = torch.from_numpy(low_rank_kspace(12, 4))
    compressed, done = compress_coils(kspace, energy=0.9999, method=method)  # type: ignore[arg-type]
    assert compressed.shape == (4, 40, 36)
    assert (done.coils, done.virtual_coils, done.method) == (12, 4, method)
    assert done.kept_energy == pytest.approx(1, abs=1e-6)
    # orthonormal weights and a lossless rank: every readout position keeps its energy (geometric: in hybrid space)
    energy = np.sqrt((abs(centred_ifft(compressed.numpy())) ** 2).sum(0))
    exact = np.sqrt((abs(centred_ifft(kspace.numpy())) ** 2).sum(0))
    assert abs(energy - exact).max() < 1e-5 * exact.max()
    assert torch.equal(done.apply(kspace), compressed)
    assert done.attributes()["coil_compression_virtual_coils"] == 4


def test_svd_keeps_the_energy_it_says() -> None:
    kspace = torch.from_numpy(low_rank_kspace(10, 10))
    compressed, done = compress_coils(kspace, coils=3, acs_width=36)
    block = slice(2, 38)  # 36 of 40 rows round the centre, all columns
    kept = compressed[:, block].abs().square().sum() / kspace[:, block].abs().square().sum()
    assert done.kept_energy == pytest.approx(float(kept), abs=1e-5)
    singular = np.linalg.svd(kspace[:, block].flatten(1).numpy(), compute_uv=False) ** 2
    assert done.kept_energy == pytest.approx(singular[:3].sum() / singular.sum(), abs=1e-5)  # no other 3 keep more
    assert compress_coils(kspace, energy=done.kept_energy - 1e-6)[1].virtual_coils <= 10


def object_and_coils() -> np.ndarray:
    """K-space of 16 coils along the readout, which a few virtual coils cover locally and not globally."""
    height, width = 64, 48
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    centres = np.linspace(-1.2, 1.2, 16)[:, None, None]
    maps = np.exp(-((y - centres) ** 2) / 0.08 + 1j * (3 * centres * x + 2 * y)) * (1 + 0.3 * centres * x)
    image = ((x / 0.8) ** 2 + (y / 0.9) ** 2 < 1) * (1 + 0.4 * np.cos(12 * x * y + 5 * x))
    return centred_fft(maps * image).astype(np.complex64)


def test_geometric_keeps_more_and_varies_smoothly() -> None:
    kspace = torch.from_numpy(object_and_coils())
    _, plain = compress_coils(kspace, coils=4, method="svd")
    compressed, done = compress_coils(kspace, coils=4, method="geometric")
    assert done.kept_energy > plain.kept_energy + 0.05
    identity = torch.eye(4, dtype=torch.complex64)
    assert (done.matrix @ done.matrix.mH - identity).abs().max() < 1e-5
    # Alignment leaves between neighbours only the turn of the subspace itself: within the two spans, none at all.
    inner = done.matrix[1:] @ done.matrix[:-1].mH
    assert (inner - inner.mH).abs().max() < 1e-4  # the closest rotation makes the products Hermitian ...
    assert torch.linalg.eigvalsh(inner).min() > -1e-5  # ... and positive
    # ESPIRiT needs the virtual coils to be smooth; without alignment its maps would not cover the object.
    support = estimate_maps(compressed, 24).abs().sum(0) > 0
    assert support[12:52, 12:36].float().mean() > 0.95


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "coils, energy: expected one of them"),
        ({"coils": 2, "energy": 0.5}, "coils, energy: expected one of them"),
        ({"coils": 9}, "coils: expected from 1 to the 6"),
        ({"energy": 1.5}, "energy: expected a fraction"),
        ({"coils": 2, "method": "pca"}, "method: expected svd or geometric"),
        ({"coils": 2, "method": "geometric", "mask": torch.eye(40).bool()[:, :36]}, "method: expected svd for a mask"),
    ],
)
def test_compression_options_are_checked(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        compress_coils(torch.from_numpy(low_rank_kspace(6, 6)), **options)  # type: ignore[arg-type]


def correlated_noise(coils: int, shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    mixing = np.eye(coils) + 0.3 * (generator.standard_normal((coils, coils)) + 1j * generator.random((coils, coils)))
    mixing *= np.geomspace(1, 8, coils)[:, None]
    return np.tensordot(mixing, random_complex((coils, *shape), seed=seed + 1), 1).astype(np.complex64), mixing


@pytest.mark.parametrize("source", ["noise scan", "outer k-space"])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_whitened_noise_is_white(source: str, scale: float) -> None:
    coils = 6
    noise, mixing = correlated_noise(coils, (96, 80), seed=4)
    kspace = torch.from_numpy((noise + 100 * low_rank_kspace(coils, 3, 96, 80)) * np.float32(scale))
    scan = torch.from_numpy(correlated_noise(coils, (4096,), seed=4)[0] * np.float32(scale))
    _, done = prewhiten(kspace, scan if source == "noise scan" else None)
    assert done.source == source
    # what the estimated weights make of the true covariance; its error from n samples is about sqrt(C / n)
    covariance = 2 * scale**2 * mixing @ mixing.conj().T
    matrix = done.matrix.numpy().astype(np.complex128)
    white = matrix @ covariance @ matrix.conj().T / done.sigma**2
    assert abs(white - np.eye(coils)).max() < 5 * np.sqrt(coils / done.samples)
    assert done.sigma == pytest.approx(np.sqrt(np.trace(covariance).real / coils), rel=0.1)
    assert done.attributes()["prewhitening_samples"] == done.samples


def test_white_noise_stays() -> None:
    kspace = torch.from_numpy(random_complex((4, 64, 64)))
    whitened, done = prewhiten(kspace, torch.from_numpy(random_complex((4, 200_000), seed=9)))
    assert done.condition < 1.05
    assert (whitened - kspace).abs().max() < 0.05 * kspace.abs().max()


def test_dead_coil_stays_dead() -> None:
    kspace = torch.from_numpy(random_complex((4, 64, 64)))
    kspace[2] = 0
    whitened, _ = prewhiten(kspace)
    assert not whitened[2].any()
    assert torch.isfinite(torch.view_as_real(whitened)).all()


def test_unmeasured_samples_are_no_noise() -> None:
    kspace = torch.from_numpy(random_complex((3, 64, 64)))
    mask = torch.arange(64) % 4 == 0
    by_zeros = prewhiten(kspace * mask)[1]
    by_mask = prewhiten(kspace, mask=mask)[1]
    assert by_zeros.samples == by_mask.samples
    assert torch.equal(by_zeros.matrix, by_mask.matrix)


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (torch.ones(3, 100, dtype=torch.complex64), r"noise: expected complex \(4, samples\)"),
        (torch.ones(4, 100), r"noise: expected complex \(4, samples\)"),
        (torch.ones(4, 10, dtype=torch.complex64), "noise: expected at least 32 noise samples"),
        (torch.ones(4, 100, dtype=torch.complex64), "noise: expected coils with noise of their own"),
    ],
)
def test_bad_noise_is_one_clear_line(noise: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        prewhiten(torch.from_numpy(random_complex((4, 16, 16))), noise)
