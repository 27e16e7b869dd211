"""The loop as it runs on a GPU, tested on a CPU where it can be: fixed choices and memory, compiled, replayed."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from scans import line_mask, small_scan
from small_fits import SmallFit
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

from ugodit.errors import InputError
from ugodit.fit import execution
from ugodit.fit import loop as loop_module
from ugodit.fit.execution import WARM_UP
from ugodit.fit.fit import fit
from ugodit.fit.fit_config import FitConfig
from ugodit.fit.loop import Loop
from ugodit.fit.model_config import ModelConfig
from ugodit.networks import GroupNet, NetworkConfig, calls
from ugodit.networks.unrolled import Unrolled
from ugodit.operators import SenseOperator
from ugodit.operators.scale import normalize
from ugodit.priors.adaptation import build_model

# torch's compiler looks at .grad of every tensor and hides this warning itself, but not where warnings are errors.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")

PLAIN = SmallFit(
    ModelConfig(next_input="data_consistent", loss="norm"),
    FitConfig(steps=8, inner_steps=2, autoencoding=0.1, proximity=1e-2),
)
SPLIT = SmallFit(
    ModelConfig(
        splitting="random",
        iterations=2,
        next_input="fixed",
        initial_estimate="conjugate_gradient",
        solve_iterations=3,
    ),
    FitConfig(steps=8, mask_bank=3, schedule="cosine"),
)
BOTH = pytest.mark.parametrize("small", [PLAIN, SPLIT], ids=["all lines", "random splits"])


def scans(device: torch.device | str = "cpu") -> list[SenseOperator]:
    found = []
    for seed in (0, 5):
        kspace, maps, _ = small_scan(columns=40, seed=seed, noise=0.1)
        found.append(normalize(SenseOperator.from_kspace(kspace, maps, line_mask(40), device=device))[0])
    return found


def model_for(small: SmallFit, device: torch.device | str = "cpu", channels: int = 4) -> Unrolled:
    output = "residual" if small.form.iterations else "direct"
    network = NetworkConfig.unet(channels, 1, activation="leaky_relu", output=output)
    return build_model(GroupNet(network, 2, seed=0), small.form).to(device)


def losses(small: SmallFit, *, fixed: bool | None = None, frozen: bool = False, device: Any = "cpu") -> list[float]:
    model = model_for(small, device)
    model.network.freeze_encoder(frozen)
    loop = Loop(model, scans(device), *small, fixed=fixed)
    return [float(loop.step(iteration)) for iteration in range(1, small.config.steps + 1)]


@pytest.mark.parametrize("frozen", [False, True])
def test_fixed_memory_changes_nothing(frozen: bool) -> None:
    """Nothing random here: the loop with everything in fixed places, and the loop as it runs on a CPU."""
    # Tensors lie in memory in another order there, so sums round otherwise, and Adam enlarges that in its first steps.
    assert losses(PLAIN, fixed=True, frozen=frozen) == pytest.approx(losses(PLAIN, frozen=frozen), rel=1e-4)


def test_memory_stays_where_it_is() -> None:
    model = model_for(PLAIN)
    model.network.freeze_encoder()
    loop = Loop(model, scans(), *PLAIN, fixed=True)
    loop.step(1)

    def addresses() -> list[int]:
        tensors = [t for state in loop.states for t in (state.input, state.output, state.average, *state.features)]
        return [tensor.data_ptr() for tensor in tensors]

    before = addresses()
    inputs = [state.input.clone() for state in loop.states]
    features = [state.features[0].clone() for state in loop.states]
    for iteration in range(2, 7):
        loop.step(iteration)
    assert addresses() == before
    assert not any(torch.equal(state.input, old) for state, old in zip(loop.states, inputs, strict=True))
    assert not any(torch.equal(state.features[0], old) for state, old in zip(loop.states, features, strict=True))


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
def test_compiled_losses_are_the_same(small: SmallFit, precision: Any, counter: CompileCounterWithBackend) -> None:
    small = small.but(precision=precision, steps=4)
    # The same operations, some fused or in another order; bfloat16 keeps 8 bits.
    tolerance = 1e-4 if precision == "float32" else 2e-2
    for frozen in (False, True):
        expected = losses(small, frozen=frozen)
        got = losses(small.but(compile="on"), frozen=frozen)
        assert got == pytest.approx(expected, rel=tolerance)
    assert counter.frame_count > 0


def test_one_compiled_form_serves_all_decoders_and_fits(counter: CompileCounterWithBackend) -> None:
    small = SPLIT.but(compile="on", steps=2)
    losses(small)
    after_one = counter.frame_count
    losses(small.but(seed=3))
    # An encoder and a decoder, for an input without a gradient (the first unroll) and for one with it (the second).
    assert after_one == counter.frame_count == 4


@pytest.mark.parametrize("symmetries", [False, True])
@BOTH
def test_a_whole_loss_has_no_graph_break(small: SmallFit, symmetries: bool) -> None:
    """Network, operator, solve and loss: the kernels are opaque nodes, and nothing else stands in the way."""
    small = small.but(symmetries=symmetries)
    loop = Loop(model_for(small), scans(), *small, fixed=True)
    state = loop.states[0]
    assert state.fixed is not None
    state.fixed.fill(1)
    choices = state.fixed.choices

    def loss() -> Tensor:
        return loop._loss(state, choices)[0]

    expected = loss()
    got = torch.compile(loss, backend="aot_eager", fullgraph=True)()
    assert float(got.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    torch.compiler.reset()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, of what its code generator uses
def test_compiled_for_this_processor() -> None:
    """With the code generator, which takes a minute."""
    small = SPLIT.but(steps=4)
    assert losses(small.but(compile="on")) == pytest.approx(losses(small), rel=1e-4)


def test_graphs_are_for_gpus() -> None:
    small = PLAIN.but(cuda_graph="on")
    with pytest.raises(InputError, match="cuda_graph: expected a CUDA device to be on, got cpu; set it to auto"):
        next(fit(model_for(small), scans(), *small))


# ---- on a GPU -----------------------------------------------------------------------------------------------------

EAGER: dict[str, Any] = {"compile": "off", "cuda_graph": "off"}


@pytest.mark.gpu
@pytest.mark.parametrize("frozen", [False, True])
@BOTH
def test_a_replayed_fit_is_the_eager_one(small: SmallFit, frozen: bool) -> None:
    small = small.but(steps=12, input_noise=0.01 if small.form.iterations else 0.0, symmetries=True)
    expected = losses(small.but(**EAGER), frozen=frozen, device="cuda")
    graph = small.but(compile="off", cuda_graph="on")
    # The same kernels; cuDNN's choice of algorithm, and sums without an order, may differ, and Adam enlarges it.
    assert losses(graph, frozen=frozen, device="cuda") == pytest.approx(expected, rel=5e-3)


@pytest.mark.gpu
@BOTH
def test_a_compiled_and_replayed_fit_is_close(small: SmallFit) -> None:
    small = small.but(steps=12)
    expected = losses(small.but(**EAGER), device="cuda")
    got = losses(small.but(compile="on", cuda_graph="on"), device="cuda")
    assert got == pytest.approx(expected, rel=1e-2)


@pytest.mark.gpu
@pytest.mark.parametrize("graph", ["off", "on"])
@BOTH
def test_no_step_waits_for_the_device(small: SmallFit, graph: Any) -> None:
    small = small.but(steps=20, compile="off", cuda_graph=graph, precision="bfloat16")
    small = small.but(input_noise=0.01, symmetries=True)
    loop = Loop(model_for(small, "cuda"), scans("cuda"), *small)
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
    small = PLAIN.but(steps=10, compile="off")
    model = model_for(small, "cuda")
    images = [step.images()[0] for step in fit(model, scans("cuda"), *small)]
    assert len({float(image.norm()) for image in images}) == 10


@pytest.mark.parametrize("native", [False, True])
def test_precision_auto_is_what_the_processor_multiplies_in(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "_multiplies_bfloat16", lambda: native)
    cpu = torch.device("cpu")
    assert execution.chosen_precision("auto", cpu) == ("bfloat16" if native else "float32")
    assert [execution.chosen_precision(name, cpu) for name in ("float32", "bfloat16")] == ["float32", "bfloat16"]
    with execution.autocast(torch.zeros(1), "auto"):
        assert torch.is_autocast_enabled("cpu") == native
