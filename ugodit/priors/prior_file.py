"""The file of a prior: safetensors with JSON metadata, checked to the last tensor. No pickle is ever read.

Format 1 (ugodit 0.1.0) has one training configuration of all options; format 2 has the model's form by itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from ugodit.data.limits import is_sensible
from ugodit.errors import InputError, named
from ugodit.fit.model_config import ModelConfig
from ugodit.io.atomic import write_file
from ugodit.io.files import require_regular_file
from ugodit.networks import GroupNet, NetworkConfig
from ugodit.priors.earlier_names import split_earlier

FORMAT = 2
"""Version of the file's layout. A reader refuses what is newer than itself."""

MAX_HEADER_BYTES = 1 << 24
"""Of names, shapes and metadata."""
MAX_DEPTH = 16
"""Of lists and objects within one another in the metadata."""
MAX_DECODERS = 1 << 16
MAX_EXTRA = 1024
"""Numbers in one of the small tensors beside the network."""

_PARTS = ("encoder", "decoder", "extra")
_LOG_MU = 30.0
"""|log mu| of the prior's learned weight, at most: exp of more is 0 or infinite beside anything."""


@dataclass(frozen=True)
class Contents:
    """What a prior's file holds; see `prior.Prior`."""

    network: NetworkConfig
    encoder: Mapping[str, Tensor]
    decoder: Mapping[str, Tensor]
    extra: Mapping[str, Tensor]
    model: ModelConfig
    training: Mapping[str, Any]
    provenance: Mapping[str, Any]


