"""What an operator has to be, whatever it measures: a list of its faults, empty for one that keeps the protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from ugodit.operators import LinearOperator, Operator

# Single precision, and sums over a few thousand numbers of order one.
TOLERANCE = 2e-5


def faults(operator: Any, iterations: int = 60, *, initial_is_adjoint: bool = True) -> list[str]:
    """The names of the checks below that the operator does not pass.

    iterations: enough to solve it exactly. initial_is_adjoint: of a linear one, whether its initial image is A^H y.
    """
    checks: dict[str, Callable[[Any], bool]] = {
        "protocol": lambda one: isinstance(one, Operator) and one.domain.channels == one.shape[1],
        "support": _support,
        "energy": lambda one: _close(one.data_consistency(torch.zeros(one.shape)), one.energy()),
        "gradient": _gradient,
        "proximal": lambda one: _proximal(one, iterations),
        "derivatives": lambda one: _derivatives(one, iterations),
        "parts": _parts,
        "sharing": _sharing,
        "seeds": _seeds,
        "scaled": _scaled,
        "items": _items,
        "noise": lambda one: one.noise_variance().shape == (one.shape[0],),
    }
    if isinstance(operator, LinearOperator):
        checks |= {"adjoint": _adjoint, "normal": _normal, "residual": _residual}
        checks["initial"] = _initial_is_adjoint if initial_is_adjoint else _initial
    return [name for name, check in checks.items() if not check(operator)]


def random_image(operator: Operator, seed: int = 1) -> Tensor:
    return torch.randn(operator.shape, generator=torch.Generator().manual_seed(seed))


def _close(found: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> bool:
    return found.shape == expected.shape and float((found - expected).norm()) <= tolerance * float(expected.norm())


def _support(operator: Operator) -> bool:
    items, _, height, width = operator.shape
    support = operator.support
    if support.dtype != torch.bool or support.shape != (items, 1, height, width):
        return False
    # Outside, the measurements say nothing about the image.
    image = random_image(operator)
    return _close(operator.data_consistency(image * support), operator.data_consistency(image))


def _adjoint(operator: LinearOperator) -> bool:
    image = random_image(operator)
    measured = operator.forward(image)
    other = torch.randn(measured.shape, generator=torch.Generator().manual_seed(2))
    left = (measured * other).double().sum()
    right = (image * operator.adjoint(other)).double().sum()
    # Relative to the norms: the products themselves may cancel.
    return abs(float(left - right)) <= TOLERANCE * float(measured.norm() * other.norm())


def _normal(operator: LinearOperator) -> bool:
    image = random_image(operator)
    return _close(operator.normal(image), operator.adjoint(operator.forward(image)))


def _initial_is_adjoint(operator: LinearOperator) -> bool:
    """A^H y, which is what the gradient of an empty image points away from."""
    return _close(operator.initial(), -operator.gradient(torch.zeros(operator.shape)))


def _initial(operator: LinearOperator) -> bool:
    """An image that explains more of the measurements than an empty one does."""
    initial = operator.initial()
    return initial.shape == operator.shape and bool((operator.data_consistency(initial) < operator.energy()).all())


def _residual(operator: LinearOperator) -> bool:
    """A^H (A x - y) from its parts."""
    image, empty = random_image(operator), torch.zeros(operator.shape)
    return _close(operator.gradient(image), operator.normal(image) + operator.gradient(empty))


def _gradient(operator: Operator) -> bool:
    image = random_image(operator).requires_grad_()
    (found,) = torch.autograd.grad(operator.data_consistency(image).sum(), image)
    return _close(operator.gradient(image.detach()), found / 2)


def _proximal(operator: Operator, iterations: int) -> bool:
    """Where |A x - y|^2 + mu |x - u|^2 is least its gradient is zero, for mu of each item."""
    image = random_image(operator)
    mu = torch.linspace(0.3, 0.7, operator.shape[0])
    solved = operator.proximal(image, mu, iterations)
    left = operator.gradient(solved) + mu.view(-1, 1, 1, 1) * (solved - image)
    same = operator.proximal(image, 0.3, iterations)
    left_of_same = operator.gradient(same) + 0.3 * (same - image)
    size = TOLERANCE * float((operator.gradient(image)).norm() + image.norm())
    return float(left.norm()) <= size and float(left_of_same.norm()) <= size


def _derivatives(operator: Operator, iterations: int) -> bool:
    """In image and mu, against differences of the solution."""
    image = random_image(operator).requires_grad_()
    mu = torch.linspace(0.3, 0.7, operator.shape[0]).requires_grad_()
    weight, direction = random_image(operator, 3), random_image(operator, 4)
    solved = operator.proximal(image, mu, iterations)
    if not solved.requires_grad:
        return False
    of_image, of_mu = torch.autograd.grad((solved * weight).sum(), (image, mu), allow_unused=True)
    if of_image is None or of_mu is None:
        return False

    def value(image: Tensor, mu: Tensor) -> Tensor:
        with torch.no_grad():
            return (operator.proximal(image, mu, iterations) * weight).double().sum()

    base, lengths = image.detach(), mu.detach()
    # Linear in the image: any step is right. In mu the step's square is left, and rounding over the step.
    along_image = (value(base + direction, lengths) - value(base - direction, lengths)) / 2
    along_mu = (value(base, lengths + 0.02) - value(base, lengths - 0.02)) / 0.04
    close_in_image = abs(float((of_image * direction).double().sum() - along_image)) <= 1e-3 * abs(float(along_image))
    return close_in_image and abs(float(of_mu.double().sum() - along_mu)) <= 2e-2 * abs(float(along_mu))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _parts(operator: Operator) -> bool:
    """Every measurement is seen or held out, and none is both."""
    image = random_image(operator)
    for fraction in (0.2, 0.5, 0.9):
        seen, held_out = operator.split(fraction, _generator(0))
        both = (seen, held_out)
        if not all(bool((part.samples() > 0).all()) for part in both):
            return False
        if not torch.equal(seen.samples() + held_out.samples(), operator.samples()):
            return False
        for question in (lambda one: one.energy(), lambda one: one.data_consistency(image)):
            if not _close(question(seen) + question(held_out), question(operator)):
                return False
        if not _close(seen.gradient(image) + held_out.gradient(image), operator.gradient(image)):
            return False
    counts = [operator.split(fraction, _generator(0))[1].samples().sum() for fraction in (0.1, 0.9)]
    return bool(counts[0] < counts[1])


def _sharing(operator: Operator) -> bool:
    """Splits differ in tensors of one shape, and share all others: those are most of the memory."""
    parts = [part for seed in (0, 1) for part in operator.split(0.4, _generator(seed))]
    shared = own = 0
    for field in fields(operator):  # type: ignore[arg-type]
        values = [getattr(part, field.name) for part in parts]
        if not isinstance(values[0], Tensor):
            if any(value != values[0] for value in values):
                return False
        elif all(value is values[0] for value in values):
            shared += values[0].numel()
        elif len({(value.shape, value.dtype) for value in values}) > 1:
            return False
        else:
            own += values[0].numel()
    return own < shared


def _seeds(operator: Operator) -> bool:
    """A seed gives the same split; other seeds, and later draws from one generator, give others."""

    def held_out(generator: torch.Generator) -> Tensor:
        return operator.split(0.4, generator)[1].gradient(random_image(operator))

    generator = _generator(0)
    first, later = held_out(generator), held_out(generator)
    if not torch.equal(held_out(_generator(0)), first):
        return False
    return not torch.equal(first, later) and not torch.equal(held_out(_generator(1)), first)


def _scaled(operator: Operator) -> bool:
    image, scaled = random_image(operator), operator.scaled(3.0)
    return (
        _close(scaled.data_consistency(3 * image), 9 * operator.data_consistency(image))
        and _close(scaled.initial(), 3 * operator.initial())
        and _close(scaled.energy(), 9 * operator.energy())
    )


def _items(operator: Operator) -> bool:
    """Items of a batch are what they are alone, in the order asked for."""
    twice = type(operator).stack([operator, operator.scaled(2.0)])
    count = operator.shape[0]
    if twice.shape != (2 * count, *operator.shape[1:]):
        return False
    image = random_image(twice)
    for place, item in enumerate(order := [2 * count - 1, 0]):
        alone = (operator if item < count else operator.scaled(2.0)).select([item % count])
        together, mine = twice.select(order), image[place : place + 1]
        chosen = image[: len(order)]
        for question in (lambda one, x: one.data_consistency(x), lambda one, x: one.gradient(x)):
            if not _close(question(together, chosen)[place : place + 1], question(alone, mine)):
                return False
            if not _close(question(twice, image)[item : item + 1], question(alone, image[item : item + 1])):
                return False
    return torch.equal(twice.samples(), operator.samples().repeat(2))
