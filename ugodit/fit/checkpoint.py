"""The state of a fit in mid-run, and the file that keeps it: what a run that goes on needs to give the same bits.

Initial estimates and the bank of splits are not in it: they are made again, from the same seeds. Safetensors with JSON;
no pickle is ever read.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from ugodit.errors import InputError, named
from ugodit.io.atomic import write_file
from ugodit.io.files import read_bytes

FORMAT = "ugodit checkpoint 2"
MAX_BYTES = 1 << 30
"""Where the caller does not know what it expects."""
DECODERS = "network.decoder."
"""In the names of tensors that have a row for each decoder."""


@dataclass(frozen=True)
class LoopState:
    """A fit after some step. Tensors are on the CPU, in memory as they were: in another order sums round otherwise."""

    iteration: int
    tensors: Mapping[str, Tensor]
    """weights.NAME, average.NAME, best.NAME, adam.MOMENT.NAME; of the scan at place N of the group scanN.NAME."""
    values: Mapping[str, Any]
    """Numbers that JSON knows."""

    def to_bytes(self, key: str = "") -> bytes:
        """As a file holds it. key: a digest of the settings."""
        texts = {"format": FORMAT, "key": key, "iteration": str(self.iteration), "values": json.dumps(self.values)}
        strides = {name: tensor.stride() for name, tensor in self.tensors.items() if not tensor.is_contiguous()}
        texts["strides"] = json.dumps(strides)
        texts["sha256"] = _digest(texts, self.tensors)
        return bytes(to_bytes({name: tensor.contiguous() for name, tensor in self.tensors.items()}, texts))

    @classmethod
    def of_ranks(cls, parts: Sequence[bytes]) -> LoopState:
        """The state of a group from those of its processes, as bytes; process r has the scans at r, r + R, ..."""
        found = [cls._of(_texts(part), from_bytes(part)) for part in parts]
        first = found[0]
        tensors: dict[str, Tensor] = {}
        for one in found:
            tensors.update(one.tensors)
        for name, tensor in first.tensors.items():
            if first.values["own_decoders"] and DECODERS in name and tensor.ndim:
                tensors[name] = interleaved([one.tensors[name] for one in found])
        return cls(first.iteration, tensors, first.values)

    @classmethod
    def _of(cls, texts: Mapping[str, str], tensors: dict[str, Tensor]) -> LoopState:
        """From what is in a file."""
        for name, stride in json.loads(texts["strides"]).items():
            tensor = tensors[name]
            if not _is_dense(tensor.shape, stride):  # no other is ever kept, and it might take any memory
                raise ValueError("strides")
            tensors[name] = torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype).copy_(tensor)
        iteration, values = int(texts["iteration"]), json.loads(texts["values"])
        if not 0 < iteration < 1 << 31 or not _are_values(values):
            raise ValueError("values")
        return cls(iteration, tensors, values)

    def save(self, path: Path, key: str) -> None:
        """Write the file, whole or not at all. OutputError where that fails."""
        write_file(path, self.to_bytes(key))

    @classmethod
    def from_bytes(cls, content: bytes) -> tuple[LoopState, str]:
        """What `to_bytes` made: the state, and the digest of the settings that it belongs to.

        InputError for anything else.
        """
        try:
            tensors, texts = from_bytes(content), _texts(content)
            if texts["format"] != FORMAT or texts.pop("sha256") != _digest(texts, tensors):
                raise ValueError("the digest is another")
            return cls._of(texts, tensors), texts["key"]
        except (SafetensorError, LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            # RecursionError, of lists within lists, is a RuntimeError.
            raise InputError("expected a checkpoint of `ugodit train`, got another or a damaged file") from error

    @classmethod
    def load(cls, path: Path, limit: int = MAX_BYTES) -> tuple[LoopState, str]:
        """The content of a file of at most so many bytes, as `from_bytes`. InputError, which names the file."""
        content = read_bytes(path, "a checkpoint", limit)
        with named(str(path)):
            return cls.from_bytes(content)


def _is_dense(shape: Sequence[int], stride: Sequence[int]) -> bool:
    """Whether elements fill their memory, none of it twice."""
    expected = 1
    for step, size in sorted(pair for pair in zip(stride, shape, strict=True) if pair[1] > 1):
        if step != expected:
            return False
        expected *= size
    return all(0 <= step < 1 << 40 for step in stride)


def _are_values(values: Any) -> bool:
    """Whether these are what `loop_state.take_state` puts beside the tensors."""
    kinds: dict[str, tuple[type, ...]] = {"own_decoders": (bool,), "seconds": (int, float)}
    if isinstance(values, dict) and ("best_error" in values or "best_iteration" in values):
        kinds |= {"best_error": (int, float), "best_iteration": (int,)}
    return (
        isinstance(values, dict)
        and values.keys() == kinds.keys()
        and all(type(value) in kinds[name] and math.isfinite(value) for name, value in values.items())
    )


def interleaved(parts: Sequence[Tensor]) -> Tensor:
    """Rows r, r + R, ... from part r of R."""
    whole = torch.empty((sum(map(len, parts)), *parts[0].shape[1:]), dtype=parts[0].dtype)
    for rank, part in enumerate(parts):
        whole[rank :: len(parts)] = part
    return whole


def _digest(texts: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(texts, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _texts(content: bytes) -> dict[str, str]:
    """The metadata of a safetensors file."""
    length = int.from_bytes(content[:8], "little")
    found: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return found
