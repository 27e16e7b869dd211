"""Dataclasses of options: made from mappings, and checked field by field."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_type_hints

from ugodit.errors import InputError


def checked_fields(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` if every name is a field of the dataclass `cls` and every value has its type; else InputError."""
    if not isinstance(values, Mapping):
        raise InputError(f"expected a table of {cls.__name__} options, got {values!r}")
    hints = get_type_hints(cls)
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints:
            raise InputError(f"{name}: unknown option{did_you_mean(name, hints)}; expected one of {', '.join(hints)}")
        wanted = hints[name]
        if wanted is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**1000:
            value = float(value)
        if wanted in (int, float, str, bool) and type(value) is not wanted:
            raise InputError(f"{name}: expected {wanted.__name__}, got {value!r}")
        checked[name] = value
    return checked


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """', did you mean NAME?' for the known name that is most like a misspelt one; '' where none is."""
    close = difflib.get_close_matches(name, list(known), 1)
    return f", did you mean {close[0]}?" if close else ""


def check_choices(config: object) -> None:
    """InputError for a field that may only have one of a few values and has another."""
    for name, hint in get_type_hints(type(config)).items():
        allowed, value = get_args(hint), getattr(config, name)
        if allowed and value not in allowed:
            raise InputError(f"{name}: expected one of {', '.join(allowed)}, got {value!r}")


def check_range(config: object, name: str, low: float, high: float | None = None) -> None:
    """InputError for a field outside [low, high], infinite or not a number."""
    value = getattr(config, name)
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name}: expected a finite number, got {value}")
    if value < low or (high is not None and value > high):
        wanted = f"{low} or more" if high is None else f"{low} to {high}"
        raise InputError(f"{name}: expected {wanted}, got {_number(value)}")


def check_most(config: object, limits: Mapping[str, float]) -> None:
    """InputError for a field above its limit: more would not end, not fit into memory, or leave single precision."""
    for name, most in limits.items():
        value = getattr(config, name)
        if value > most:
            raise InputError(f"{name}: expected at most {most:g}, got {_number(value)}")


def check_positive(config: object, *names: str) -> None:
    """InputError for a field that is not a finite number above 0, or too small for single precision."""
    for name in names:
        if not 1e-30 < getattr(config, name) < math.inf:
            raise InputError(f"{name}: expected a finite number above 0, got {_number(getattr(config, name))}")


def _number(value: float) -> str:
    """As it is, unless it has thousands of digits."""
    return str(value) if abs(value) < 1e30 else "a number beyond 1e30"
