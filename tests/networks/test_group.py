"""GroupNet: shapes, independence of the items, equality with plain networks, seeds, frozen encoder, warm starts."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ugodit.networks import GroupNet, NetworkConfig, reference_skip, reference_unet
from ugodit.networks.blocks import Conv2d, crop_to, pad_image

SMALL = NetworkConfig.unet(4, 2)
SMALL_SKIP = NetworkConfig.skip(6, 2, padding="reflect", downsampling="stride", activation="leaky_relu")


def images(batch, channels=2, height=13, width=18, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, height, width, generator=generator, dtype=dtype)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (2, 3), (5, 7), (16, 16), (17, 31), (33, 1), (24, 40)])
@pytest.mark.parametrize("config", [SMALL, SMALL_SKIP, NetworkConfig.unet(2, 4), NetworkConfig.skip(2, 5)])
def test_any_image_size(config, size):
    z = images(1, height=size[0], width=size[1])
    y = GroupNet(config)(z)
    assert y.shape == z.shape
    assert y.isfinite().all()


@pytest.mark.parametrize("family", ["unet", "skip"])
@pytest.mark.parametrize(
    "option",
    [
        {"normalisation": "instance"},
        {"normalisation": "none"},
        {"activation": "leaky_relu"},
        {"activation": "silu"},
        {"activation": "gelu"},
        {"padding": "reflect"},
        {"upsampling": "bilinear_corners"},
        {"upsampling": "nearest"},
        {"downsampling": "stride"},
        {"final_activation": "sigmoid"},
        {"initialisation": "normal"},
        {"skip_channels": 0},
        {"in_channels": 1, "out_channels": 3},
        {"output": "residual"},
    ],
    ids=str,
)
@pytest.mark.parametrize("together", [False, True])
def test_every_option(family, option, together):
    config = NetworkConfig(**{"family": family, "channels": (4, 6, 8), **option})
    group = GroupNet(config, 2)
    group.together = together
    z = images(2, config.in_channels)
    y = group(z)
    assert y.shape == (2, config.out_channels, 13, 18)
    y.square().sum().backward()
    head = group.decoder.head.convolution
    for name, parameter in group.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert head.weight.grad.abs().max() > 0
    if config.output == "residual":
        assert torch.equal(y, z)  # starts as the identity
    if config.final_activation == "sigmoid":
        assert 0 < y.min() < y.max() < 1


@pytest.mark.parametrize("config", [SMALL, SMALL_SKIP])
@pytest.mark.parametrize("decoders", [1, 3])
@pytest.mark.parametrize("together", [False, True])
def test_items_are_independent(config, decoders, together):
    group = GroupNet(config, decoders)
    group.together = together
    z = images(3)
    changed = z.clone()
    changed[1] = images(1, seed=5)[0] * 100
    before, after = group(z), group(changed)
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert not torch.equal(before[1], after[1])


def test_gradients_of_decoders_do_not_mix():
    group = GroupNet(SMALL, 3)
    group(images(3))[1].square().sum().backward()
    for parameter in group.decoder.parameters():
        assert parameter.grad[[0, 2]].abs().max() == 0
        assert parameter.grad[1].abs().max() > 0


@pytest.mark.parametrize("config", [SMALL, SMALL_SKIP, NetworkConfig.unet(3, 2, normalisation="none")])
def test_together_is_one_after_another(config):
    # float64: what is left is rounding in another order, amplified by at most a few hundred by normalising maps of
    # 2 x 2 pixels. Values are of order one.
    group = GroupNet(config, 3).double()
    z = images(3, dtype=torch.float64)
    results = []
    for together in (False, True):
        group.together = together
        group.zero_grad()
        y = group(z)
        y.square().sum().backward()
        results.append([y.detach(), *(parameter.grad.clone() for parameter in group.parameters())])
    for one, other in zip(*results, strict=True):
        assert (one - other).abs().max() <= 1e-11 * (1 + one.abs().max())


def test_memory_format_does_not_matter():
    group = GroupNet(SMALL, 2)
    z = images(2)
    assert torch.equal(group(z), group(z.contiguous(memory_format=torch.channels_last)))


class PlainUNet(nn.Module):
    """The reference's U-Net, written down independently: torch's own layers, features joined, one image at a time."""

    def __init__(self, c, in_channels, out_channels):
        super().__init__()
        self.inner = nn.ModuleList(self.pair(a, b, b) for a, b in pairwise((in_channels, *c)))
        ups, below = [], c[-1]
        for level in range(len(c) - 2, -1, -1):
            joined = below + c[level]
            below = c[max(level - 1, 0)]
            ups.append(self.pair(joined, joined // 2, below))
        self.ups = nn.ModuleList(ups)
        self.last = nn.Conv2d(below, out_channels, 1)

    @staticmethod
    def pair(inputs, middle, outputs):
        layers = []
        for a, b in ((inputs, middle), (middle, outputs)):
            layers += [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        return nn.Sequential(*layers)

    def forward(self, x):
        features = []
        for level, block in enumerate(self.inner):
            x = block(F.max_pool2d(x, 2) if level else x)
            features.append(x)
        for block, skip in zip(self.ups, features[-2::-1], strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            x = block(torch.cat((skip, x), 1))
        return self.last(x)


class PlainSkip(nn.Module):
    """The skip net of the reference, written down independently, one image at a time."""

    def __init__(self, c, scales, skip, in_channels, out_channels):
        super().__init__()
        self.skips = nn.ModuleList(self.unit(in_channels if i == 0 else c, skip, 1) for i in range(scales))
        self.downs = nn.ModuleList(
            nn.Sequential(self.unit(in_channels if i == 0 else c, c, 3, 2), self.unit(c, c, 3)) for i in range(scales)
        )
        self.ups = nn.ModuleList(
            nn.Sequential(self.unit(c + skip, c, 3), self.unit(c, c, 1)) for _ in range(scales)
        )  # fmt: skip
        self.last = nn.Conv2d(c, out_channels, 1)

    @staticmethod
    def unit(inputs, outputs, kernel, stride=1):
        pad = nn.ReflectionPad2d(kernel // 2)
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, bias=False)
        return nn.Sequential(pad, convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2))

    def forward(self, x):
        skips = []
        for skip, down in zip(self.skips, self.downs, strict=True):
            skips.append(skip(x))
            x = down(x)
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            x = up(torch.cat((skip, F.interpolate(x, scale_factor=2, mode="bilinear")), 1))
        return torch.sigmoid(self.last(x))


PLAIN = {
    "unet": (
        NetworkConfig(channels=(4, 6, 8, 8), out_channels=3, upsampling="bilinear_corners"),
        lambda: PlainUNet((4, 6, 8, 8), 2, 3),
    ),
    "skip": (
        NetworkConfig.skip(
            6, 3, padding="reflect", downsampling="stride", activation="leaky_relu", final_activation="sigmoid"
        ),
        lambda: PlainSkip(6, 3, 4, 2, 2),
    ),
}


@pytest.mark.parametrize("family", ["unet", "skip"])
@pytest.mark.parametrize("together", [False, True])
def test_each_decoder_is_a_plain_network(family, together):
    config, plain = PLAIN[family]
    group = GroupNet(config, 3, seed=3).double()
    group.together = together
    generator = torch.Generator().manual_seed(4)
    for parameter in group.parameters():  # gains and biases too, so that none can be mistaken for another
        parameter.data.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64), alpha=0.1)
    z = images(3, height=24, width=32, dtype=torch.float64)
    y = group(z)
    for item in range(3):
        single = plain().double()
        ours = [*group.encoder.parameters(), *(p[item : item + 1] for p in group.decoder.parameters())]
        theirs = list(single.parameters())
        if family == "skip":  # PlainSkip lists its skip branches first, as SkipEncoder does
            assert len(ours) == len(theirs)
        for own, other in zip(ours, theirs, strict=True):
            other.data.copy_(own.data[0])
        expected = single(z[item : item + 1])
        # float64 rounding, amplified by normalising 3 x 4 pixels at the coarsest
        assert (y[item] - expected[0]).abs().max() < 1e-10


def test_parameter_counts():
    # U-Net, 3 x 3 kernels without bias, gain and bias a channel (a convolution a -> b: 9 a b + 2 b):
    # encoder 2-64-64 | 64-128-128 | 128-256-256 | 256-256-256:
    #   9 (128 + 4096 + 8192 + 16384 + 32768 + 65536 + 65536 + 65536) + 2 (2 (64 + 128 + 256 + 256))
    #   = 9 * 258176 + 2816 = 2326400
    # decoder 512-256-128 | 256-128-64 | 128-64-64 | 64 -> 2 with bias:
    #   9 (131072 + 32768 + 32768 + 8192 + 8192 + 4096) + 2 (256 + 128 + 128 + 64 + 64 + 64) + 130
    #   = 9 * 217088 + 1408 + 130 = 1955330
    group = GroupNet(reference_unet())
    assert (count(group.encoder), count(group.decoder)) == (2326400, 1955330)
    # Skip net: five 1 x 1 convolutions to 4 channels, from 3 and four times 128: 12 + 4 * 512 + 5 * 8 = 2100;
    #   3-128-128 and four times 128-128-128: 9 (384 + 9 * 16384) + 10 * 256 = 1333120; together 1335220
    # decoder, five times 132-128 (3 x 3), 128-128 (1 x 1): 5 (9 * 16896 + 16384 + 512) = 844800; 128 -> 3: 387
    group = GroupNet(reference_skip(), 2)
    assert (count(group.encoder), count(group.decoder)) == (1335220, 2 * 845187)


def test_frozen_encoder_and_reused_features():
    group = GroupNet(SMALL, 2).freeze_encoder()
    z = images(2)
    features = group.encode(z)
    assert not any(feature.requires_grad for feature in features)
    assert torch.equal(group.decode(features, z), group(z))

    def fail(*_):
        raise AssertionError("the encoder was evaluated")

    handle = group.encoder.register_forward_pre_hook(fail)
    for _ in range(2):  # twice: nothing that the first backward freed is needed
        group.decode(features, z).square().sum().backward()
    handle.remove()
    assert all(parameter.grad is None for parameter in group.encoder.parameters())
    assert all(parameter.grad.abs().max() > 0 for parameter in group.decoder.parameters())
    z.requires_grad_(True)
    group(z).square().sum().backward()  # an unrolled network needs the gradient of z through the frozen encoder
    assert z.grad.abs().max() > 0
    group.freeze_encoder(False)(z).square().sum().backward()
    assert all(parameter.grad is not None for parameter in group.encoder.parameters())


def test_some_of_the_decoders():
    group = GroupNet(SMALL, 4)
    z = images(4)
    features = group.encode(z)
    part = group.decode([feature[1:3] for feature in features], z[1:3], slice(1, 3))
    assert torch.equal(part, group.decode(features, z)[1:3])
    assert torch.equal(group(z[1:2], slice(1, 2)), part[:1])
    shared = group(z, slice(2, 3))  # one decoder for any number of images
    assert torch.equal(shared[2], group(z)[2])
    with pytest.raises(ValueError, match=r"^z: expected 4 images"):
        group(z[:3])
    with pytest.raises(ValueError, match=r"^z: expected \(B, 2, H, W\)"):
        group(z[:, :1])
    with pytest.raises(ValueError, match=r"^decoders: "):
        GroupNet(SMALL, 0)


@pytest.mark.parametrize("scheme", ["default", "normal"])
def test_seeds(scheme):
    config = NetworkConfig.unet(4, 2, initialisation=scheme)
    state = torch.get_rng_state()
    one, same, other = GroupNet(config, 2, seed=7), GroupNet(config, 2, seed=7), GroupNet(config, 2, seed=8)
    by_generator = GroupNet(config, 2, seed=torch.Generator().manual_seed(7))
    more = GroupNet(config, 3, seed=7)
    assert torch.equal(state, torch.get_rng_state())
    for a, b, c, d in zip(
        one.parameters(), same.parameters(), by_generator.parameters(), more.parameters(), strict=True
    ):
        assert torch.equal(a, b)
        assert torch.equal(a, c)
        assert torch.equal(a, d[: len(a)])  # decoder i's weights do not depend on the number of decoders
    weight = one.decoder.levels[0].first.convolution.weight
    assert not torch.equal(weight, other.decoder.levels[0].first.convolution.weight)
    assert not torch.equal(weight[0], weight[1])


def test_initial_distributions():
    wide = NetworkConfig.unet(32, 2)
    weight = GroupNet(wide).decoder.levels[0].first.convolution.weight
    fan_in = weight[0, 0].numel()
    # uniform within +-1 / sqrt(fan in): the standard deviation is bound / sqrt(3); 0.6 M samples: 1 % is > 5 sigma
    assert weight.abs().max() <= fan_in**-0.5
    assert weight.std().item() == pytest.approx((3 * fan_in) ** -0.5, rel=0.01)
    assert weight.dtype == torch.float32
    group = GroupNet(NetworkConfig.unet(32, 2, initialisation="normal"))
    assert group.decoder.levels[0].first.convolution.weight.std().item() == pytest.approx(0.02, rel=0.01)
    assert group.decoder.levels[0].first.norm.gain.mean().item() == pytest.approx(1, abs=0.01)
    assert group.decoder.head.convolution.bias.abs().max() == 0


def test_warm_starts():
    group = GroupNet(SMALL, 3, seed=1).freeze_encoder()
    z = images(3)
    y = group(z)
    swapped = group.select([2, 0])
    assert torch.equal(swapped(z[[2, 0]]), y[[2, 0]])
    assert not any(parameter.requires_grad for parameter in swapped.encoder.parameters())
    tiled = group.warm_start(4, 1)
    assert tiled.decoders == 4
    assert torch.equal(tiled(z[[1] * 4]), y[[1] * 4])
    swapped.decoder.head.convolution.weight.data.zero_()
    swapped.encoder.levels[0][0].convolution.weight.data.zero_()
    assert torch.equal(group(z), y)  # copies: the first group did not change

    mean = group.warm_start(2, "mean")
    for before, after in zip(group.decoder.parameters(), mean.decoder.parameters(), strict=True):
        assert torch.allclose(after[1], before.mean(0))
    fresh = group.warm_start(2, "fresh", seed=9)
    expected = GroupNet(SMALL, 2, seed=9).decoder.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in fresh.decoder.state_dict().items())
    assert torch.equal(fresh.encode(z)[0], group.encode(z)[0])

    merged = group.select([0]).merge(group.select([1, 2]))
    assert torch.equal(merged(z), y)
    with pytest.raises(ValueError, match=r"^start: "):
        group.warm_start(2, 3)
    with pytest.raises(ValueError, match=r"^others: "):
        group.merge(GroupNet(SMALL_SKIP))


@pytest.mark.parametrize("config", [SMALL, SMALL_SKIP])
@pytest.mark.parametrize("together", [None, True])
def test_autocast(config, together):
    group = GroupNet(config, 2)
    group.together = together
    z = images(2, height=64, width=64)
    exact = group(z)
    with torch.autocast("cpu", torch.bfloat16):
        features = group.encode(z)
        y = group.decode(features, z)
    assert features[0].dtype == torch.bfloat16
    assert y.dtype == torch.float32
    y.square().sum().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in group.parameters())
    # A dozen layers, each rounded to 2^-9 relative, independent errors add in squares, normalisation keeps the scale:
    # sqrt(12) 2^-9 = 0.7 %; some layers round more than once: 3 %.
    assert (y - exact).norm() < 0.03 * exact.norm()


@pytest.mark.parametrize("config", [SMALL_SKIP, NetworkConfig.unet(4, 2, output="residual", padding="reflect")])
def test_compiles_to_one_graph(config):
    group = GroupNet(config, 2)
    z = images(2)
    compiled = torch.compile(group, fullgraph=True, backend="aot_eager")
    with torch.autocast("cpu", torch.bfloat16):
        y, expected = compiled(z), group(z)
    assert torch.allclose(y, expected, atol=0.02 * float(expected.detach().abs().max()))
    y.square().sum().backward()
    features = group.freeze_encoder().encode(z)
    decode = torch.compile(group.decode, fullgraph=True, backend="aot_eager")
    assert torch.allclose(decode(features, z), group.decode(features, z), atol=1e-5)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("items", [1, 2])
@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_joined_convolution(kernel, items, padding):
    convolution = Conv2d(items, 5, 4, kernel, bias=True, padding=padding).double()
    generator = torch.Generator().manual_seed(0)
    for item in range(items):
        convolution.draw(item, generator, "default")
    first, second = images(2, 2, dtype=torch.float64), images(2, 3, seed=1, dtype=torch.float64)
    joined = convolution(torch.cat((first, second), 1))
    assert torch.allclose(convolution.of_joined(first, second), joined, atol=1e-13)


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 16, 21])
def test_padding_is_undone(size):
    z = images(1, height=size, width=24)
    padded = pad_image(z, 3)
    assert padded.shape == (1, 2, max(-(-size // 8), 2) * 8, 24)
    assert torch.equal(crop_to(padded, z), z)


def test_padding_reflects_where_it_can():
    z = torch.arange(10.0).reshape(1, 1, 1, 10)
    padded = pad_image(z, 3)[0, 0, 0]
    assert padded.tolist() == [3, 2, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 7, 6]
    assert pad_image(z[..., :2], 1)[0, 0, 0].tolist() == [1, 0, 1, 0]
    assert pad_image(z[..., 3:5], 2)[0, 0, 0].tolist() == [3, 3, 3, 3, 4, 4, 4, 4]  # no three pixels to reflect


def test_gradient_of_the_whole_network():
    config = NetworkConfig.unet(2, 1, in_channels=1, out_channels=1, activation="silu", downsampling="stride")
    group = GroupNet(config, 2).double()
    z = images(2, 1, 4, 5, dtype=torch.float64).requires_grad_(True)
    weight = group.decoder.levels[0].first.convolution.weight

    def function(z, weight):
        parameters = {"levels.0.first.convolution.weight": weight}
        return torch.func.functional_call(group.decoder, parameters, (group.encoder(z), z))

    assert torch.autograd.gradcheck(function, (z, weight.detach().requires_grad_(True)))