def contents_hash(configuration: Sequence[Any], tensors: Mapping[str, Tensor]) -> str:
    """sha256 (hexadecimal) of values that JSON knows, and of named tensors."""
    digest = hashlib.sha256(json.dumps(list(configuration), sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def write_prior(path: Path, texts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write the file under a temporary name, then rename it. InputError where it cannot be written.

    texts: values that JSON knows: network, model, training, provenance, hash. tensors: named encoder..., decoder...,
    extra...
    """
    metadata = {name: json.dumps(value, sort_keys=True) for name, value in texts.items()}
    metadata |= {"format": "ugodit prior", "format_version": str(FORMAT)}
    write_file(path, to_bytes({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata))


def read_prior(path: Path, network: NetworkConfig | None = None) -> Contents:
    """What the file holds; InputError, one line, for a file that is not a whole prior, or not of this network."""
    tensors, metadata = _read(path)
    version = _format(path, metadata)
    config = _network(path, metadata, network)
    training, origin = (_object(path, metadata, name) for name in ("training", "provenance"))
    parts = _parts(path, tensors)
    _check_tensors(path, config, parts["encoder"], parts["decoder"])
    _check_extra(path, parts["extra"])
    written: list[Any] = [_object(path, metadata, "network"), training]
    if version == 1:
        model, training = split_earlier(training)
    else:
        model = _object(path, metadata, "model")
        written.insert(1, model)
    if metadata.get("hash") != json.dumps(contents_hash(written, tensors)):
        raise InputError(f"{path}: expected the contents that its hash was made of, got others; copy the file again")
    with named(f"{path}: training configuration"):
        form = ModelConfig.from_dict(model)
    return Contents(config, parts["encoder"], parts["decoder"], parts["extra"], form, training, origin)


def _format(path: Path, metadata: Mapping[str, str]) -> int:
    if metadata.get("format") != "ugodit prior":
        raise InputError(f"{path}: expected a prior written by `ugodit train`, got safetensors of something else")
    text = metadata.get("format_version", "")
    if not (text.isdecimal() and len(text) < 10) or int(text) < 1:
        raise InputError(f"{path}: expected metadata format_version, got {text[:20]!r}; train the prior again")
    version = int(text)
    if version > FORMAT:
        raise InputError(f"{path}: expected format_version up to {FORMAT}, got {version}; upgrade ugodit")
    return version


def _network(path: Path, metadata: Mapping[str, str], wanted: NetworkConfig | None) -> NetworkConfig:
    try:
        config = NetworkConfig.from_dict(_object(path, metadata, "network"))
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: metadata network: {error}; upgrade ugodit or train the prior again") from error
    if wanted is not None:
        _check_network(path, wanted, config)
    return config


def _parts(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in _PARTS}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        if part not in parts:
            raise InputError(f"{path}: {name}: expected tensors of {', '.join(_PARTS)} only; train the prior again")
        parts[part][rest] = tensor
    return parts


def _check_network(path: Path, expected: NetworkConfig, found: NetworkConfig) -> None:
    ours, theirs = expected.to_dict(), found.to_dict()
    for name in ours:
        if ours[name] != theirs[name]:
            raise InputError(
                f"{path}: network.{name}: expected {ours[name]}, got {theirs[name]}; choose another prior or network"
            )


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    _check_header(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except OSError as error:
        raise InputError(f"{path}: expected a prior (safetensors), got {error.strerror or error}") from error
    except MemoryError as error:
        raise InputError(f"{path}: does not fit into memory") from error
    except (SafetensorError, ValueError, TypeError, RuntimeError, AttributeError, OverflowError) as error:
        # The last five: types and shapes that the file may name and torch lacks.
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: expected a prior (safetensors, never pickle), got a truncated or foreign file ({reason})"
        ) from error


def _check_header(path: Path) -> None:
    """The length of the header, before anything parses it."""
    try:
        path.stat()
        size = require_regular_file(path, "a prior (safetensors)")
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
    except OSError as error:
        raise InputError(f"{path}: expected a prior (safetensors), got {error.strerror or error}") from error
    if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
        raise InputError(
            f"{path}: expected a prior (safetensors, never pickle), got a truncated or foreign file "
            f"(a header of {length} bytes in a file of {size})"
        )


def _object(path: Path, metadata: Mapping[str, str], name: str) -> dict[str, Any]:
    if name not in metadata:
        raise InputError(f"{path}: expected metadata {name}, got none; train the prior again")
    try:
        value = json.loads(metadata[name])
        sensible = isinstance(value, dict) and is_sensible(value, MAX_DEPTH)
    except (ValueError, RecursionError):  # ValueError also for integers of thousands of digits
        sensible = False
    if not sensible:
        raise InputError(
            f"{path}: metadata {name}: expected a JSON object of finite numbers, at most {MAX_DEPTH} deep, got "
            f"{metadata[name][:40]!r}"
        )
    return dict(value)


def _check_extra(path: Path, extra: Mapping[str, Tensor]) -> None:
    """InputError for small tensors that are not small, not float32 or not finite, and for an impossible weight mu."""
    for name, tensor in extra.items():
        if tensor.dtype != torch.float32 or tensor.numel() > MAX_EXTRA or not bool(tensor.isfinite().all()):
            found = f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
            raise InputError(
                f"{path}: extra.{name}: expected at most {MAX_EXTRA} finite numbers, float32, got {found}; "
                "train the prior again"
            )
    log_mu = extra.get("log_mu")
    if log_mu is not None and (log_mu.ndim or abs(float(log_mu)) > _LOG_MU):
        raise InputError(
            f"{path}: extra.log_mu: expected one number from -{_LOG_MU:g} to {_LOG_MU:g}, got shape "
            f"{tuple(log_mu.shape)}, {log_mu.flatten()[:1].tolist()}; train the prior again"
        )


def _check_tensors(path: Path, config: NetworkConfig, encoder: dict[str, Tensor], decoder: dict[str, Tensor]) -> None:
    """InputError for the first tensor that is missing, not known, or not of the shape that the configuration asks."""
    with torch.device("meta"):
        group = GroupNet(config, seed=None)
    items = max((len(tensor) for tensor in decoder.values() if tensor.ndim), default=1) or 1
    if items > MAX_DECODERS:
        raise InputError(f"{path}: expected at most {MAX_DECODERS} decoders, got {items}; train the prior again")
    for part, module, state in (("encoder", group.encoder, encoder), ("decoder", group.decoder, decoder)):
        leading = 1 if part == "encoder" else items
        expected = {name: (leading, *tensor.shape[1:]) for name, tensor in module.state_dict().items()}
        for name in sorted(expected.keys() ^ state.keys()):
            wanted, got = ("a tensor", "none") if name in expected else ("no such tensor", "one")
            raise InputError(f"{path}: {part}.{name}: expected {wanted}, got {got}; it is not a prior of its network")
        for name, tensor in state.items():
            if tuple(tensor.shape) != expected[name] or tensor.dtype != torch.float32:
                found = f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
                raise InputError(
                    f"{path}: {part}.{name}: expected float32 {expected[name]}, got {found}; "
                    "it is not a prior of its network"
                )
            if not tensor.isfinite().all():
                raise InputError(f"{path}: {part}.{name}: expected finite numbers, got NaN; train the prior again")
