"""ESPIRiT against sigpy, BART, LAPACK in double precision, and the coils that made the data."""

import math
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from helpers import centred_fft, data_folder

from ugodit.calibration import estimate_maps, estimate_maps_and_eigenvalues, low_resolution_maps, maps_from_block
from ugodit.calibration.espirit import image_operator, row_space
from ugodit.calibration.region import calibration_data
from ugodit.errors import InputError
from ugodit.io.cfl import read_cfl, write_cfl
from ugodit.kernels import _cpu
from ugodit.kernels.calibration import espirit_maps_

SCANS = ["brain_eye_level_8ch_256x256", "brain_t1_a_8ch_230x180", "brain_t1_b_8ch_230x180", "brain_lowres_16ch_96x96"]


def smooth_coils(coils: int, height: int, width: int) -> np.ndarray:
    """Coils on a circle round the field of view, complex, sum of squares one, as smooth as real ones."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    angle = 2 * np.pi * np.arange(coils)[:, None, None] / coils
    dy, dx = y - 1.4 * np.sin(angle), x - 1.4 * np.cos(angle)
    maps = np.exp(1j * (angle + np.arctan2(dy, dx) + 0.5 * x)) / (dy**2 + dx**2 + 0.2)
    return maps / np.sqrt((abs(maps) ** 2).sum(0))


def simulated(coils: int, height: int, width: int, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """K-space complex64 of a textured ellipse with smooth phase, and its coils."""
    generator = np.random.default_rng(seed)
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    inside = (x / 0.7) ** 2 + (y / 0.8) ** 2 < 1
    image = inside * (1 + 0.5 * np.sin(9 * x + 4 * y) * np.cos(7 * y)) * np.exp(1j * x * y)
    maps = smooth_coils(coils, height, width)
    kspace = centred_fft(maps * image)
    kspace += noise * (generator.standard_normal(kspace.shape) + 1j * generator.standard_normal(kspace.shape))
    return kspace.astype(np.complex64), maps


def real_scan(name: str) -> np.ndarray:
    with h5py.File(data_folder() / "mri" / f"{name}.h5") as file:
        return file["kspace"][0]


def aligned_difference(maps: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Norm over coils of maps - truth after removing the common phase, at each pixel."""
    phase = np.exp(1j * np.angle((truth.conj() * maps).sum(-3, keepdims=True)))
    return np.linalg.norm(maps - truth * phase, axis=-3)


