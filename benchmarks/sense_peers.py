"""Ours and the others' ways to the same numbers: functions of a scan that return what is then called and timed.

Each raises Unavailable where its package is not installed.
"""

import importlib
import itertools
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from sense_scan import MU, Scan, Unavailable, channels
from torch import Tensor

from ugodit import kernels
from ugodit.data.geometry import centred_fft
from ugodit.io.cfl import read_cfl, write_cfl

Residual = Callable[[], tuple[Tensor, Tensor]]
Solve = Callable[[], Tensor]


def package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unavailable(f"{name} cannot be imported: {error}") from error


def mrpro() -> Any:
    """mrpro, with empty modules in place of torchvision where that does not load.

    A torchvision from PyPI does not beside a torch for the CPU alone, and mrpro needs it for its brain phantoms only.
    """
    names = ["torchvision", "torchvision.transforms", "torchvision.transforms.functional"]
    try:
        importlib.import_module(names[-1])
    except (ImportError, RuntimeError):  # RuntimeError: "operator torchvision::nms does not exist"
        for name in names:
            sys.modules[name] = ModuleType(name)
        for parent, child in itertools.pairwise(names):
            setattr(sys.modules[parent], child.rpartition(".")[2], sys.modules[child])
    return package("mrpro")


# ---- loss and gradient ---------------------------------------------------------------------------------------------


def our_residual(scan: Scan) -> Residual:
    return lambda: kernels.sense_residual(scan.image, scan.packed_maps, scan.packed_kspace, scan.mask, scan.coils)


def torch_residual(scan: Scan) -> Residual:
    def run() -> tuple[Tensor, Tensor]:
        image = scan.image.clone().requires_grad_()
        coil_images = scan.maps * torch.complex(image[:, 0], image[:, 1])[:, None]
        residual = scan.mask[:, None, None] * centred_fft(coil_images, (-2, -1)) - scan.kspace
        loss = torch.view_as_real(residual).square().sum()
        return loss.detach(), torch.autograd.grad(loss, image)[0] / 2

    return run


def sigpy_residual(scan: Scan) -> Residual:
    mri = package("sigpy.mri")
    maps, mask, kspace = scan.maps[0].numpy(), scan.mask.numpy(), scan.kspace[0].numpy()
    image = torch.complex(scan.image[:, 0], scan.image[:, 1])[0].numpy()
    operator = mri.linop.Sense(maps, weights=np.broadcast_to(mask, maps.shape[1:]))
    adjoint = operator.H

    def run() -> tuple[Tensor, Tensor]:
        residual = operator(image) - kspace
        gradient = torch.from_numpy(adjoint(residual))[None]
        return torch.tensor(np.vdot(residual, residual).real), channels(gradient)

    return run


def mrpro_operator(scan: Scan) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Masked forward and adjoint on (coils z y x) arrays."""
    operators = mrpro().operators
    fourier, sensitivity = operators.FastFourierOp(dim=(-2, -1)), operators.SensitivityOp(scan.maps[:, :, None])
    mask = scan.mask[:, None, None, None]

    def forward(image: Tensor) -> Tensor:
        return mask * fourier(*sensitivity(image))[0]

    def adjoint(kspace: Tensor) -> Tensor:
        return sensitivity.adjoint(*fourier.adjoint(mask * kspace))[0]

    return forward, adjoint


def mrpro_residual(scan: Scan) -> Residual:
    forward, adjoint = mrpro_operator(scan)
    image = torch.complex(scan.image[:, 0], scan.image[:, 1])[:, None, None]
    kspace = scan.kspace[:, :, None]

    def run() -> tuple[Tensor, Tensor]:
        residual = forward(image) - kspace
        loss = torch.view_as_real(residual).square().sum()
        return loss, channels(adjoint(residual)[:, 0, 0])

    return run


def mrpro_objective(scan: Scan) -> Residual:
    """As mrpro's users write it: a functional composed with the operators, and backward()."""
    operators = mrpro().operators
    masking = operators.CartesianMaskingOp(scan.mask[:, None, None, None])
    fourier, sensitivity = operators.FastFourierOp(dim=(-2, -1)), operators.SensitivityOp(scan.maps[:, :, None])
    distance = operators.functionals.L2NormSquared(scan.kspace[:, :, None])
    objective = distance @ masking @ fourier @ sensitivity
    image = torch.complex(scan.image[:, 0], scan.image[:, 1])[:, None, None]

    def run() -> tuple[Tensor, Tensor]:
        leaf = image.clone().requires_grad_()
        (loss,) = objective(leaf)
        loss.backward()
        return loss.detach(), channels(leaf.grad[:, 0, 0]) / 2

    return run


