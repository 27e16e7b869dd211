"""Prior: round trip, hash, warm starts."""

import dataclasses

import pytest
import torch
from prior_files import CONFIG, FORM, trained

from ugodit.networks import GroupNet, NetworkConfig
from ugodit.priors.prior import Prior


@pytest.mark.parametrize("config", [CONFIG, NetworkConfig.skip(4, 2, output="residual", normalisation="none")])
def test_round_trip(tmp_path, config):
    prior = trained(config)
    prior.save(tmp_path / "prior.safetensors")
    again = Prior.load(tmp_path / "prior.safetensors", config)
    assert again.network == config
    assert (again.training, again.provenance, again.decoders) == (prior.training, prior.provenance, 3)
    assert again.model == prior.model == FORM
    for part in ("encoder", "decoder", "extra"):
        before, after = getattr(prior, part), getattr(again, part)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
    z = torch.randn(3, 2, 9, 11, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.build()(z), GroupNet(config, 3, seed=1)(z))
    assert [path.name for path in tmp_path.iterdir()] == ["prior.safetensors"]


def test_holds_copies():
    group = GroupNet(CONFIG, 2)
    prior = Prior.of(group)
    before = prior.hash
    group.decoder.head.convolution.weight.data.add_(1)
    prior.build().encoder.levels[0][0].convolution.weight.data.add_(1)
    assert prior.hash == before


def test_build_warm_starts():
    prior = trained()
    z = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    group = GroupNet(CONFIG, 3, seed=1)
    assert torch.equal(prior.build(4, start=2)(z), group.warm_start(4, 2)(z))
    assert torch.equal(prior.build(4)(z), group.warm_start(4, "mean")(z))
    assert torch.equal(prior.build(4, start="fresh", seed=3)(z), group.warm_start(4, "fresh", seed=3)(z))


def test_hash(tmp_path):
    prior = trained()
    assert prior.hash == trained().hash
    for name in ("a", "b"):
        prior.save(tmp_path / name)
    assert Prior.load(tmp_path / "a").hash == Prior.load(tmp_path / "b").hash == prior.hash
    assert len(prior.hash) == 64
    assert prior.hash != trained(seed=2).hash
    group = GroupNet(CONFIG, 3, seed=1)
    hashes = {
        Prior.of(group).hash,
        Prior.of(group, training={"steps": 10}).hash,
        Prior.of(group, model=FORM).hash,
        Prior.of(group, model=dataclasses.replace(FORM, mu=0.06)).hash,
        Prior.of(group, extra={"mu": torch.zeros(1)}).hash,
        Prior.of(group, extra={"mu": torch.ones(1)}).hash,
        Prior.of(group, extra={"nu": torch.ones(1)}).hash,
        Prior.of(GroupNet(NetworkConfig.unet(3, 2, activation="silu"), 3, seed=1)).hash,
    }
    assert len(hashes) == 8
    assert Prior.of(group, provenance={"date": "today"}).hash == Prior.of(group).hash
