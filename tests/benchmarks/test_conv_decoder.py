import pytest
import torch
from conv_decoder import ConvDecoder
from scans import small_operator

from ugodit.fit.fit_config import FitConfig
from ugodit.fit.model_config import ModelConfig
from ugodit.priors.adaptation import FitPlan, adapt, build_model


@pytest.mark.parametrize("parameters", [500, 20_000, 300_000])
def test_its_size_is_the_nearest_below(parameters):
    decoder = ConvDecoder.of_size(parameters)
    count = sum(parameter.numel() for parameter in decoder.parameters())
    wider = ConvDecoder(decoder.channels + 1, 6)
    assert count <= parameters < sum(parameter.numel() for parameter in wider.parameters())


@pytest.mark.parametrize("shape", [(96, 96), (37, 250), (8, 8), (5, 3)])
def test_any_size_and_nothing_of_the_input_but_its_size(shape):
    decoder = ConvDecoder(6, 4, seed=3)
    first, second = (decoder(torch.full((2, 2, *shape), value)) for value in (0.0, 5.0))
    assert first.shape == (2, 2, *shape)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    sizes = decoder.sizes(shape)
    assert min(sizes[0]) <= 8
    assert sizes[-1] == shape
    assert ConvDecoder(6, 4, seed=4)(torch.zeros(1, 2, *shape)).ne(first[:1]).any()


def test_the_global_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    ConvDecoder(3, 3, seed=1)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_loop_fits_it():
    operator, _ = small_operator()
    form = ModelConfig(next_input="fixed")
    plan = FitPlan(build_model(ConvDecoder(8, 4), form), form, FitConfig(steps=60, learning_rate=1e-2))
    losses = [step.loss for step in adapt(operator, plan)]
    # It explains nothing at first (a loss relative to the measurements' energy) and half of them after 60 steps.
    assert losses[-1] < 0.5 < losses[0]
