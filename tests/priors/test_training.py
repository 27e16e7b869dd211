"""The untrained model of a group."""

import dataclasses

import torch
from small_priors import NETWORK, quick, scan

from ugodit.priors.training import group_model


def test_a_decoder_for_every_item_and_all_alike() -> None:
    """Only then is their mean, from which adaptation starts, a decoder too."""
    preset = quick()
    config = dataclasses.replace(preset.train, shared_decoder=False)
    model = group_model([scan(), scan(2)], NETWORK, preset.model, config)
    assert model.network.decoders == 3
    for weight in model.network.decoder.parameters():
        assert torch.equal(weight, weight[:1].expand_as(weight))
    assert (model.iterations, model.solve_iterations) == (preset.model.iterations, preset.model.solve_iterations)
    assert all(parameter.requires_grad for parameter in model.network.parameters())
    other = group_model([scan()], NETWORK, preset.model, dataclasses.replace(config, seed=1))
    first, second = (next(one.network.encoder.parameters()) for one in (model, other))
    assert not torch.equal(first, second)


def test_one_decoder_for_all() -> None:
    preset = quick()
    assert preset.train.shared_decoder
    assert group_model([scan(), scan(2)], NETWORK, preset.model, preset.train).network.decoders == 1
