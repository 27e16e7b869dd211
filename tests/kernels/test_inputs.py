"""Inputs that need care are made right, inputs that are wrong are refused with the parameter's name."""

import ctypes
import multiprocessing
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.kernels.problems import problem
from ugodit import kernels

P = problem(2, 3, 5, 12)
Q = problem(2, 3, 5, 12, both=True)
MAPS, KSPACE = kernels.pack_maps(P.maps), kernels.pack_kspace(P.kspace)
MU = torch.tensor([0.1, 0.2])
# From nine coils on, packed maps of both kinds of mask hold the same number of values.
P9, Q9 = problem(2, 9, 5, 12), problem(2, 9, 5, 12, both=True)
WANTS_GRADIENT = P.maps.clone().requires_grad_()


def residual(**changes: Any) -> tuple[torch.Tensor, torch.Tensor]:
    arguments = {"image": P.image, "maps": MAPS, "kspace": KSPACE, "weights": P.weights, "coils": 3}
    return kernels.sense_residual(**(arguments | changes))


def solve(**changes: Any) -> tuple[torch.Tensor, torch.Tensor]:
    arguments = {
        "rhs": P.image,
        "start": torch.zeros_like(P.image),
        "maps": MAPS,
        "weights": P.weights,
        "mu": MU,
        "coils": 3,
        "iterations": 2,
        "tolerance": 0.0,
    }
    return kernels.sense_solve(**(arguments | changes))


def test_memory_layout_does_not_matter() -> None:
    plain = residual()
    strided = torch.stack([P.image, P.image], dim=-1)[..., 0]
    assert not strided.is_contiguous()
    negated = torch.complex(P.image, -P.image).conj().imag  # image, with torch's lazy negation
    assert negated.is_neg()
    turned = P.weights.T.contiguous().T
    for changes in ({"image": strided}, {"image": negated}, {"weights": turned}, {"maps": MAPS.mT.contiguous().mT}):
        assert all(torch.equal(a, b) for a, b in zip(residual(**changes), plain, strict=True))
    conjugated = P.maps.conj().resolve_conj().conj()
    assert conjugated.is_conj()
    assert torch.equal(kernels.pack_maps(conjugated), MAPS)
    assert torch.equal(kernels.pack_maps(P.maps.transpose(1, 2).contiguous().transpose(1, 2)), MAPS)
    assert torch.equal(kernels.pack_kspace(P.kspace.mT.contiguous().mT), KSPACE)


def test_inputs_are_left_alone() -> None:
    before = [tensor.clone() for tensor in (P.image, MAPS, KSPACE, P.weights, MU)]
    residual()
    solve()
    for tensor, copy in zip((P.image, MAPS, KSPACE, P.weights, MU), before, strict=True):
        assert torch.equal(tensor, copy)


@pytest.mark.parametrize("both", [False, True])
def test_a_solve_returns_contiguous_memory_of_its_own(both: bool) -> None:
    p = Q if both else P
    maps, start = kernels.pack_maps(p.maps, p.masked_along), p.image.mT.contiguous().mT
    for iterations in (0, 2):
        solution, _ = kernels.sense_solve(p.image, start, maps, p.weights, MU, 3, iterations)
        assert solution.is_contiguous()
        assert solution.data_ptr() != start.data_ptr()


