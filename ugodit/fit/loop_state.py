"""Taking the state of a loop, and putting it back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ugodit.errors import InputError
from ugodit.fit.checkpoint import DECODERS, LoopState

if TYPE_CHECKING:
    from ugodit.fit.group_state import GroupState
    from ugodit.fit.loop import Loop

MOMENTS = ("exp_avg", "exp_avg_sq")
"""What Adam keeps of each parameter, beside the number of steps."""


def take_state(loop: Loop, iteration: int, seconds: float) -> LoopState:
    """The state after this step, which so many seconds have led to."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in _parameters(loop):
        tensors[f"weights.{name}"] = parameter
        for moment, value in loop.optimizer.state.get(parameter, {}).items():
            tensors[f"adam.{moment}.{name}"] = value
    # Until an error was lowest, the best are the averages themselves.
    with_best = loop.stopping is not None and loop.stopping.best_error < math.inf
    tensors |= {f"average.{name}": weight for name, weight in loop.average_weights.items()}
    tensors |= {f"best.{name}": weight for name, weight in loop.best_weights.items() if with_best}
    for place, state in zip(loop.places, loop.states, strict=True):
        tensors |= {f"scan{place}.{name}": value for name, value in _of_scan(loop, state, with_best).items()}
    tensors |= {name: generator.get_state() for name, generator in _generators(loop)}
    values: dict[str, Any] = {"own_decoders": loop.own_decoders, "seconds": seconds}
    if with_best and loop.stopping is not None:
        values |= {"best_error": loop.stopping.best_error, "best_iteration": loop.stopping.best_iteration}
    return LoopState(iteration, {name: one.detach().cpu().clone() for name, one in tensors.items()}, values)


@torch.no_grad()
def put_state(loop: Loop, found: LoopState) -> None:
    """Go on from this state: what was drawn before is drawn again, and everything that steps changed is replaced.

    Raises:
        InputError: a state of another loop.
    """
    if not 0 < found.iteration < loop.config.steps:
        raise InputError(f"expected a state after step 1 to {loop.config.steps - 1}, got {found.iteration}")
    if loop.form.splitting == "random":
        for _ in range(min(found.iteration, loop.config.mask_bank)):
            loop.choose()
    tensors = found.tensors
    if loop.own_decoders and loop.exchange.ranks > 1:  # one process has all; its operators may hold several items
        tensors = {
            name: _rows(tensor, loop.places, name) if DECODERS in name and tensor.ndim else tensor
            for name, tensor in tensors.items()
        }
    for name, parameter in _parameters(loop):
        _copy(parameter, tensors, f"weights.{name}")
        if f"adam.step.{name}" in tensors:  # else no loss depends on it
            own = loop.optimizer.state[parameter]
            own["step"] = torch.zeros((), device=parameter.device if loop.on_gpu else "cpu")
            _copy(own["step"], tensors, f"adam.step.{name}")
            if not 1 <= float(own["step"]) <= found.iteration:
                raise InputError(f"adam.step.{name}: expected up to {found.iteration}, got {float(own['step']):g}")
            for moment in MOMENTS:
                own[moment] = torch.empty_like(parameter)
                _copy(own[moment], tensors, f"adam.{moment}.{name}")
    with_best = loop.stopping is not None and "best_error" in found.values
    for name, weight in loop.average_weights.items():
        _copy(weight, tensors, f"average.{name}")
    if with_best:
        loop.best_weights = {name: weight.clone() for name, weight in loop.best_weights.items()}
        for name, weight in loop.best_weights.items():
            _copy(weight, tensors, f"best.{name}")
    for place, state in zip(loop.places, loop.states, strict=True):
        if with_best:
            state.best_average = state.best_average.clone()
        if state.fixed is None:  # in memory as the network left it, not as it was made here
            state.output = _like(state.output, tensors, f"scan{place}.output")
            if loop.form.next_input != "fixed" and not loop.form.learn_input:
                state.input = _like(state.input, tensors, f"scan{place}.input")
        for name, value in _of_scan(loop, state, with_best).items():
            _copy(value, tensors, f"scan{place}.{name}")
        state.stale = True
    for name, generator in _generators(loop):
        drawn = generator.get_state()
        _copy(drawn, tensors, name)
        try:
            generator.set_state(drawn)
        except RuntimeError as error:
            raise InputError(f"{name}: not in the checkpoint as the state of a generator") from error
    if loop.stopping is not None and "best_error" in found.values:
        loop.stopping.best_error = float(found.values["best_error"])
        loop.stopping.best_iteration = int(found.values["best_iteration"])


def _parameters(loop: Loop) -> Iterator[tuple[str, Tensor]]:
    """All that Adam moves, by name."""
    yield from ((name, one) for name, one in loop.model.named_parameters() if one.requires_grad)
    if loop.form.learn_input:
        yield from ((f"input{place}", state.input) for place, state in zip(loop.places, loop.states, strict=True))


def _generators(loop: Loop) -> Iterator[tuple[str, torch.Generator]]:
    """All that random numbers come from: the group's, and those that scans have for themselves."""
    yield "generator", loop.generator
    for place, state in zip(loop.places, loop.states, strict=True):
        if state.estimates.generator is not loop.generator:  # estimates that were made before
            yield f"scan{place}.generator", state.estimates.generator
        if state.fixed is not None:
            yield f"scan{place}.device_generator", state.fixed.generator


def _of_scan(loop: Loop, state: GroupState, with_best: bool) -> Mapping[str, Tensor]:
    """What is the scan's own."""
    found = {"output": state.output}
    if loop.form.next_input != "fixed" and not loop.form.learn_input:
        found["input"] = state.input
    if loop.form.splitting == "all":
        found["average"] = state.average
        if with_best:
            found["best_average"] = state.best_average
    return found


def _rows(tensor: Tensor, places: list[int], name: str) -> Tensor:
    if len(tensor) <= max(places):
        raise InputError(f"{name}: expected {max(places) + 1} decoders or more, got {len(tensor)}")
    return tensor[places]


def _copy(target: Tensor, tensors: Mapping[str, Tensor], name: str) -> None:
    found = tensors.get(name)
    if found is None or found.shape != target.shape or found.dtype != target.dtype:
        raise InputError(f"{name}: not in the checkpoint as {target.dtype} {tuple(target.shape)}")
    target.copy_(found)


def _like(target: Tensor, tensors: Mapping[str, Tensor], name: str) -> Tensor:
    """Memory for `_copy` in the order of the tensor that is kept."""
    found = tensors.get(name)
    same = found is not None and found.shape == target.shape
    return (
        torch.empty_strided(found.shape, found.stride(), device=target.device) if found is not None and same else target
    )
