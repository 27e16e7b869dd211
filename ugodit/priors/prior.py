"""Prior: what group training leaves behind: one encoder, M decoders, the form they were trained in."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ugodit.fit.model_config import ModelConfig
from ugodit.networks import GroupNet, NetworkConfig, Start
from ugodit.priors.prior_file import contents_hash, read_prior, write_prior


@dataclass(frozen=True, eq=False)
class Prior:
    """A trained group and how it came about. Tensors are float32 on the CPU."""

    network: NetworkConfig
    encoder: Mapping[str, Tensor]
    """State dict of GroupNet.encoder."""
    decoder: Mapping[str, Tensor]
    """State dict of GroupNet.decoder: every tensor has a leading axis of length M."""
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    """Small tensors learned beside the network, by name: the unrolled network's mu, say."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The form that the weights were learned for, and serve in."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """The training configuration; values that JSON knows."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Where it comes from; see `provenance`. Not part of the hash."""

    @classmethod
    def of(
        cls,
        group: GroupNet,
        *,
        model: ModelConfig | None = None,
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
            model=model or ModelConfig(),
            training=dict(training or {}),
            provenance=dict(provenance or {}),
        )

    @property
    def decoders(self) -> int:
        """M, the number of decoders."""
        return len(next(iter(self.decoder.values())))

    @property
    def hash(self) -> str:
        """sha256 (hexadecimal) of tensors, network, form and training: the same for every save and load."""
        return contents_hash([self.network.to_dict(), self.model.to_dict(), dict(self.training)], self.tensors())

    def build(self, decoders: int | None = None, *, start: Start = "mean", seed: int | torch.Generator = 0) -> GroupNet:
        """The trained group; with `decoders`, a group of so many warm-started as GroupNet.warm_start describes."""
        group = GroupNet.from_states(self.network, self.encoder, self.decoder)
        return group if decoders is None else group.warm_start(decoders, start, seed=seed)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file, whole or not at all. InputError where it cannot be written."""
        texts = {
            "network": self.network.to_dict(),
            "model": self.model.to_dict(),
            "training": dict(self.training),
            "provenance": dict(self.provenance),
            "hash": self.hash,
        }
        write_prior(Path(path), texts, self.tensors())

    @classmethod
    def load(cls, path: str | os.PathLike[str], network: NetworkConfig | None = None) -> Prior:
        """Read and check a file that `save` wrote, of this version or an earlier one. InputError for anything else.

        With `network`, a prior of another network is refused too. No pickle is ever read.
        """
        found = read_prior(Path(path), network)
        return cls(**{name: getattr(found, name) for name in found.__dataclass_fields__})

    def tensors(self) -> dict[str, Tensor]:
        """All of them, by the names that they have in the file."""
        parts = {"encoder": self.encoder, "decoder": self.decoder, "extra": self.extra}
        return {f"{part}.{name}": tensor for part, state in parts.items() for name, tensor in state.items()}


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


def _copies(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: torch.as_tensor(tensor).detach().to("cpu", torch.float32, copy=True) for name, tensor in state.items()
    }
