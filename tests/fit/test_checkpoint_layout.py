"""Going on to the last bit where sums depend on how tensors lie in memory, and where operators hold several items."""

import dataclasses

import pytest
import torch
from scans import small_operator
from small_priors import quick

from ugodit.fit.checkpoint import LoopState
from ugodit.fit.fit import Step, fit
from ugodit.fit.fit_config import FitConfig
from ugodit.fit.loop import Loop
from ugodit.fit.model_config import ModelConfig
from ugodit.networks import GroupNet, NetworkConfig
from ugodit.networks.unrolled import Unrolled
from ugodit.operators import SenseOperator
from ugodit.operators.scale import normalize
from ugodit.priors.adaptation import build_model

STEPS = 7
RANDOM = quick("balanced").model, dataclasses.replace(quick("balanced").alone, steps=STEPS, mask_bank=3)
FED_BACK = (
    ModelConfig(initial_estimate="adjoint", next_input="output", input_noise=1e-5),
    FitConfig(steps=STEPS, inner_steps=2, autoencoding=1.0, proximity=0.1, learning_rate=4e-4),
)


def scan(seed: int, columns: int = 40) -> SenseOperator:
    return normalize(small_operator(seed=seed, columns=columns, noise=0.1)[0])[0]


def model_for(items: int, form: ModelConfig) -> Unrolled:
    output = "residual" if form.iterations else "direct"
    return build_model(GroupNet(NetworkConfig.unet(4, 1, activation="leaky_relu", output=output), items), form)


def run(
    operators: list[SenseOperator], form: ModelConfig, config: FitConfig, resume: LoopState | None = None
) -> tuple[list[Step], dict[int, LoopState]]:
    """All steps, and the states after them, as they are read from a file."""
    items = sum(operator.shape[0] for operator in operators)
    steps, states = [], {}
    for step in fit(model_for(items, form), operators, form, config, resume=resume):
        steps.append(step)
        states[step.iteration] = LoopState.from_bytes(step.state().to_bytes())[0]
    return steps, states


@pytest.mark.parametrize("after", [1, 2, 4, 5])
def test_outputs_that_are_fed_back_lie_in_memory_as_before(after: int) -> None:
    """The network leaves its images channels last. In rows, the sums of the losses would round otherwise."""
    operators = [scan(0), scan(5, columns=36)]
    whole, states = run(operators, *FED_BACK)
    assert not states[after].tensors["scan0.output"].is_contiguous()
    steps, again = run(operators, *FED_BACK, resume=states[after])
    assert [step.loss for step in steps] == [step.loss for step in whole[after:]]
    for name, tensor in states[STEPS].tensors.items():
        assert torch.equal(again[STEPS].tensors[name], tensor), name
        assert again[STEPS].tensors[name].stride() == tensor.stride(), name


def test_operators_of_several_items() -> None:
    both = [SenseOperator.stack([scan(0), scan(5)]), scan(7)]
    whole, states = run(both, *RANDOM)
    steps, _ = run(both, *RANDOM, resume=states[3])
    assert [step.loss for step in steps] == [step.loss for step in whole[3:]]


def test_parts_of_processes_keep_their_layout() -> None:
    state = run([scan(0)], *FED_BACK)[1][2]
    assert LoopState.of_ranks([state.to_bytes()]).tensors["scan0.output"].stride() == (
        state.tensors["scan0.output"].stride()
    )


def test_the_best_is_not_the_present_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit that goes on after the held-out error was lowest still ends with the average of that step."""
    held_out = FED_BACK[0], dataclasses.replace(FED_BACK[1], held_out=0.2, patience=3)
    errors = iter([3.0, 1.0, 2.0, 2.0, 2.0])
    monkeypatch.setattr(Loop, "_held_out_error", lambda _: next(errors))
    whole, states = run([scan(0)], *held_out)
    assert whole[-1].iteration == 5
    assert states[3].values["best_iteration"] == 2
    assert not torch.equal(states[3].tensors["scan0.best_average"], states[3].tensors["scan0.average"])
    errors = iter([2.0, 2.0])
    steps, _ = run([scan(0)], *held_out, resume=states[3])
    assert steps[-1].stopped == whole[-1].stopped
    assert torch.equal(steps[-1].averages()[0], whole[-1].averages()[0])
    # Before there is a lowest error, the best average is the present one.
    monkeypatch.setattr(Loop, "check_held_out", lambda *_: (None, None))
    steps, _ = run([scan(0)], *held_out, resume=run([scan(0)], *held_out)[1][2])
    assert torch.equal(steps[-1].averages()[0], run([scan(0)], *held_out)[0][-1].averages()[0])
