"""GroupNet: one shared encoder and M decoders evaluated together (UGoDIT, arXiv 2505.11720)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

import torch
from torch import Tensor, nn

from ugodit.networks.blocks import initialise
from ugodit.networks.calls import PLAIN, Calls
from ugodit.networks.config import NetworkConfig
from ugodit.networks.skip import SkipDecoder, SkipEncoder
from ugodit.networks.unet import UNetDecoder, UNetEncoder

Start = int | Literal["mean", "fresh"]
"""Which weights a decoder starts from: the index of a trained one, the mean of all, or none."""


class GroupNet(nn.Module):
    """f_i = g_i . h: encoder h shared by all images, decoder g_i for image i only.

    A batch holds one image for each decoder, or any number where there is one decoder. No image's output depends on
    another image: normalisation is by an image's own statistics. Master weights are float32; decoders' weights have a
    leading axis of length `decoders`. Works under torch.autocast. Initial weights depend on `seed` alone (an integer or
    a CPU generator; None leaves them undefined, to be loaded) and torch's global random state is left alone; decoder
    i's do not depend on how many there are.

    `together`: evaluate all images in one call of grouped convolutions (True), or one after another, channels last
    (False). None chooses by device: one after another on a CPU, where it is faster, together elsewhere.
    """

    def __init__(self, config: NetworkConfig, decoders: int = 1, *, seed: int | torch.Generator | None = 0) -> None:
        super().__init__()
        if decoders < 1:
            raise ValueError(f"decoders: expected an integer from 1, got {decoders}")
        self.config = config
        self.together: bool | None = None
        self.encoder: nn.Module = UNetEncoder(config) if config.family == "unet" else SkipEncoder(config)
        self.decoder: nn.Module = (
            UNetDecoder(config, decoders) if config.family == "unet" else SkipDecoder(config, decoders)
        )
        if seed is None:
            return
        generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
        initialise(self.encoder, 0, generator, config)
        for item in range(decoders):
            initialise(self.decoder, item, generator, config)

    @classmethod
    def from_states(cls, config: NetworkConfig, encoder: Mapping[str, Tensor], decoders: Mapping[str, Tensor]) -> Self:
        """A group with copies of these weights: state dicts of `.encoder` and `.decoder`, on their device."""
        some = next(iter(decoders.values()))
        group = cls(config, len(some), seed=None).to(some.device)
        group.encoder.load_state_dict(encoder)
        group.decoder.load_state_dict(decoders)
        return group

    @property
    def decoders(self) -> int:
        """M, the number of decoders."""
        return len(next(self.decoder.parameters()))

    def encode(self, z: Tensor, calls: Calls = PLAIN) -> list[Tensor]:
        """z (B, in_channels, H, W), any size -> features at each resolution, finest first, (B, channels, ...).

        The images are padded inside; features belong to the padded size. With a frozen encoder and a z without
        gradient nothing is recorded, so the features serve any number of `decode`. calls: `calls.compiled()`, say.
        """
        if z.ndim != 4 or z.shape[1] != self.config.in_channels:
            raise ValueError(f"z: expected (B, {self.config.in_channels}, H, W), got {tuple(z.shape)}")
        if self._at_once(z):
            # Several images are normalised in another shape, which would copy them back.
            return list(calls.encode(self.encoder, _channels_last(z) if len(z) == 1 else z))
        features = [calls.encode(self.encoder, _channels_last(image)) for image in z.split(1)]
        return [torch.cat(images) for images in zip(*features, strict=True)]

    def decode(
        self, features: Sequence[Tensor], z: Tensor, decoders: slice | None = None, calls: Calls = PLAIN
    ) -> Tensor:
        """The images (B, out_channels, H, W), in z's dtype, from the features of z.

        `decoders` chooses some, all by default; features and z hold one image for each that is chosen (ValueError
        otherwise), or any number where one is chosen.
        """
        weights: dict[str, Tensor] = dict(self.decoder.named_parameters())
        if decoders is not None:
            weights = {name: weight[decoders] for name, weight in weights.items()}
        items = len(next(iter(weights.values())))
        if items not in (1, len(z)):
            raise ValueError(f"z: expected {items} images, one for each decoder, got {len(z)}")
        features = list(features)
        if self._at_once(z):
            return calls.decode(self.decoder, weights, features, z)
        # split, not an index an item: its backward joins the items' gradients once
        images = z.split(1)
        parts = zip(*(feature.split(1) for feature in features), strict=True)
        shares = {name: weight.split(1) * (len(z) // items) for name, weight in weights.items()}
        return torch.cat(
            [
                calls.decode(self.decoder, {name: share[item] for name, share in shares.items()}, part, images[item])
                for item, part in enumerate(parts)
            ]
        )

    def forward(self, z: Tensor, decoders: slice | None = None, calls: Calls = PLAIN) -> Tensor:
        """decode(encode(z), z, decoders)."""
        return self.decode(self.encode(z, calls), z, decoders, calls)

    def freeze_encoder(self, frozen: bool = True) -> Self:
        """Take the encoder's weights out of training, or put them back. Gradients still pass through it to z."""
        self.encoder.requires_grad_(not frozen)
        return self

    def select(self, decoders: Sequence[int]) -> Self:
        """A new group with copies of the encoder and of these decoders, in this order; the same one may come twice."""
        index = torch.as_tensor(decoders, device=next(self.decoder.parameters()).device)
        return self._with({name: weight[index] for name, weight in self.decoder.state_dict().items()})

    def mean(self) -> Self:
        """A new group whose one decoder has the average weights of all."""
        return self._with({name: weight.mean(0, keepdim=True) for name, weight in self.decoder.state_dict().items()})

    def fresh(self, decoders: int, *, seed: int | torch.Generator) -> Self:
        """A new group with a copy of the encoder and untrained decoders."""
        return self._with(type(self)(self.config, decoders, seed=seed).decoder.state_dict())

    def warm_start(self, decoders: int, start: Start, *, seed: int | torch.Generator = 0) -> Self:
        """A new group for images adapted together: copies of decoder `start`, copies of the mean, or untrained ones."""
        if start == "fresh":
            return self.fresh(decoders, seed=seed)
        if start == "mean":
            return self.mean().select([0] * decoders)
        if not isinstance(start, int) or not 0 <= start < self.decoders:
            raise ValueError(f"start: expected mean, fresh or a decoder from 0 to {self.decoders - 1}, got {start!r}")
        return self.select([start] * decoders)

    def merge(self, *others: GroupNet) -> Self:
        """A new group with this encoder and the decoders of this and other groups of the same configuration."""
        groups: tuple[GroupNet, ...] = (self, *others)
        if any(group.config != self.config for group in groups):
            raise ValueError("others: expected groups of the same configuration")
        states = [group.decoder.state_dict() for group in groups]
        return self._with({name: torch.cat([state[name] for state in states]) for name in states[0]})

    def _with(self, decoders: Mapping[str, Tensor]) -> Self:
        group = self.from_states(self.config, self.encoder.state_dict(), decoders)
        group.together = self.together
        for old, new in zip(self.encoder.parameters(), group.encoder.parameters(), strict=True):
            new.requires_grad_(old.requires_grad)
        return group

    def _at_once(self, z: Tensor) -> bool:
        return z.device.type != "cpu" if self.together is None else self.together


def _channels_last(z: Tensor) -> Tensor:
    return z.contiguous(memory_format=torch.channels_last)
