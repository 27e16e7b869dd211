"""Encode and decode steps of a group: what the choices in ugodit/networks cost on this machine.

    python -m pytest benchmarks/bench_networks.py --benchmark-only --benchmark-group-by=group
    OMP_NUM_THREADS=1 python -m pytest ... --benchmark-timer=time.process_time     # where others use the machine too

One step is forward and backward of a 256 x 256 image for each decoder. `full` trains encoder and decoders, `decode` the
decoders on a frozen encoder's features. Before it is timed, each way is shown to compute what the others do.
"""

import pytest
import torch

from ugodit.networks import GroupNet, NetworkConfig
from ugodit.networks.blocks import Conv2d

SIZE = 256


def step(group, z, precision, frozen):
    """A function that takes one training step's gradients and returns the output."""
    group.freeze_encoder(frozen)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        features = group.encode(z) if frozen else None

    def gradients():
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            y = group.decode(group.encode(z) if features is None else features, z)
        y.backward(y.detach())
        return y.detach()

    return gradients


def measure(benchmark, group, z, precision, frozen, expected):
    gradients = step(group, z, precision, frozen)
    # float32: another order of summation, amplified by the normalisations; bfloat16: 2^-9 a rounding, 20 layers
    tolerance = 0.05 if precision == "bfloat16" else 1e-3
    assert (gradients() - expected).norm() <= tolerance * expected.norm()
    benchmark.pedantic(gradients, rounds=4)


def images(batch):
    return torch.randn(batch, 2, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("frozen", [False, True], ids=["full", "decode"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("decoders", [1, 4])
@pytest.mark.parametrize("way", ["one after another", "together", "together, channels last"])
def test_ways_to_evaluate_a_group(benchmark, way, decoders, precision, frozen):
    benchmark.group = f"{decoders} decoders, {precision}, {'decode' if frozen else 'full'}"
    group = GroupNet(NetworkConfig.unet(16), decoders)
    z = images(decoders)
    with torch.no_grad():
        expected = group(z)
    group.together = way != "one after another"
    if way == "together, channels last":
        z = z.contiguous(memory_format=torch.channels_last)
    measure(benchmark, group, z, precision, frozen, expected)


@pytest.mark.parametrize("frozen", [False, True], ids=["full", "decode"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("joined", [False, True], ids=["apart", "joined"])
def test_skip_features_apart_or_joined(benchmark, monkeypatch, joined, precision, frozen):
    benchmark.group = f"skip features, {precision}, {'decode' if frozen else 'full'}"
    group = GroupNet(NetworkConfig.unet(16))
    z = images(1)
    with torch.no_grad():
        expected = group(z)
    if joined:
        monkeypatch.setattr(Conv2d, "of_joined", lambda self, first, second: self(torch.cat((first, second), 1)))
    measure(benchmark, group, z, precision, frozen, expected)


OPTIONS = {
    "base 16": {},
    "bilinear_corners": {"upsampling": "bilinear_corners"},
    "nearest": {"upsampling": "nearest"},
    "instance": {"normalisation": "instance"},
    "none": {"normalisation": "none"},
    "reflect": {"padding": "reflect"},
    "stride": {"downsampling": "stride"},
    "silu": {"activation": "silu"},
    "skip 32 x 5": {"family": "skip", "channels": (32,) * 5, "downsampling": "stride"},
}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", OPTIONS)
def test_options(benchmark, name, precision):
    """Different networks, nothing to compare: the price of a choice in a decode step."""
    benchmark.group = f"options, {precision}, decode"
    group = GroupNet(NetworkConfig(**{"channels": (16, 32, 64, 64), **OPTIONS[name]}))
    benchmark.pedantic(step(group, images(1), precision, frozen=True), rounds=4, warmup_rounds=1)
