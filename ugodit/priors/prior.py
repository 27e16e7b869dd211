"""Prior: what group training leaves behind, in one safetensors file. No pickle is ever read."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from ugodit.errors import InputError
from ugodit.io.atomic import write_file
from ugodit.networks import GroupNet, NetworkConfig, Start

FORMAT = 1
"""Version of the file's layout. A reader refuses what is newer than itself."""

_PARTS = ("encoder", "decoder", "extra")


@dataclass(frozen=True, eq=False)
class Prior:
    """A trained group: one encoder, M decoders, how they came about. Tensors are float32 on the CPU."""

    network: NetworkConfig
    encoder: Mapping[str, Tensor]
    """State dict of GroupNet.encoder."""
    decoder: Mapping[str, Tensor]
    """State dict of GroupNet.decoder: every tensor has a leading axis of length M."""
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    """Small tensors learned beside the network, by name: the unrolled network's mu, say."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """The training configuration; values that JSON knows."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Where it comes from; see `provenance`. Not part of the hash."""

    @classmethod
    def of(
        cls,
        group: GroupNet,
        *,
        training: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
        extra: Mapping[str, Tensor] | None = None,
    ) -> Prior:
        """A prior holding copies of the group's weights and of the `extra` tensors."""
        return cls(
            network=group.config,
            encoder=_copies(group.encoder.state_dict()),
            decoder=_copies(group.decoder.state_dict()),
            extra=_copies(extra or {}),
            training=dict(training or {}),
            provenance=dict(provenance or {}),
        )

    @property
    def decoders(self) -> int:
        """M, the number of decoders."""
        return len(next(iter(self.decoder.values())))

    @property
    def hash(self) -> str:
        """sha256 (hexadecimal) of tensors, network and training configuration: the same for every save and load."""
        digest = hashlib.sha256(json.dumps([self.network.to_dict(), dict(self.training)], sort_keys=True).encode())
        for name, tensor in sorted(self._tensors().items()):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def build(self, decoders: int | None = None, *, start: Start = "mean", seed: int | torch.Generator = 0) -> GroupNet:
        """The trained group; with `decoders`, a group of so many warm-started as GroupNet.warm_start describes."""
        group = GroupNet.from_states(self.network, self.encoder, self.decoder)
        return group if decoders is None else group.warm_start(decoders, start, seed=seed)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file under a temporary name, then rename it. InputError where it cannot be written."""
        path = Path(path)
        texts = {
            "network": self.network.to_dict(),
            "training": dict(self.training),
            "provenance": dict(self.provenance),
            "hash": self.hash,
        }
        metadata = {name: json.dumps(value, sort_keys=True) for name, value in texts.items()}
        metadata |= {"format": "ugodit prior", "format_version": str(FORMAT)}
        content = to_bytes({name: tensor.contiguous() for name, tensor in self._tensors().items()}, metadata)
        write_file(path, content)

    @classmethod
    def load(cls, path: str | os.PathLike[str], network: NetworkConfig | None = None) -> Prior:
        """Read and check a file that `save` wrote. InputError, one line, for anything else.

        With `network`, a prior of another network is refused too.
        """
        path = Path(path)
        tensors, metadata = _read(path)
        if metadata.get("format") != "ugodit prior":
            raise InputError(f"{path}: expected a prior written by `ugodit train`, got safetensors of something else")
        if not metadata.get("format_version", "").isdecimal():
            raise InputError(f"{path}: expected metadata format_version, got none; train the prior again")
        if int(metadata["format_version"]) > FORMAT:
            raise InputError(
                f"{path}: expected format_version up to {FORMAT}, got {metadata['format_version']}; upgrade ugodit"
            )
        fields, training, origin = (_object(path, metadata, name) for name in ("network", "training", "provenance"))
        try:
            config = NetworkConfig.from_dict(fields)
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: metadata network: {error}; upgrade ugodit or train the prior again") from error
        if network is not None:
            _check_network(path, network, config)
        parts: dict[str, dict[str, Tensor]] = {part: {} for part in _PARTS}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            if part not in parts:
                raise InputError(f"{path}: {name}: expected tensors of {', '.join(_PARTS)} only; train the prior again")
            parts[part][rest] = tensor
        _check_tensors(path, config, parts["encoder"], parts["decoder"])
        prior = cls(config, parts["encoder"], parts["decoder"], parts["extra"], training, origin)
        if metadata.get("hash") != json.dumps(prior.hash):
            raise InputError(
                f"{path}: expected the contents that its hash was made of, got others; copy the file again"
            )
        return prior

    def _tensors(self) -> dict[str, Tensor]:
        parts = {"encoder": self.encoder, "decoder": self.decoder, "extra": self.extra}
        return {f"{part}.{name}": tensor for part, state in parts.items() for name, tensor in state.items()}


def _check_network(path: Path, expected: NetworkConfig, found: NetworkConfig) -> None:
    ours, theirs = expected.to_dict(), found.to_dict()
    for name in ours:
        if ours[name] != theirs[name]:
            raise InputError(
                f"{path}: network.{name}: expected {ours[name]}, got {theirs[name]}; choose another prior or network"
            )


def provenance(
    *,
    scans: Sequence[Mapping[str, Any]],
    acceleration: float,
    seed: int,
    scale: str,
    **more: Any,
) -> dict[str, Any]:
    """Where a prior comes from, as values that JSON knows, with this package's and torch's version and the time (UTC).

    scans: name and hash of each; where there are several decoders, in their order. acceleration: lines of the field of
    view a line measured.
    scale: the convention by which measurements were scaled. more: anything else worth knowing.
    """
    try:
        package = version("ugodit")
    except PackageNotFoundError:  # run from a source tree
        package = "unknown"
    return {
        "ugodit": package,
        "torch": torch.__version__,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "scans": [dict(scan) for scan in scans],
        "acceleration": acceleration,
        "seed": seed,
        "scale": scale,
        **more,
    }


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


def _copies(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: torch.as_tensor(tensor).detach().to("cpu", torch.float32, copy=True) for name, tensor in state.items()
    }
