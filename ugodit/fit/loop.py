"""The loop behind `fit.fit`: what happens in one step, and the images at any time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate

import torch
from torch import Tensor

from ugodit.fit.checkpoint import DECODERS
from ugodit.fit.exchange import Alone, Exchange, clip_gradients, sum_gradients, take_turns
from ugodit.fit.execution import Replayed, adam, autocast, directly, set_rate, wants_compile, wants_graph
from ugodit.fit.fit_config import FitConfig
from ugodit.fit.group_state import GroupState
from ugodit.fit.initial import FirstStage, InitialEstimates
from ugodit.fit.model_config import ModelConfig
from ugodit.fit.random_choices import Choices
from ugodit.fit.step import learning_rate, step_loss
from ugodit.fit.stopping import HeldOutStopping
from ugodit.fit.test_time import Question, reconstruct, uncertainty, with_parameters
from ugodit.networks.calls import PLAIN, compiled
from ugodit.networks.unrolled import Unrolled
from ugodit.operators.protocol import Operator

HELD_OUT_INTERVAL = 10
"""Steps between two evaluations of the held-out error of random splits, each several calls of the network, and
on a GPU of any, as the loop waits for the device there."""


class Loop:
    """State of a fit; its methods are the parts of one step. `fixed`: nothing is drawn by the host inside the loop (see
    random_choices.py), which is how it runs on a GPU."""

    def __init__(
        self,
        model: Unrolled,
        operators: Sequence[Operator],
        form: ModelConfig,
        config: FitConfig,
        *,
        estimates: Sequence[InitialEstimates] | None = None,
        first_stage: FirstStage | None = None,
        fixed: bool | None = None,
        exchange: Exchange | None = None,
        own_decoders: bool | None = None,
    ) -> None:
        self.model, self.form, self.config = model, form, config
        device = operators[0].device
        self.on_gpu = device.type == "cuda"
        self.exchange = exchange or Alone()
        self.places = [self.exchange.rank + self.exchange.ranks * index for index in range(len(operators))]
        """Which of the whole group's operators these are."""
        self.own_decoders = model.network.decoders > 1 if own_decoders is None else own_decoders
        """Every item has a decoder of its own."""
        scans = torch.tensor(len(operators), device=device)
        self.exchange.sum([scans])
        self.generator = torch.Generator().manual_seed(config.seed)
        self._in_turn = partial(take_turns, self.exchange, self.generator, int(scans))
        first = [0, *accumulate(operator.shape[0] for operator in operators)]

        def begin(index: int) -> GroupState:
            decoders = slice(first[index], first[index + 1]) if model.network.decoders > 1 else slice(0, 1)
            made = estimates[index] if estimates else None
            return GroupState(operators[index], decoders, form, config, self.generator, made, first_stage)

        self.states: list[GroupState] = self._in_turn(begin)
        if fixed or (fixed is None and self.on_gpu):
            self._in_turn(lambda index: self.states[index].fix_choices())
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        names = [name for name, p in model.named_parameters() if p.requires_grad]
        own = {name for name in names if self.own_decoders and name.startswith(DECODERS)}
        self.shared = [p for name, p in zip(names, self.parameters, strict=True) if name not in own]
        """Those that the losses of all scans of the group have a part in."""
        frozen = not any(p.requires_grad for p in model.network.encoder.parameters())
        self.reuse = (
            frozen
            and form.splitting == "all"
            and not (form.iterations or form.input_noise or config.symmetries or form.learn_input)
        )
        """The encoder's input changes with `next_input` only, not at every step, and so do its features."""
        self.calls = compiled() if wants_compile(config, device) else PLAIN
        inputs = [state.input.requires_grad_() for state in self.states] if form.learn_input else []
        graph = wants_graph(config, device) and self.exchange.ranks == 1
        self.optimizer = adam([*self.parameters, *inputs], config.learning_rate, device, capturable=graph)
        self.average_weights = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        self.best_weights = self.average_weights
        self.stopping = HeldOutStopping(config.patience) if config.held_out else None
        # Not the methods themselves: bound methods kept here would be circles, which hold operators and networks until
        # the garbage collector comes by.
        self.run_work = Replayed(device) if graph else directly
        self.run_renew = Replayed(device) if graph else directly

    def step(self, iteration: int) -> Tensor:
        """Take Adam step 1, 2, ...; returns the loss."""
        set_rate(self.optimizer, learning_rate(iteration, self.config))
        for state in self.states:
            if state.fixed is not None:
                state.fixed.fill(iteration)
            if self.reuse and state.stale:
                self._encode(state)
        loss = self.run_work(self._work).clone()  # the next step of a graph overwrites it
        self._update_averages(iteration)
        if iteration % self.config.inner_steps == 0 and self.form.next_input != "fixed":
            self.run_renew(self._renew)
            for state in self.states:
                state.stale = True
        return loss

    def choose(self) -> list[Choices]:
        """What is random in this step, for each of the own scans."""
        fixed = [state.fixed.choices for state in self.states if state.fixed is not None]
        return fixed or self._in_turn(lambda index: self.states[index].choose())

    def _work(self) -> Tensor:
        """One Adam step; on a GPU it launches the same kernels every time and waits for nothing."""
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        for state, choices in zip(self.states, self.choose(), strict=True):
            loss, image = self._loss(state, choices)
            loss.backward()
            state.output = state.keep(state.output, image.detach())
            losses.append(loss.detach())
        if self.exchange.ranks > 1:
            sum_gradients(self.shared, self.exchange)
        if self.form.iterations:
            # The first steps through an untrained solve can be large; Adam alone forgets them slowly.
            clip_gradients(self.parameters, self.shared, self.exchange)
        self.optimizer.step()
        self.exchange.sum([total := torch.stack(losses).sum()])
        return total

    def _loss(self, state: GroupState, choices: Choices) -> tuple[Tensor, Tensor]:
        """The loss and image of one state."""
        split, start = choices.split, choices.split.estimate
        if choices.noise is not None:
            start = start + self.form.input_noise * start.detach().abs().max() * choices.noise
        evaluate = self._evaluator(state, choices)
        image = self.model(start, split.seen, state.decoders, evaluate, state.estimates.mu)
        return step_loss(image, start, state.output, split.held_out, self.form, self.config), image

    def _evaluator(self, state: GroupState, choices: Choices | None = None) -> Callable[[Tensor], Tensor]:
        """The network as one step sees it: precision, symmetries, and a frozen encoder's features kept.

        Without choices it is the network for an image that is looked at, plain.
        """
        network = self.model.network
        symmetries = iter(choices.symmetries) if choices is not None else iter(())
        calls = self.calls if choices is not None else PLAIN

        def evaluate(z: Tensor) -> Tensor:
            with autocast(z, self.config.precision):
                if choices is not None and self.reuse:
                    return network.decode(state.features, z, state.decoders, calls).float()
                there, back = next(symmetries, (_same, _same))
                return back(network(there(z), state.decoders, calls).float())

        return evaluate

    @torch.no_grad()
    def _encode(self, state: GroupState) -> None:
        """Bring the frozen encoder's features up to date, in the memory that they have."""
        with autocast(state.input, self.config.precision):
            features = self.model.network.encode(state.input, self.calls)
        if not state.features:
            state.features = features
        else:
            state.features = [state.keep(*pair) for pair in zip(state.features, features, strict=True)]
        state.stale = False

    @torch.no_grad()
    def _renew(self) -> Tensor:
        """The next inputs of all states."""
        for state in self.states:
            image = state.output
            if self.form.next_input == "data_consistent":
                image = image - state.fitted.gradient(image)
            # Outside the support nothing holds the network's output.
            state.input = state.keep(state.input, image * state.operator.support)
        return self.states[0].input

    @torch.no_grad()
    def _update_averages(self, iteration: int) -> None:
        # Young averages weigh all their members alike, so that the start is not remembered.
        decay = min(self.config.average, (iteration - 1) / iteration)
        if self.form.splitting == "random":
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    self.average_weights[name].lerp_(parameter, 1 - decay)
        else:
            for state in self.states:
                state.average.lerp_(state.output, 1 - decay)

    @torch.no_grad()
    def check_held_out(self, iteration: int) -> tuple[float | None, str | None]:
        """The held-out error where it is due, and why to stop, if so."""
        if self.stopping is None:
            return None, None
        costly = self.form.splitting == "random" or self.on_gpu
        if costly and iteration % HELD_OUT_INTERVAL and iteration != self.config.steps:
            return None, None
        error = self._held_out_error()
        if self.stopping.improved(iteration, error):
            self.best_weights = {name: weight.clone() for name, weight in self.average_weights.items()}
            for state in self.states:
                state.best_average = state.average.clone()
        return error, self.stopping.reason(iteration)

    def _held_out_error(self) -> float:
        errors = []
        for state in self.states:
            assert state.held_out is not None
            image = state.average
            if self.form.splitting == "random":
                image = self._answer(state, state.estimates, self.average_weights, reconstruct)
            errors.append((state.held_out.data_consistency(image) / state.held_out.energy()).mean())
        total = torch.stack([torch.stack(errors).sum(), torch.tensor(float(len(errors)), device=errors[0].device)])
        self.exchange.sum([total])
        return float(total[0] / total[1])

    @torch.no_grad()
    def _answer(
        self, state: GroupState, estimates: InitialEstimates, weights: dict[str, Tensor] | None, question: Question
    ) -> Tensor:
        """What the model makes of these estimates, with its own weights or those given."""

        def run() -> Tensor:
            return question(estimates, self.model, self._evaluator(state), state.decoders, self.config.mask_bank)

        return run() if weights is None else with_parameters(self.model, weights, run)

    def _final(self, weights: dict[str, Tensor] | None, question: Question) -> list[Tensor]:
        """For every operator, from all that was measured."""
        return [self._answer(state, state.from_all_measured(), weights, question) for state in self.states]

    def images(self) -> list[Tensor]:
        """Current reconstructions from all that was measured."""
        if self.form.splitting == "all":
            return [state.output.clone() for state in self.states]
        return self._final(None, reconstruct)

    def averages(self) -> list[Tensor]:
        """Reconstructions of the moving average, at its best where measurements were held out."""
        if self.form.splitting == "all":
            return [(state.best_average if self.stopping else state.average).clone() for state in self.states]
        return self._final(self.best_weights if self.stopping else self.average_weights, reconstruct)

    def uncertainties(self) -> list[Tensor]:
        """Of the averages."""
        if self.form.splitting == "all":
            raise ValueError("splitting: uncertainty comes from random splits, got all")
        return self._final(self.best_weights if self.stopping else self.average_weights, uncertainty)


def _same(image: Tensor) -> Tensor:
    return image