def exact_operator(correlations: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(H, W, C, C) by the definition, complex128."""
    reach = correlations.shape[0] // 2
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float64)

    def waves(length: int) -> torch.Tensor:
        angles = 2 * torch.pi * (torch.arange(length) - length // 2)[:, None] * offsets / length
        return torch.polar(torch.ones_like(angles), angles)

    return torch.einsum("hu,wv,uvcd->hwcd", waves(height), waves(width), correlations)


def random_correlations(coils: int, kernels: int, width: int = 6) -> torch.Tensor:
    rows = torch.linalg.qr(torch.randn(coils * width**2, kernels, dtype=torch.complex128))[0].mT
    return image_operator(rows, coils, width)


@pytest.fixture(params=_cpu.variants())
def variant(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set's copy of the kernel that this processor can run."""
    before = _cpu.selected_variant()
    _cpu.select_variant(request.param)
    yield request.param
    _cpu.select_variant(before)


@pytest.mark.parametrize("coils", [1, 2, 3, 7, 8, 15, 16, 17, 32])
def test_eigenpairs_agree_with_lapack(coils: int, variant: str) -> None:
    height, width, sets = 9, 21, min(coils, 2)  # 21 columns: full and partial vectors of 4, 8 and 16 lanes
    correlations = random_correlations(coils, 4 * coils)
    maps = torch.full((sets, coils, height, width), math.nan, dtype=torch.complex64)
    eigenvalues = torch.full((sets, height, width), math.nan)
    reference = torch.randn(coils, dtype=torch.complex64)
    espirit_maps_(maps, eigenvalues, correlations, reference, -1.0)
    operator = exact_operator(correlations, height, width)
    exact = torch.linalg.eigvalsh(operator).flip(-1)
    for s in range(sets):
        # Householder reductions are backward stable: errors of a few float32 roundings (6e-8) times the matrix's norm
        # (at most 1), growing slowly with C. Residual and eigenvalue errors are bounded by that whatever the gaps.
        assert (eigenvalues[s] - exact[..., s]).abs().max() < 1e-6
        x = maps[s].movedim(0, -1).to(torch.complex128)
        residual = torch.einsum("hwcd,hwd->hwc", operator, x) - eigenvalues[s, ..., None] * x
        assert torch.linalg.vector_norm(residual, dim=-1).max() < 2e-6
        assert (maps[s].abs().square().sum(0) - 1).abs().max() < 5e-6
        projection = torch.einsum("c,chw->hw", reference.conj(), maps[s])
        assert projection.imag.abs().max() < 5e-6
        assert projection.real.min() >= -5e-6


def test_equal_eigenvalues_and_empty_operators(variant: str) -> None:
    """Where all eigenvalues coincide, or are zero, any vector will do, but nothing may overflow or divide by zero."""
    coils = 5
    for level in (0.0, 1e-20, 1.0):
        correlations = torch.zeros(3, 3, coils, coils, dtype=torch.complex128)
        correlations[1, 1] = level * torch.eye(coils)
        maps, eigenvalues = torch.empty(2, coils, 4, 5, dtype=torch.complex64), torch.empty(2, 4, 5)
        espirit_maps_(maps, eigenvalues, correlations, torch.ones(coils, dtype=torch.complex64), -1.0)
        assert torch.isfinite(torch.view_as_real(maps)).all()
        assert (eigenvalues - level).abs().max() < 1e-6
    espirit_maps_(maps, eigenvalues, correlations * 0, torch.ones(coils, dtype=torch.complex64), 0.5)
    assert not maps.any()


def test_threads_change_nothing() -> None:
    kspace = torch.from_numpy(simulated(7, 45, 37, noise=0.02)[0])
    results = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        results.append(estimate_maps_and_eigenvalues(kspace, 24))
    for maps, eigenvalues in results[1:]:
        assert torch.equal(maps, results[0][0])
        assert torch.equal(eigenvalues, results[0][1])


@pytest.mark.parametrize("shape", [(64, 64), (65, 48), (50, 75), (31, 33)])
@pytest.mark.parametrize("coils", [1, 4, 8])
def test_finds_the_coils_that_made_the_data(coils: int, shape: tuple[int, int]) -> None:
    kspace, truth = simulated(coils, *shape)
    maps, eigenvalues = estimate_maps_and_eigenvalues(torch.from_numpy(kspace), 24)
    y, x = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    core = (x / 0.6) ** 2 + (y / 0.7) ** 2 < 1
    energy = maps.abs().square().sum(0).numpy()
    assert np.allclose(energy[core], 1, atol=1e-5)
    assert np.allclose(energy[energy > 0], 1, atol=1e-5)
    # These coils are not exactly band limited to the kernel's 6 samples: what they lose there decides the tolerance.
    assert np.median(aligned_difference(maps.numpy(), truth)[core]) < 0.02
    assert eigenvalues.max() < 1 + 1e-5
    assert eigenvalues.min() > -1e-6


@pytest.mark.parametrize("coils", [3, 12])
@pytest.mark.parametrize("size", [(24, 24), (40, 9), (60, 24)])
def test_row_space_agrees_with_svd(coils: int, size: tuple[int, int]) -> None:
    """Both Gram matrices, with more windows than kernel samples and fewer, span the space that the SVD finds."""
    block = torch.randn(coils, *size, dtype=torch.complex128)
    block *= torch.exp(-((torch.arange(size[0]) - size[0] // 2) ** 2) / 20.0)[:, None]
    width, threshold = 4, 0.02
    windows = block.unfold(1, width, 1).unfold(2, width, 1).permute(1, 2, 0, 3, 4).reshape(-1, coils * width**2)
    _, values, exact = torch.linalg.svd(windows, full_matrices=False)
    rows, exact = row_space(block, width, threshold), exact[values > threshold * values[0]]
    assert rows.shape == exact.shape
    # the Gram matrix squares the singular values: 1e-16 / threshold^2, times the size of a gap between neighbours
    assert (rows.mT @ rows.conj() - exact.mT @ exact.conj()).abs().max() < 1e-8


def sigpy_maps(
    block: np.ndarray, shape: tuple[int, int], threshold: float, crop: float
) -> tuple[np.ndarray, np.ndarray]:
    import sigpy.mri

    kspace = np.zeros((block.shape[0], *shape), np.complex64)
    kspace[:, shape[0] // 2 - 12 : shape[0] // 2 + 12, shape[1] // 2 - 12 : shape[1] // 2 + 12] = block
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sigpy divides 0 by 0 at zero maps
        return sigpy.mri.app.EspiritCalib(
            kspace / abs(kspace).max(), calib_width=24, thresh=threshold, kernel_width=6, crop=crop, max_iter=300,
            output_eigenvalue=True, show_pbar=False,
        ).run()  # fmt: skip


def compare(
    ours: tuple[torch.Tensor, torch.Tensor], maps: np.ndarray, values: np.ndarray, crop: float, steps: int
) -> None:
    """One set of maps (C, H, W) and eigenvalues (H, W) of another package against ours, computed for two sets.

    Where the two largest eigenvalues nearly coincide, `steps` power iterations have not converged: what is left of the
    second vector is (second / first)^steps, and such pixels, where that is above 1e-4, are left to the LAPACK test.
    """
    first, second = ours[1][0].numpy(), ours[1][1].numpy()
    converged = (second / first) ** steps < 1e-4
    clear = (abs(first - crop) > 1e-3) & converged  # on the threshold itself rounding decides
    inside = (abs(maps).sum(0) > 0) & converged & (first > crop)
    assert inside.mean() > 0.3
    assert abs(values - first)[converged].max() < 1e-3
    assert np.array_equal((abs(maps).sum(0) > 0)[clear], (abs(ours[0][0].numpy()).sum(0) > 0)[clear])
    assert aligned_difference(ours[0][0].numpy(), maps)[inside].max() < 1e-3


@pytest.mark.parametrize("source", ["random", "brain_lowres_16ch_96x96"])
def test_agrees_with_sigpy(source: str) -> None:
    kspace = simulated(6, 61, 58, noise=0.05)[0] if source == "random" else real_scan(source)
    block = calibration_data(torch.from_numpy(kspace)[None], 24, None)
    shape = kspace.shape[-2:]
    maps, values = sigpy_maps(block[0].numpy(), shape, 0.02, 0.8)
    ours = maps_from_block(block, shape, kernel_width=6, threshold=0.02, crop=0.8, sets=2)
    compare((ours[0][0], ours[1][0]), maps, values[0], 0.8, 300)


@pytest.mark.skipif(shutil.which("bart") is None, reason="needs BART (Debian package bart)")
@pytest.mark.parametrize("source", [*SCANS, "random", "many coils", "odd"])
def test_agrees_with_bart(source: str, tmp_path: Path) -> None:
    sizes = {"random": (5, 64, 52), "many coils": (32, 48, 40), "odd": (3, 57, 61)}
    kspace = simulated(*sizes[source], noise=0.05)[0] if source in sizes else real_scan(source)
    # ecalib moves its calibration region along the readout to where most energy lies: give both the same one.
    coils, height, width = kspace.shape
    columns = slice(width // 2 - 12, width // 2 + 12)
    energy = np.concatenate([[0], (abs(kspace[:, :, columns].astype(np.complex128)) ** 2).sum((0, 2)).cumsum()])
    top = int((energy[24:] - energy[:-24]).argmax())
    block = torch.from_numpy(kspace[None, :, top : top + 24, columns])
    threshold = math.sqrt(0.001)  # ecalib's -t is a ratio of squared singular values
    ours = maps_from_block(block, (height, width), kernel_width=6, threshold=threshold, crop=0.8, sets=2)
    write_cfl(tmp_path / "kspace", np.moveaxis(kspace / abs(kspace).max(), 0, -1)[:, :, None])
    # -O: LAPACK at every pixel instead of 30 steps of orthogonal iteration
    command = ["bart", "ecalib", "-O", "-r24", "-k6", "-t0.001", "-c0.8", "-m2", "kspace", "maps", "values"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    maps = read_cfl(tmp_path / "maps")[:, :, 0].reshape(height, width, coils, 2).transpose(3, 2, 0, 1)
    values = read_cfl(tmp_path / "values").reshape(height, width, 2).transpose(2, 0, 1).real
    compare((ours[0][0], ours[1][0]), maps[0], values[0], 0.8, 100)
    # The common phase refers to the same virtual coil, but for one constant.
    turn = np.angle((maps[0].conj() * ours[0][0, 0].numpy()).sum(0)[values[0] > 0.9])
    assert abs(np.exp(1j * turn).mean()) > 0.999
    assert abs(values[1] - ours[1][0, 1].numpy()).max() < 1e-3


@pytest.mark.skipif(shutil.which("bart") is None, reason="needs BART (Debian package bart)")
def test_soft_weights_agree_with_bart(tmp_path: Path) -> None:
    kspace = real_scan("brain_lowres_16ch_96x96")
    block = np.ascontiguousarray(kspace[:, 36:60, 36:60]) / abs(kspace).max()
    maps, _ = maps_from_block(
        torch.from_numpy(block)[None], (96, 96), kernel_width=6, threshold=math.sqrt(0.001), crop=0.8, soft=True
    )
    write_cfl(tmp_path / "kspace", np.moveaxis(np.pad(block, ((0, 0), (36, 36), (36, 36))), 0, -1)[:, :, None])
    command = ["bart", "ecalib", "-O", "-S", "-r24", "-c0.8", "-m1", "kspace", "maps", "values"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    theirs = read_cfl(tmp_path / "maps").reshape(96, 96, 16).transpose(2, 0, 1)
    weight, expected = np.linalg.norm(maps[0, 0], axis=0), np.linalg.norm(theirs, axis=0)
    assert abs(weight - expected).max() < 1e-3
    assert ((expected > 0) & (expected < 0.99)).mean() > 0.1  # there is an edge to compare


def test_two_sets_explain_a_folded_object() -> None:
    """An object twice as wide as the field of view: at each folded pixel two coil vectors, and both sets are needed."""
    coils, height, width = 8, 60, 96
    kspace, _ = simulated(coils, height, width)
    folded = torch.from_numpy(np.ascontiguousarray(kspace[:, :, ::2]))
    maps, eigenvalues = estimate_maps_and_eigenvalues(folded, 24, sets=2)
    assert maps.shape == (2, coils, height, width // 2)
    edge, middle = eigenvalues[1, 25:35, :3], eigenvalues[0, 25:35, 20:28]
    assert edge.min() > 0.9
    assert middle.min() > 0.99
    inner = torch.einsum("chw,chw->hw", maps[0].conj(), maps[1])
    assert inner.abs().max() < 1e-4  # orthogonal


@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_scale_does_not_matter(factor: float) -> None:
    kspace = torch.from_numpy(simulated(4, 40, 44, noise=0.01)[0])
    assert torch.allclose(estimate_maps(kspace * factor, 24), estimate_maps(kspace, 24), atol=1e-5)


def test_batch_is_slice_by_slice() -> None:
    batch = torch.stack([torch.from_numpy(simulated(4, 40, 44, noise=0.01, seed=s)[0]) for s in range(3)])
    batch[1] = 0
    maps = estimate_maps(batch, 24)
    assert maps.shape == batch.shape
    assert torch.equal(maps[2], estimate_maps(batch[2], 24))
    assert not maps[1].any()  # a slice without signal has no support


def test_dead_coil_has_no_map() -> None:
    kspace = torch.from_numpy(simulated(5, 48, 48)[0])
    kspace[3] = 0
    maps = estimate_maps(kspace, 24)
    assert maps[3].abs().max() < 1e-6
    assert maps.abs().square().sum(0)[24, 24] == pytest.approx(1, abs=1e-5)


def test_single_coil_has_unit_map() -> None:
    kspace = torch.from_numpy(simulated(1, 48, 48)[0])
    maps = estimate_maps(kspace, 24)
    assert maps[0, 24, 24] == pytest.approx(1, abs=1e-5)
    assert set(maps.abs().round(decimals=4).unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("lines", [5, 8, 10, 12])
def test_narrow_acs_still_covers_the_object(lines: int) -> None:
    """The kernel shrinks with the ACS: one nearly as wide as the ACS leaves holes inside the object."""
    kspace, _ = simulated(8, 64, 64, noise=0.01)
    mask = torch.zeros(64, dtype=torch.bool)
    mask[32 - lines // 2 : 32 - lines // 2 + lines] = True
    maps = estimate_maps(torch.from_numpy(kspace) * mask, mask=mask)
    y, x = np.meshgrid(np.linspace(-1, 1, 64), np.linspace(-1, 1, 64), indexing="ij")
    assert (maps.abs().sum(0).numpy() > 0)[(x / 0.6) ** 2 + (y / 0.7) ** 2 < 1].all()


def test_calibration_block_is_the_measured_centre() -> None:
    kspace = torch.arange(1.0, 1 + 2 * 50 * 61).reshape(1, 2, 50, 61).to(torch.complex64)
    mask = torch.zeros(61, dtype=torch.bool)
    mask[[2, 9, 50]] = True
    mask[28:35] = True  # 7 lines, 3 right of the centre 30 + 1
    expected = kspace[..., :, 28:35]
    assert torch.equal(calibration_data(kspace, None, mask), expected)  # 576 / 7 = 82 rows asked, 50 there
    assert torch.equal(calibration_data(kspace * mask, None, None), expected)
    assert torch.equal(calibration_data(kspace, 4, mask)[..., 0, :], kspace[..., 0, 28:32])
    disc = torch.zeros(50, 61, dtype=torch.bool)
    disc[25 - 8 : 25 + 8, 30 - 8 : 30 + 8] = True
    disc[::3, ::5] = True
    assert torch.equal(calibration_data(kspace, None, disc), kspace[..., 17:33, 22:38])


def test_low_resolution_maps_resemble_the_coils() -> None:
    kspace, truth = simulated(6, 64, 60)
    maps = low_resolution_maps(torch.from_numpy(kspace), 9).numpy()
    assert np.median(aligned_difference(maps, truth)[16:48, 20:40]) < 0.1
    energy = (abs(maps) ** 2).sum(0)
    assert np.allclose(energy[energy > 0], 1, atol=1e-5)


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (0, {}, "kspace: expected measured, non-zero samples round the centre"),
        (4, {}, "kspace: expected at least 5 measured lines round the centre to calibrate from, got 4"),
        (8, {"kernel_width": 9}, "kernel_width: expected from 1 to the 8 measured lines"),
        (24, {"sets": 3}, "sets: expected 1, or 2"),
        (24, {"crop": 1.0}, "crop: expected an eigenvalue below 1"),
        (24, {"threshold": 0.0}, "threshold: expected a fraction"),
        (24, {"acs_width": 0}, "acs_width: expected at least 1"),
    ],
)
def test_bad_input_is_one_clear_line(lines: int, options: dict[str, object], message: str) -> None:
    kspace = torch.ones(3, 32, 40, dtype=torch.complex64)
    mask = torch.zeros(40, dtype=torch.bool)
    mask[20 - lines // 2 : 20 - lines // 2 + lines] = True
    with pytest.raises(InputError, match=f"^{message}") as caught:
        estimate_maps(kspace * mask, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("poison", [complex("nan"), complex(0, float("inf"))])
@pytest.mark.parametrize("estimate", [estimate_maps, low_resolution_maps])
def test_poisoned_calibration_data_are_an_input_error(estimate: Callable[..., torch.Tensor], poison: complex) -> None:
    kspace = torch.from_numpy(simulated(3, 32, 32)[0])
    kspace[1, 16, 17] = poison
    with pytest.raises(InputError, match=r"^kspace: expected finite numbers round the centre"):
        estimate(kspace, 24)
    kspace[1, 16, 17] = 0
    kspace[1, 0, 0] = poison  # calibration does not look there
    assert torch.isfinite(torch.view_as_real(estimate(kspace, 24))).all()


def test_nothing_measured_is_an_input_error() -> None:
    with pytest.raises(InputError, match="non-zero samples"):
        estimate_maps(torch.zeros(3, 32, 32, dtype=torch.complex64), 24)