WRONG: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: residual(image=P.image.double()), TypeError, "image: expected dtype torch.float32, got torch.float64"),
    (lambda: residual(image=P.image.numpy()), TypeError, "image: expected a torch.float32 tensor, got ndarray"),
    (lambda: residual(image=P.image[:, :1]), ValueError, r"image: expected shape \(B, 2, H, W\)"),
    (lambda: residual(image=P.image[0]), ValueError, "image: expected shape"),
    (lambda: residual(image=P.image[:0]), ValueError, "image: expected shape"),
    (lambda: residual(image=P.image[..., :11]), ValueError, "weights: expected shape"),
    (lambda: residual(maps=P.maps), TypeError, "maps: expected dtype torch.float32, got torch.complex64"),
    (lambda: residual(maps=MAPS[:, :1]), ValueError, "maps: expected what pack_maps makes"),
    (lambda: residual(maps=torch.cat([MAPS, MAPS])), ValueError, "maps: expected what pack_maps makes"),
    (lambda: residual(maps=kernels.pack_maps(Q.maps, "both")), ValueError, "maps: expected what pack_maps makes"),
    (lambda: residual(kspace=P.kspace), TypeError, "kspace: expected dtype"),
    (lambda: residual(kspace=KSPACE[..., :8]), ValueError, "kspace: expected what pack_kspace makes"),
    (lambda: residual(weights=P.weights > 0), TypeError, "weights: expected dtype torch.float32, got torch.bool"),
    (lambda: residual(weights=P.weights[0]), ValueError, "weights: expected shape"),
    (lambda: residual(weights=P.weights[:, :11]), ValueError, "weights: expected shape"),
    (lambda: residual(weights=torch.ones(3, 12)), ValueError, "weights: expected shape"),
    (lambda: residual(weights=Q.weights), ValueError, "maps: expected what pack_maps makes"),
    (lambda: residual(weights=P.weights.to("meta")), ValueError, "weights: expected device cpu"),
    (lambda: residual(coils=5), ValueError, "maps: expected what pack_maps makes"),
    (lambda: residual(coils=0), ValueError, "coils: expected 1 to 1073741824, got 0"),
    (lambda: residual(coils=3.0), TypeError, "coils: expected an int, got float"),
    (lambda: solve(start=P.image[:1]), ValueError, "start: expected the shape of rhs"),
    (lambda: solve(start=P.image.half()), TypeError, "start: expected dtype"),
    (lambda: solve(mu=0.1), TypeError, "mu: expected a torch.float32 tensor, got float"),
    (lambda: solve(mu=MU[:1]), ValueError, r"mu: expected shape \(2,\)"),
    (lambda: solve(iterations=-1), ValueError, "iterations: expected 0 to 1073741824, got -1"),
    (lambda: solve(tolerance=float("nan")), ValueError, "tolerance: expected a finite value"),
    (lambda: solve(tolerance=-1.0), ValueError, "tolerance: expected a finite value"),
    (lambda: kernels.sense_forward(P.image, MAPS, P.weights.half(), 3), TypeError, "weights: expected dtype"),
    (lambda: kernels.sense_forward(P.image, MAPS[:, :, :, :11], P.weights, 3), ValueError, "maps: expected what"),
    (lambda: kernels.sense_adjoint(P.kspace, MAPS, P.weights, 3), TypeError, "kspace: expected dtype"),
    (lambda: kernels.sense_adjoint(P.image, MAPS, P.weights, 3), ValueError, r"kspace: expected shape \(B, C, H, W, 2"),
    (
        lambda: kernels.sense_adjoint(torch.view_as_real(P.kspace[:, :2]), MAPS, P.weights, 3),
        ValueError,
        "kspace: expected 3 coils, got 2",
    ),
    (lambda: kernels.pack_maps(P.maps.to(torch.complex128)), TypeError, "maps: expected dtype torch.complex64"),
    (lambda: kernels.pack_maps(P.maps[0]), ValueError, r"maps: expected shape \(B, C, H, W\)"),
    (lambda: kernels.pack_maps(P.maps, "height"), ValueError, 'masked_along: expected "width" or "both"'),
    (lambda: kernels.pack_maps(torch.ones(1, 1, 1, 131 * 137, dtype=torch.complex64)), ValueError, "length 17947"),
    (lambda: kernels.pack_kspace(torch.ones(1, 1, 1, 131 * 131, dtype=torch.complex64)), ValueError, "length 17161"),
    (lambda: kernels.pack_maps(WANTS_GRADIENT), ValueError, "maps: expected a tensor that does not require grad"),
    (lambda: kernels.pack_kspace(WANTS_GRADIENT), ValueError, "kspace: expected a tensor that does not require grad"),
    (lambda: residual(weights=P.weights.clone().requires_grad_()), ValueError, "weights: expected a tensor that does"),
    (
        lambda: kernels.sense_forward(P9.image, kernels.pack_maps(P9.maps, "both"), P9.weights, 9),
        ValueError,
        "maps: expected what pack_maps makes",
    ),
    (
        lambda: kernels.sense_forward(Q9.image, kernels.pack_maps(Q9.maps), Q9.weights, 9),
        ValueError,
        "maps: expected what pack_maps makes",
    ),
    (
        lambda: kernels.stack_kspace([KSPACE, kernels.pack_kspace(Q.kspace, "both")], (3, 5, 12)),
        ValueError,
        "kspaces: expected",
    ),
    (lambda: kernels.stack_kspace([], (3, 5, 12)), ValueError, "kspaces: expected at least one"),
    (lambda: kernels.pack_maps(P.maps.to("meta")), ValueError, "on meta"),
    (lambda: kernels.pack_kspace(torch.view_as_real(P.kspace)), TypeError, "kspace: expected dtype"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG, ids=range(len(WRONG)))
def test_wrong_inputs_are_refused(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def _send_residual(queue: Any) -> None:
    torch.set_num_threads(2)
    queue.put([tensor.numpy() for tensor in residual()])


def test_a_forked_process_works(threads: None) -> None:
    """The pool's threads do not exist in a child: it must start its own instead of waiting for them."""
    torch.set_num_threads(2)
    expected = residual()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_send_residual, args=(queue,))
    child.start()
    got = queue.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    assert all(torch.equal(torch.from_numpy(a), b) for a, b in zip(got, expected, strict=True))


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "GOMP_parallel"), reason="this torch brings no OpenMP runtime")
def test_no_threads_beside_torchs(threads: None) -> None:
    torch.set_num_threads(2)
    torch.rand(1 << 20).sin_()  # starts torch's
    before = len(os.listdir("/proc/self/task"))
    residual()
    assert len(os.listdir("/proc/self/task")) == before


def test_calls_from_several_threads_at_once(threads: None) -> None:
    torch.set_num_threads(2)
    expected = residual()
    wrong: list[object] = []

    def work() -> None:
        results = [residual() for _ in range(50)]
        wrong.extend(result for result in results if not all(map(torch.equal, result, expected)))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
