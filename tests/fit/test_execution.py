"""The loop as it runs on a GPU, tested on a CPU where it can be: fixed draws and memory, compiled, replayed."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from scans import line_mask, small_scan
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

from ugodit.errors import InputError
from ugodit.fit import loop as loop_module
from ugodit.fit.config import FitConfig
from ugodit.fit.execution import WARM_UP
from ugodit.fit.fit import fit
from ugodit.fit.loop import Loop
from ugodit.fit.random_choices import FixedDraws, random_symmetries, symmetry_of
from ugodit.fit.symmetry import rotate_phase
from ugodit.networks import GroupNet, NetworkConfig, calls
from ugodit.networks.unrolled import Unrolled
from ugodit.operators import SenseOperator
from ugodit.priors.adaptation import build_model, normalize

# torch's compiler looks at .grad of every tensor and hides this warning itself, but not where warnings are errors.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")

PLAIN = FitConfig(steps=8, next_input="data_consistent", inner_steps=2, autoencoding=0.1, proximity=1e-2, loss="norm")
SPLIT = FitConfig(
    steps=8,
    splitting="random",
    unrolls=2,
    next_input="fixed",
    start="conjugate_gradient",
    solve_iterations=3,
    pool=3,
    schedule="cosine",
)
BOTH = pytest.mark.parametrize("config", [PLAIN, SPLIT], ids=["all lines", "random splits"])


def scans(device: torch.device | str = "cpu") -> list[SenseOperator]:
    found = []
    for seed in (0, 5):
        kspace, maps, _ = small_scan(columns=40, seed=seed, noise=0.1)
        found.append(normalize(SenseOperator.from_kspace(kspace, maps, line_mask(40), device=device))[0])
    return found


def model_for(config: FitConfig, device: torch.device | str = "cpu", channels: int = 4) -> Unrolled:
    output = "residual" if config.unrolls else "direct"
    network = NetworkConfig.unet(channels, 1, activation="leaky_relu", output=output)
    return build_model(GroupNet(network, 2, seed=0), config).to(device)


def losses(config: FitConfig, *, fixed: bool | None = None, frozen: bool = False, device: Any = "cpu") -> list[float]:
    model = model_for(config, device)
    model.network.freeze_encoder(frozen)
    loop = Loop(model, scans(device), config, fixed=fixed)
    return [float(loop.step(iteration)) for iteration in range(1, config.steps + 1)]


@pytest.mark.parametrize("frozen", [False, True])
def test_fixed_memory_changes_nothing(frozen: bool) -> None:
    """Nothing random here: the loop with everything in fixed places, and the loop as it runs on a CPU."""
    # Tensors lie in memory in another order there, so sums round otherwise, and Adam enlarges that in its first steps.
    assert losses(PLAIN, fixed=True, frozen=frozen) == pytest.approx(losses(PLAIN, frozen=frozen), rel=1e-4)


def test_memory_stays_where_it_is() -> None:
    model = model_for(PLAIN)
    model.network.freeze_encoder()
    loop = Loop(model, scans(), PLAIN, fixed=True)
    loop.step(1)

    def addresses() -> list[int]:
        tensors = [t for item in loop.items for t in (item.input, item.output, item.average, *item.features)]
        return [tensor.data_ptr() for tensor in tensors]

    before = addresses()
    inputs = [item.input.clone() for item in loop.items]
    features = [item.features[0].clone() for item in loop.items]
    for iteration in range(2, 7):
        loop.step(iteration)
    assert addresses() == before
    assert not any(torch.equal(item.input, old) for item, old in zip(loop.items, inputs, strict=True))
    assert not any(torch.equal(item.features[0], old) for item, old in zip(loop.items, features, strict=True))


@BOTH
def test_the_host_draws_nothing_inside_the_loop(config: FitConfig) -> None:
    config = dataclasses.replace(config, input_noise=0.01, symmetries=True)
    loop = Loop(model_for(config), scans(), config, fixed=True)
    before = loop.generator.get_state(), torch.get_rng_state()
    for iteration in range(1, config.steps + 1):
        loop.step(iteration)
    assert torch.equal(loop.generator.get_state(), before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


@BOTH
def test_a_seed_repeats_fixed_draws_and_another_does_not(config: FitConfig) -> None:
    config = dataclasses.replace(config, input_noise=0.01, symmetries=True)
    found = [losses(dataclasses.replace(config, seed=seed), fixed=True) for seed in (1, 1, 2)]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_fixed_draws_visit_the_pool_first_and_draw_noise_anew() -> None:
    config = dataclasses.replace(SPLIT, steps=40, input_noise=0.1)
    item = Loop(model_for(config), scans(), config, fixed=True).items[0]
    draws = item.fixed
    assert isinstance(draws, FixedDraws)
    assert len(draws.members) == config.pool
    seen, noises = [], []
    for iteration in range(1, 41):
        draws.fill(iteration)
        assert draws.draw.noise is not None
        noises.append(draws.draw.noise.clone())
        seen.append(next(i for i, m in enumerate(draws.members) if torch.equal(m.split.input, draws.draw.split.input)))
        assert torch.equal(draws.draw.start, draws.members[seen[-1]].start)
        assert torch.equal(draws.draw.split.loss, draws.members[seen[-1]].split.loss)
    assert seen[:3] == [0, 1, 2]
    assert set(seen[3:]) == {0, 1, 2}
    assert not torch.equal(noises[0], noises[1])
    assert min(float(noise.min()) for noise in noises) >= 0
    assert max(float(noise.max()) for noise in noises) < 1


def test_symmetries_from_numbers() -> None:
    image = torch.randn(2, 2, 5, 6)
    for across in (0.0, 1.0):
        for down in (0.0, 1.0):
            turn, turn_back = symmetry_of(torch.tensor([math.cos(0.7), math.sin(0.7), across, down]))
            axes = [axis for axis, wanted in ((-1, across), (-2, down)) if wanted]
            torch.testing.assert_close(turn(image), rotate_phase(image, 0.7).flip(axes))
            torch.testing.assert_close(turn_back(turn(image)), image)
    numbers = random_symmetries(200, 2, torch.Generator().manual_seed(0))
    assert numbers.shape == (200, 2, 4)
    torch.testing.assert_close(numbers[..., :2].square().sum(-1), torch.ones(200, 2))
    assert set(numbers[..., 2:].unique().tolist()) == {0.0, 1.0}
    # 800 fair coins: five standard deviations are 0.09.
    assert abs(float(numbers[..., 2:].mean()) - 0.5) < 0.1


# ---- compiled -----------------------------------------------------------------------------------------------------


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Iterator[CompileCounterWithBackend]:
    """Compiled without a code generator, and refused where the graph would break."""
    torch.compiler.reset()
    found = CompileCounterWithBackend("aot_eager")

    def compiled() -> calls.Calls:
        return calls.Calls(
            *(torch.compile(f, backend=found, dynamic=False, fullgraph=True) for f in (calls._encode, calls._decode))
        )

    monkeypatch.setattr(loop_module, "compiled", compiled)
    yield found
    torch.compiler.reset()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@BOTH
def test_compiled_losses_are_the_same(config: FitConfig, precision: Any, counter: CompileCounterWithBackend) -> None:
    config = dataclasses.replace(config, precision=precision, steps=4)
    # The same operations, some fused or in another order; bfloat16 keeps 8 bits.
    tolerance = 1e-4 if precision == "float32" else 2e-2
    for frozen in (False, True):
        expected = losses(config, frozen=frozen)
        got = losses(dataclasses.replace(config, compile="on"), frozen=frozen)
        assert got == pytest.approx(expected, rel=tolerance)
    assert counter.frame_count > 0


def test_one_compiled_form_serves_all_decoders_and_fits(counter: CompileCounterWithBackend) -> None:
    config = dataclasses.replace(SPLIT, compile="on", steps=2)
    losses(config)
    after_one = counter.frame_count
    losses(dataclasses.replace(config, seed=3))
    # An encoder and a decoder, for an input without a gradient (the first unroll) and for one with it (the second).
    assert after_one == counter.frame_count == 4


@BOTH
def test_a_whole_loss_has_no_graph_break(config: FitConfig) -> None:
    """Network, operator, solve and loss: the kernels are opaque nodes, and nothing else stands in the way."""
    loop = Loop(model_for(config), scans(), config, fixed=True)
    item = loop.items[0]
    assert item.fixed is not None
    draw = item.fixed.draw

    def loss() -> Tensor:
        return loop._loss(item, draw)[0]

    expected = loss()
    got = torch.compile(loss, backend="aot_eager", fullgraph=True)()
    assert float(got.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    torch.compiler.reset()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, of what its code generator uses
def test_compiled_for_this_processor() -> None:
    """With the code generator, which takes a minute."""
    config = dataclasses.replace(SPLIT, steps=4)
    assert losses(dataclasses.replace(config, compile="on")) == pytest.approx(losses(config), rel=1e-4)


def test_graphs_are_for_gpus() -> None:
    config = dataclasses.replace(PLAIN, cuda_graph="on")
    with pytest.raises(InputError, match="cuda_graph: expected a CUDA device to be on, got cpu; set it to auto"):
        next(fit(model_for(config), scans(), config))


def test_modes_are_checked() -> None:
    with pytest.raises(InputError, match="compile: expected one of auto, on, off, got 'yes'"):
        FitConfig(compile="yes")  # type: ignore[arg-type]


# ---- on a GPU -----------------------------------------------------------------------------------------------------

EAGER: dict[str, Any] = {"compile": "off", "cuda_graph": "off"}


@pytest.mark.gpu
@pytest.mark.parametrize("frozen", [False, True])
@BOTH
def test_a_replayed_fit_is_the_eager_one(config: FitConfig, frozen: bool) -> None:
    config = dataclasses.replace(config, steps=12, input_noise=0.01 if config.unrolls else 0.0, symmetries=True)
    expected = losses(dataclasses.replace(config, **EAGER), frozen=frozen, device="cuda")
    graph = dataclasses.replace(config, compile="off", cuda_graph="on")
    # The same kernels; cuDNN's choice of algorithm, and sums without an order, may differ, and Adam enlarges it.
    assert losses(graph, frozen=frozen, device="cuda") == pytest.approx(expected, rel=5e-3)


@pytest.mark.gpu
@BOTH
def test_a_compiled_and_replayed_fit_is_close(config: FitConfig) -> None:
    config = dataclasses.replace(config, steps=12)
    expected = losses(dataclasses.replace(config, **EAGER), device="cuda")
    got = losses(dataclasses.replace(config, compile="on", cuda_graph="on"), device="cuda")
    assert got == pytest.approx(expected, rel=1e-2)


@pytest.mark.gpu
@pytest.mark.parametrize("graph", ["off", "on"])
@BOTH
def test_no_step_waits_for_the_device(config: FitConfig, graph: Any) -> None:
    config = dataclasses.replace(config, steps=20, compile="off", cuda_graph=graph, precision="bfloat16")
    config = dataclasses.replace(config, input_noise=0.01, symmetries=True)
    loop = Loop(model_for(config, "cuda"), scans("cuda"), config)
    steps = iter(range(1, 21))
    found = [loop.step(next(steps)) for _ in range(2 * WARM_UP + 2)]  # both graphs, of a step and of the next inputs
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found += [loop.step(iteration) for iteration in steps]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    values = torch.stack(found)
    assert values.isfinite().all()
    assert len(values.unique()) > 10  # each step's loss is its own memory


@pytest.mark.gpu
def test_images_of_a_step_are_kept() -> None:
    config = dataclasses.replace(PLAIN, steps=10, compile="off")
    model = model_for(config, "cuda")
    images = [step.images()[0] for step in fit(model, scans("cuda"), config)]
    assert len({float(image.norm()) for image in images}) == 10
