"""The kernels on the CPU: checks arguments, allocates outputs and hands addresses to ugodit.kernels._cpu.

Packed layout: csrc/cpu/sense.h; for masks along both axes with one more axis of length 1, so that no shape belongs to
both kinds. What a module of this kind provides for its device: pack_maps, pack_kspace, scale_kspace, stack_kspace, and
on import the implementations of the ugodit::sense_* ops for its dispatch key.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from ugodit.kernels import _checks, _cpu
from ugodit.kernels._arrays import NONE, array, plain

_LANES = 16


@lru_cache(maxsize=256)
def _maps_shape(coils: int, height: int, width: int, both: bool) -> tuple[int, ...]:
    _, groups, blocks = _cpu.layout(coils=coils, height=height, width=width, both=both)
    shape = (groups, blocks, width, 2, _LANES)
    return (1, *shape) if both else shape


@lru_cache(maxsize=256)
def _kspace_shape(coils: int, height: int, width: int, both: bool) -> tuple[int, ...]:
    _, groups, blocks = _cpu.layout(coils=coils, height=height, width=width, both=both)
    return (1, blocks, width, height, 2, _LANES) if both else (groups, blocks, width, 2, _LANES)


def _shapes(batch: int, coils: int, height: int, width: int, both: bool) -> _cpu.Problem:
    """What packing is given."""
    threads = torch.get_num_threads()
    return _cpu.Problem(items=batch, coils=coils, height=height, width=width, both=both, threads=threads)


def _problem(
    batch: int, coils: int, height: int, width: int, both: bool, maps: Tensor, weights: Tensor
) -> _cpu.Problem:
    """What every other call is given, from checked and plain tensors."""
    return _cpu.Problem(
        items=batch,
        coils=coils,
        height=height,
        width=width,
        both=both,
        threads=torch.get_num_threads(),
        maps=array(maps),
        one_map=maps.shape[0] == 1,
        weights=array(weights),
        one_weight=weights.shape[0] == 1,
    )


def pack_maps(maps: Tensor, both: bool, *, half: bool = False) -> Tensor:
    if half:
        raise ValueError("half: expected False on the CPU, whose kernels read float32 maps only, got True")
    batch, coils, height, width = maps.shape
    shapes = _shapes(batch, coils, height, width, both)
    packed = torch.empty((batch, *_maps_shape(coils, height, width, both)), dtype=torch.float32)
    maps = plain(maps)
    _cpu.pack_maps(shapes, maps=array(maps), packed=array(packed))
    return packed


def pack_kspace(kspace: Tensor, both: bool) -> Tensor:
    batch, coils, height, width = kspace.shape
    shapes = _shapes(batch, coils, height, width, both)
    packed = torch.empty((batch, *_kspace_shape(coils, height, width, both)), dtype=torch.float32)
    kspace = plain(kspace)
    _cpu.pack_kspace(shapes, kspace=array(kspace), packed=array(packed))
    return packed


def scale_kspace(kspace: Tensor, factor: float, shape: tuple[int, int, int]) -> Tensor:
    return kspace * factor


def stack_kspace(kspaces: Sequence[Tensor], shape: tuple[int, int, int]) -> Tensor:
    return torch.cat(list(kspaces))


def _sense_residual(
    image: Tensor, maps: Tensor, kspace: Tensor | None, weights: Tensor, coils: int
) -> tuple[Tensor, Tensor]:
    _checks.devices("image", image=image, maps=maps, weights=weights, kspace=kspace)
    batch, height, width = _checks.image("image", image)
    both = _checks.weights(weights, batch, height, width)
    _checks.coils(coils)
    _checks.packed("maps", maps, batch, _maps_shape(coils, height, width, both))
    image, maps, weights = plain(image), plain(maps), plain(weights)
    if kspace is not None:
        _checks.packed("kspace", kspace, batch, _kspace_shape(coils, height, width, both))
        kspace = plain(kspace)
    loss = torch.empty(batch)
    gradient = torch.empty((batch, 2, height, width))
    _cpu.sense_residual(
        _problem(batch, coils, height, width, both, maps, weights),
        image=array(image),
        kspace=NONE if kspace is None else array(kspace),
        one_kspace=kspace is not None and kspace.shape[0] == 1,
        loss=array(loss),
        gradient=array(gradient),
    )
    return loss, gradient


def _sense_forward(image: Tensor, maps: Tensor, weights: Tensor, coils: int) -> Tensor:
    _checks.devices("image", image=image, maps=maps, weights=weights)
    batch, height, width = _checks.image("image", image)
    both = _checks.weights(weights, batch, height, width)
    _checks.coils(coils)
    _checks.packed("maps", maps, batch, _maps_shape(coils, height, width, both))
    image, maps, weights = plain(image), plain(maps), plain(weights)
    packed = torch.empty((batch, *_kspace_shape(coils, height, width, both)))
    problem = _problem(batch, coils, height, width, both, maps, weights)
    _cpu.sense_forward(problem, image=array(image), kspace=array(packed))
    measured = torch.empty((batch, coils, height, width, 2))
    _cpu.unpack_kspace(problem, packed=array(packed), kspace=array(measured))
    return measured


def _sense_adjoint(kspace: Tensor, maps: Tensor, weights: Tensor, coils: int) -> Tensor:
    _checks.devices("kspace", kspace=kspace, maps=maps, weights=weights)
    batch, given, height, width = _checks.coil_array("kspace", kspace, torch.float32)
    _checks.coils(coils)
    if given != coils:
        raise ValueError(f"kspace: expected {coils} coils, got {given}")
    both = _checks.weights(weights, batch, height, width)
    _checks.packed("maps", maps, batch, _maps_shape(coils, height, width, both))
    packed = pack_kspace(torch.view_as_complex(plain(kspace)), both)
    maps, weights = plain(maps), plain(weights)
    image = torch.empty((batch, 2, height, width))
    problem = _problem(batch, coils, height, width, both, maps, weights)
    _cpu.sense_adjoint(problem, kspace=array(packed), image=array(image))
    return image


def _sense_solve(
    rhs: Tensor,
    start: Tensor,
    maps: Tensor,
    weights: Tensor,
    mu: Tensor,
    coils: int,
    iterations: int,
    tolerance: float,
) -> tuple[Tensor, Tensor]:
    _checks.devices("rhs", rhs=rhs, start=start, maps=maps, weights=weights, mu=mu)
    batch, height, width = _checks.image("rhs", rhs)
    if _checks.image("start", start) != (batch, height, width):
        raise ValueError(f"start: expected the shape of rhs, {tuple(rhs.shape)}, got {tuple(start.shape)}")
    both = _checks.weights(weights, batch, height, width)
    _checks.coils(coils)
    _checks.packed("maps", maps, batch, _maps_shape(coils, height, width, both))
    _checks.solver(mu, batch, iterations, tolerance)
    if both:
        return _solve_items(rhs, start, maps, weights, mu, coils, iterations, tolerance)
    rhs, start, maps, weights, mu = plain(rhs), plain(start), plain(maps), plain(weights), plain(mu)
    solution = torch.empty((batch, 2, height, width))
    residual_norm = torch.empty(batch)
    _cpu.sense_solve(
        _problem(batch, coils, height, width, both, maps, weights),
        rhs=array(rhs),
        start=array(start),
        mu=array(mu),
        iterations=iterations,
        tolerance=tolerance,
        solution=array(solution),
        residual_norm=array(residual_norm),
    )
    return solution, residual_norm


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.einsum("bchw,bchw->b", a, b)


def _solve_items(
    rhs: Tensor,
    start: Tensor,
    maps: Tensor,
    weights: Tensor,
    mu: Tensor,
    coils: int,
    iterations: int,
    tolerance: float,
) -> tuple[Tensor, Tensor]:
    """Conjugate gradients over the normal operator where rows are not independent; each item stops by itself."""

    def normal(x: Tensor) -> Tensor:
        return torch.addcmul(_sense_residual(x, maps, None, weights, coils)[1], mu[:, None, None, None], x)

    rhs, start = plain(rhs), plain(start)
    solution = start.clone()
    residual = rhs - normal(start) if bool(start.any()) else rhs.clone()
    direction = residual.clone()
    # A mu that is not finite leaves no item as it was, and comparisons are written so that one with NaN in it goes on.
    energy = _dot(residual, residual) + 0 * mu
    target = tolerance**2 * _dot(rhs, rhs)
    active = torch.ones_like(energy, dtype=torch.bool)
    for _ in range(iterations):
        active = active & ~(energy <= target)
        if not bool(active.any()):
            break
        applied = normal(direction)
        curvature = _dot(direction, applied)
        active = active & ~(curvature <= 0)
        step = torch.where(active, energy / curvature, 0.0)[:, None, None, None]
        solution.addcmul_(step, direction)
        residual.addcmul_(step, applied, value=-1)
        renewed = torch.where(active, _dot(residual, residual), energy)
        growth = torch.where(active, renewed / energy, 0.0)[:, None, None, None]
        direction.mul_(growth).add_(residual)
        energy = renewed
    return solution, energy.sqrt()


torch.library.impl("ugodit::sense_residual", "CPU", _sense_residual)
torch.library.impl("ugodit::sense_forward", "CPU", _sense_forward)
torch.library.impl("ugodit::sense_adjoint", "CPU", _sense_adjoint)
torch.library.impl("ugodit::sense_solve", "CPU", _sense_solve)
