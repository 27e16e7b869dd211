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

from ugodit.errors import InputError, named
from ugodit.fit.model_config import ModelConfig
from ugodit.io.atomic import write_file
from ugodit.networks import GroupNet, NetworkConfig
from ugodit.priors.earlier_names import split_earlier

FORMAT = 2
"""Version of the file's layout. A reader refuses what is newer than itself."""

_PARTS = ("encoder", "decoder", "extra")


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
    if not metadata.get("format_version", "").isdecimal():
        raise InputError(f"{path}: expected metadata format_version, got none; train the prior again")
    version = int(metadata["format_version"])
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
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except OSError as error:
        raise InputError(f"{path}: expected a prior (safetensors), got {error.strerror or error}") from error
    except SafetensorError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: expected a prior (safetensors, never pickle), got a truncated or foreign file ({reason})"
        ) from error


def _object(path: Path, metadata: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        value = json.loads(metadata[name])
    except KeyError:
        raise InputError(f"{path}: expected metadata {name}, got none; train the prior again") from None
    except json.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise InputError(f"{path}: metadata {name}: expected a JSON object, got {metadata[name][:40]!r}")
    return value


def _check_tensors(path: Path, config: NetworkConfig, encoder: dict[str, Tensor], decoder: dict[str, Tensor]) -> None:
    """InputError for the first tensor that is missing, not known, or not of the shape that the configuration asks."""
    with torch.device("meta"):
        group = GroupNet(config, seed=None)
    items = max((len(tensor) for tensor in decoder.values() if tensor.ndim), default=1) or 1
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
