"""A fit that is broken off and gone on with gives the same bits as one that never was."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from scans import small_operator
from small_priors import NETWORK, quick

from ugodit.errors import InputError
from ugodit.fit.checkpoint import LoopState, interleaved
from ugodit.fit.fit import Step, fit
from ugodit.fit.fit_config import FitConfig
from ugodit.fit.loop import Loop
from ugodit.fit.loop_state import put_state, take_state
from ugodit.networks.unrolled import Unrolled
from ugodit.operators.scale import normalize
from ugodit.priors.presets import Preset
from ugodit.priors.training import group_model
from ugodit.reconstruction.checkpoints import most_bytes

STEPS = 6
OPERATORS = [normalize(small_operator(columns=40, noise=0.2, seed=seed)[0])[0] for seed in range(3)]


def changed(name: str, form: dict[str, Any] | None = None, **train: Any) -> Preset:
    preset = quick(name)
    few = {"steps": STEPS, "mask_bank": 3 if preset.model.splitting == "random" else preset.train.mask_bank}
    model = dataclasses.replace(preset.model, initial_iterations=4, **(form or {}))
    return dataclasses.replace(preset, model=model, train=dataclasses.replace(preset.train, **few, **train))


def begin(preset: Preset, resume: LoopState | None = None) -> tuple[Unrolled, Iterator[Step]]:
    model = group_model(OPERATORS, NETWORK, preset.model, preset.train)
    return model, fit(model, OPERATORS, preset.model, preset.train, resume=resume)


PRESETS = {
    "fast": changed("fast"),
    "balanced": changed("balanced"),
    "own decoders": changed("balanced", shared_decoder=False),
    "paper": changed("paper"),
    "shared decoder, all lines": changed("paper", shared_decoder=True, inner_steps=2),
    "learned input": changed("paper", {"next_input": "fixed", "learn_input": True}),
    "learned mu": changed("balanced", {"prior_variance": 0.0, "learn_mu": True}),
    "proximity": changed("balanced", proximity=0.1),
}


@pytest.mark.parametrize("after", [1, 4])
@pytest.mark.parametrize("name", PRESETS)
def test_a_fit_that_goes_on_has_the_same_bits(tmp_path: Path, name: str, after: int) -> None:
    preset = PRESETS[name]
    model, steps = begin(preset)
    expected = list(steps)[-1]
    _, broken_off = begin(preset)
    for _ in range(after):
        step = next(broken_off)
    step.state().save(tmp_path / "c", "settings")
    state, key = LoopState.load(tmp_path / "c")
    assert (state.iteration, key) == (after, "settings")
    again, rest = begin(preset, state)
    found = list(rest)
    assert [step.iteration for step in found] == list(range(after + 1, STEPS + 1))
    assert found[-1].loss == expected.loss
    assert found[0].seconds > step.seconds
    weights = again.state_dict()
    for weight, value in model.state_dict().items():
        assert torch.equal(weights[weight], value), weight
    for one, other in zip(found[-1].averages(), expected.averages(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["balanced", "paper"])
@pytest.mark.parametrize("fixed", [False, True])
def test_held_out_stopping_and_fixed_choices_go_on_too(name: str, fixed: bool) -> None:
    preset = changed(name, {"input_noise": 1e-2})
    config = FitConfig.from_dict(
        {key: value for key, value in preset.train.to_dict().items() if key != "shared_decoder"}
        | {"held_out": 0.2, "patience": 2}
    )

    def begin_loop() -> Loop:
        return Loop(
            group_model(OPERATORS, NETWORK, preset.model, preset.train), OPERATORS, preset.model, config, fixed=fixed
        )

    whole, first, second = begin_loop(), begin_loop(), begin_loop()
    results = [(float(whole.step(iteration)), *whole.check_held_out(iteration)) for iteration in range(1, STEPS + 1)]
    for iteration in range(1, 4):
        first.step(iteration)
        first.check_held_out(iteration)
    put_state(second, LoopState.from_bytes(take_state(first, 3, 1.0).to_bytes())[0])
    again = [(float(second.step(iteration)), *second.check_held_out(iteration)) for iteration in range(4, STEPS + 1)]
    assert again == results[3:]
    assert second.stopping == whole.stopping
    for one, other in zip(second.averages(), whole.averages(), strict=True):
        assert torch.equal(one, other)


def test_taking_a_state_changes_nothing() -> None:
    preset = PRESETS["balanced"]
    expected = [step.loss for step in begin(preset)[1]]
    found = []
    for step in begin(preset)[1]:
        step.state()
        found.append(step.loss)
    assert found == expected


def state() -> LoopState:
    return next(begin(PRESETS["own decoders"])[1]).state()


def test_a_damaged_or_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c"
    state().save(path, "settings")
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for content in (
        b"",
        b"no",
        whole[:-1],
        whole[:100],
        flipped,
        b"\xff" * 64,
        whole.replace(b'"iteration":"1"', b'"iteration":"2"'),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match="expected a checkpoint of `ugodit train`"):
            LoopState.load(path)
    with pytest.raises(InputError, match="c: "):
        LoopState.load(tmp_path / "c")
    with pytest.raises(InputError, match="nowhere"):
        LoopState.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "values",
    [
        {}, [], None, "text", {"own_decoders": True}, {"own_decoders": 1, "seconds": 1.0},
        {"own_decoders": True, "seconds": "1"}, {"own_decoders": True, "seconds": float("nan")},
        {"own_decoders": True, "seconds": 1.0, "best_error": 1.0},
        {"own_decoders": True, "seconds": 1.0, "best_error": None, "best_iteration": 1},
        {"own_decoders": True, "seconds": 1.0, "best_error": 0.5, "best_iteration": 0.5},
        {"own_decoders": True, "seconds": 1.0, "more": 1},
    ],
)  # fmt: skip
def test_values_that_no_fit_keeps_are_refused_whatever_the_digest_says(values: Any) -> None:
    content = LoopState(1, {"weight": torch.zeros(2)}, values).to_bytes()
    with pytest.raises(InputError, match="expected a checkpoint of `ugodit train`"):
        LoopState.from_bytes(content)


@pytest.mark.parametrize("iteration", [-5, 0, 1 << 31])
def test_a_step_that_is_none_is_refused(iteration: int) -> None:
    content = LoopState(iteration, {"weight": torch.zeros(2)}, {"own_decoders": True, "seconds": 1.0}).to_bytes()
    with pytest.raises(InputError, match="expected a checkpoint of `ugodit train`"):
        LoopState.from_bytes(content)


@pytest.mark.parametrize("strides", ["[2, 1000000000]", "[0, 1]", "[1, 1]", "[1, null]", "1", "[1]", "[" * 50_000])
def test_strides_that_no_tensor_has_are_refused(strides: str, monkeypatch: pytest.MonkeyPatch) -> None:
    as_text = json.dumps
    monkeypatch.setattr(
        json, "dumps", lambda value, **more: f'{{"weight": {strides}}}' if "weight" in value else as_text(value, **more)
    )
    tensors = {"weight": torch.ones(2, 3).t().contiguous().t()}
    content = LoopState(1, tensors, {"own_decoders": True, "seconds": 1.0}).to_bytes()
    with pytest.raises(InputError, match="expected a checkpoint of `ugodit train`"):
        LoopState.from_bytes(content)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("generator", None, "generator: not in the checkpoint"),
        ("generator", torch.zeros(3), "generator: not in the checkpoint"),
        ("generator", torch.full((5056,), 255, dtype=torch.uint8), "as the state of a generator"),
        ("adam.step.network.encoder", torch.zeros(2), "not in the checkpoint"),
        ("adam.step.network.encoder", torch.tensor(-1.0), "expected up to 1, got -1"),
        ("adam.step.network.encoder", torch.tensor(float("nan")), "expected up to 1, got nan"),
        ("weights.network.decoder", torch.zeros(1), "not in the checkpoint as"),
    ],
)
def test_tensors_that_no_fit_keeps_are_refused(name: str, tensor: torch.Tensor | None, message: str) -> None:
    found = state()
    changed = next(one for one in found.tensors if one.startswith(name))
    tensors = {one: value for one, value in found.tensors.items() if one != changed}
    tensors |= {} if tensor is None else {changed: tensor}
    with pytest.raises(InputError, match=message):
        next(begin(PRESETS["own decoders"], dataclasses.replace(found, tensors=tensors))[1])


def test_a_state_after_the_last_step_is_refused() -> None:
    found = dataclasses.replace(state(), iteration=STEPS)
    with pytest.raises(InputError, match="expected a state after step 1 to 5, got 6"):
        next(begin(PRESETS["own decoders"], found)[1])


@pytest.mark.parametrize("name", PRESETS)
def test_the_limit_holds_every_state_and_not_much_more(name: str) -> None:
    content = next(begin(PRESETS[name])[1]).state().to_bytes()
    sizes = [(24, 40)] * 3
    assert len(content) < most_bytes(PRESETS[name], sizes) - (1 << 24) + 100_000
    assert most_bytes(PRESETS[name], sizes) < (1 << 24) + 2_000_000


def test_a_state_of_another_fit_is_refused() -> None:
    with pytest.raises(InputError, match="not in the checkpoint"):
        next(begin(PRESETS["balanced"], state())[1])


def test_the_states_of_two_processes_are_one() -> None:
    whole = state()

    def part(rank: int) -> bytes:
        tensors = {
            name: one[rank::2].clone() if "network.decoder." in name and one.ndim else one
            for name, one in whole.tensors.items()
            if not name.startswith("scan") or int(name[4]) % 2 == rank
        }
        return LoopState(whole.iteration, tensors, whole.values).to_bytes()

    found = LoopState.of_ranks([part(0), part(1)])
    assert found.values == whole.values
    assert found.tensors.keys() == whole.tensors.keys()
    assert all(torch.equal(found.tensors[name], one) for name, one in whole.tensors.items())
    assert interleaved([torch.tensor([0, 2]), torch.tensor([1])]).tolist() == [0, 1, 2]