# ---- conjugate gradients -------------------------------------------------------------------------------------------


def our_solve(scan: Scan, iterations: int) -> Solve:
    rhs, mu = scan.right_hand_side(), torch.tensor([MU])
    start = torch.zeros_like(rhs)
    return lambda: kernels.sense_solve(rhs, start, scan.packed_maps, scan.mask, mu, scan.coils, iterations)[0]


def our_outer_cg(scan: Scan, iterations: int) -> Solve:
    """The textbook's loop, with one fused call an iteration."""
    rhs = scan.right_hand_side()

    def normal(x: Tensor) -> Tensor:
        return kernels.sense_residual(x, scan.packed_maps, None, scan.mask, scan.coils)[1].add_(x, alpha=MU)

    def run() -> Tensor:
        solution, residual = torch.zeros_like(rhs), rhs.clone()
        direction, energy = residual.clone(), residual.flatten().dot(residual.flatten())
        for _ in range(iterations):
            applied = normal(direction)
            step = energy / direction.flatten().dot(applied.flatten())
            solution.add_(step * direction)
            residual.sub_(step * applied)
            renewed = residual.flatten().dot(residual.flatten())
            direction.mul_(renewed / energy).add_(residual)
            energy = renewed
        return solution

    return run


def sigpy_solve(scan: Scan, iterations: int) -> Solve:
    mri = package("sigpy.mri")
    maps, kspace = scan.maps[0].numpy(), scan.kspace[0].numpy()
    weights = np.broadcast_to(scan.mask.numpy(), maps.shape[1:])

    def run() -> Tensor:
        app = mri.app.SenseRecon(kspace, maps, lamda=MU, weights=weights, max_iter=iterations, tol=0, show_pbar=False)
        return channels(torch.from_numpy(app.run())[None])

    return run


def mrpro_solve(scan: Scan, iterations: int) -> Solve:
    forward, adjoint = mrpro_operator(scan)
    cg = mrpro().algorithms.optimizers.cg
    rhs = adjoint(scan.kspace[:, :, None])

    def normal(x: Tensor) -> tuple[Tensor]:
        return (adjoint(forward(x)) + MU * x,)

    return lambda: channels(
        cg(normal, rhs, initial_value=torch.zeros_like(rhs), max_iterations=iterations, tolerance=0)[0][:, 0, 0]
    )


class Bart:
    """BART's process, files included; `reported` has the seconds that it gives itself, a number for each call."""

    def __init__(self, scan: Scan, iterations: int, folder: Path) -> None:
        # -w1: without it BART scales the data, and mu would mean something else. -d4 makes it print its time.
        options = ["-d4", "-l2", f"-r{MU}", f"-i{iterations}", "-w1"]
        self.command = ["bart", "pics", *options, "kspace", "maps", "image"]
        self.folder, self.shape, self.reported = folder, tuple(scan.image.shape[2:]), list[float]()
        for name, array in (("kspace", scan.kspace), ("maps", scan.maps)):
            write_cfl(folder / name, array[0].permute(1, 2, 0)[:, :, None].numpy())

    def __call__(self) -> Tensor:
        try:
            done = subprocess.run(self.command, cwd=self.folder, capture_output=True, text=True, check=True)
        except FileNotFoundError:
            raise Unavailable("BART is not installed (Debian package bart)") from None
        found = re.search(r"Total Time:\s*([0-9.]+)", done.stdout + done.stderr)
        self.reported.append(float(found.group(1)) if found else float("nan"))
        image = np.array(read_cfl(self.folder / "image"), order="C")
        return channels(torch.from_numpy(image).reshape(self.shape)[None])
