"""The one loop: group training, adaptation and every baseline are options of it.

`fit` moves a network until its images explain the measurements, and yields a `Step` record after every Adam step. It
prints, logs and saves nothing: the caller does, and the caller may stop at any step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call

from .config import FitConfig
from .ensemble import Starts, combine
from .networks.unrolled import Unrolled
from .operators.sense import SenseOperator
from .splitting import acs_core, split_all
from .stopping import HeldOutStopping, hold_out
from .symmetry import random_symmetry

HELD_OUT_INTERVAL = 10
"""Steps between two evaluations of the held-out loss of random splits, each a forward for every split of the pool."""


@dataclass(frozen=True)
class Step:
    """What one Adam step left behind. Tensors stay on the device until they are asked for."""

    iteration: int
    """1, 2, ..."""
    seconds: float
    """Since the loop began, the caller's own work between steps left out."""
    loss_tensor: Tensor
    """Sum over the items, 0-dimensional."""
    held_out: float | None
    """Loss of the held-out lines relative to their energy, mean over the items; None where it was not evaluated."""
    stopped: str | None
    """Why this is the last step, or None."""
    images: Callable[[], list[Tensor]]
    """Computes the current reconstructions, one (B, 2, H, W) for each operator."""
    averages: Callable[[], list[Tensor]]
    """Computes the reconstructions of the moving average (at the best held-out loss, where lines are held out)."""

    @property
    def loss(self) -> float:
        """The loss as a number; waits for the device."""
        return float(self.loss_tensor)


class _Item:
    """One operator's share of the loop's state."""

    def __init__(self, operator: SenseOperator, which: slice, config: FitConfig, generator: torch.Generator) -> None:
        self.operator = operator
        self.which = which
        self.fitted, self.held_out = operator.weights, None
        if config.held_out:
            core = acs_core(operator.weights)
            self.fitted, self.held_out = hold_out(operator.weights, core, config.held_out, config.seed)
        self.starts = Starts(operator, config, generator, self.fitted)
        self.input = self.starts.all_lines
        self.features: list[Tensor] | None = None
        self.output = self.input
        self.average = torch.zeros_like(self.input)
        self.best_average = self.average
        self.final_starts: Starts | None = None
        """Of all lines, where some were held out; made when it is asked for."""


def fit(model: Unrolled, operators: Sequence[SenseOperator], config: FitConfig) -> Iterator[Step]:
    """Fit every parameter of `model` that requires a gradient to the measurements of `operators`.

    Args:
        model: its network has a decoder for each item of all operators together, in order, or just one.
        operators: the scans; each holds one or more items of one size. Measurements scaled as FitConfig says.
        config: the options.

    Yields:
        A `Step` after every Adam step, `config.steps` of them at most.

    Raises:
        InputError: a mask that cannot be split as the configuration asks.
    """
    began = time.perf_counter()
    loop = _Loop(model, operators, config)
    elapsed = time.perf_counter() - began
    for iteration in range(1, config.steps + 1):
        began = time.perf_counter()
        loss = loop.step(iteration)
        held_out, reason = loop.check_held_out(iteration)
        elapsed += time.perf_counter() - began
        if iteration == config.steps and reason is None:
            reason = f"all {config.steps} steps done"
        yield Step(iteration, elapsed, loss, held_out, reason, loop.images, loop.averages)
        if reason is not None:
            return


class _Loop:
    """State of a fit; its methods are the parts of one step."""

    def __init__(self, model: Unrolled, operators: Sequence[SenseOperator], config: FitConfig) -> None:
        self.model, self.config = model, config
        self.generator = torch.Generator().manual_seed(config.seed)
        self.items: list[_Item] = []
        first = 0
        for operator in operators:
            self.items.append(_Item(operator, slice(first, first + operator.shape[0]), config, self.generator))
            first += operator.shape[0]
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.frozen = not any(p.requires_grad for p in model.network.encoder.parameters())
        inputs = [item.input.requires_grad_() for item in self.items] if config.learn_input else []
        on_gpu = operators[0].device.type == "cuda"
        self.optimizer = torch.optim.Adam([*self.parameters, *inputs], lr=config.learning_rate, fused=on_gpu)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)
        self.average_weights = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        self.best_weights = self.average_weights
        self.stopping = HeldOutStopping(config.patience) if config.held_out else None

    def _rate(self, step: int) -> float:
        if self.config.schedule == "constant":
            return 1.0
        warm_up = min(1.0, (step + 1) / 10)
        return warm_up * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * step / self.config.steps))))

    def step(self, iteration: int) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        for item in self.items:
            loss = self._loss(item)
            loss.backward()
            losses.append(loss.detach())
        if self.config.unrolls:
            # The first steps through an untrained solve can be large; Adam alone forgets them slowly.
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.schedule.step()
        self._update_averages(iteration)
        if iteration % self.config.inner_steps == 0 and self.config.next_input != "fixed":
            for item in self.items:
                self._next_input(item)
        return torch.stack(losses).sum()

    def _loss(self, item: _Item) -> Tensor:
        config = self.config
        if config.splitting == "random":
            member = item.starts.member()
            split, start = member.split, member.start
        else:
            split, start = split_all(item.fitted), item.input
        operator = item.operator.with_weights(split.input)
        if config.input_noise:
            noise = torch.rand(start.shape, generator=self.generator).to(start.device)
            start = start + config.input_noise * start.detach().abs().max() * noise
        reuse = self.frozen and not config.unrolls and start is item.input and not config.symmetries
        reuse = reuse and not config.learn_input
        image = self.model(start, operator, item.which, self._evaluator(item, training=True, reuse=reuse))
        judged = item.operator.with_weights(split.loss)
        loss = self._distance(judged.data_consistency(image), judged.energy())
        if config.autoencoding:
            loss = loss + config.autoencoding * self._distance(_energy(image - start), _energy(start.detach()))
        if config.proximity:
            loss = loss + config.proximity * self._distance(_energy(image - item.output), _energy(image.detach()))
        item.output = image.detach()
        return loss

    def _distance(self, squared: Tensor, energy: Tensor) -> Tensor:
        relative = squared / energy.clamp_min(torch.finfo(torch.float32).tiny)
        if self.config.loss == "norm":
            # The root's slope is infinite at zero, where the very first distances are.
            relative = (relative + 1e-12).sqrt()
        return relative.sum()

    def _evaluator(self, item: _Item, *, training: bool, reuse: bool = False) -> Callable[[Tensor], Tensor]:
        """The network as one call sees it: precision, symmetries, and a frozen encoder's features kept (`reuse`)."""
        config, network = self.config, self.model.network

        def evaluate(z: Tensor) -> Tensor:
            enabled = config.precision == "bfloat16"
            with torch.autocast(z.device.type, dtype=torch.bfloat16, enabled=enabled):
                if reuse:
                    # The frozen encoder's input changes with `next_input` only, not at every step.
                    if item.features is None:
                        with torch.no_grad():
                            item.features = network.encode(z)
                    return network.decode(item.features, z, item.which).float()
                if training and config.symmetries:
                    turn, turn_back = random_symmetry(self.generator)
                    return turn_back(network(turn(z), item.which).float())
                return network(z, item.which).float()

        return evaluate

    @torch.no_grad()
    def _next_input(self, item: _Item) -> None:
        image = item.output
        if self.config.next_input == "data_consistent":
            image = image - item.operator.with_weights(item.fitted).residual(image)[1]
        # Outside the support nothing holds the network's output.
        item.input = image * item.operator.support
        item.features = None

    @torch.no_grad()
    def _update_averages(self, iteration: int) -> None:
        # Young averages weigh all their members alike, so that the start is not remembered.
        decay = min(self.config.average, (iteration - 1) / iteration)
        if self.config.splitting == "random":
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    self.average_weights[name].lerp_(parameter, 1 - decay)
        else:
            for item in self.items:
                item.average = torch.lerp(item.average, item.output, 1 - decay)

    @torch.no_grad()
    def check_held_out(self, iteration: int) -> tuple[float | None, str | None]:
        if self.stopping is None:
            return None, None
        costly = self.config.splitting == "random"
        if costly and iteration % HELD_OUT_INTERVAL and iteration != self.config.steps:
            return None, None
        loss = self._held_out_loss()
        if self.stopping.improved(iteration, loss):
            self.best_weights = {name: weight.clone() for name, weight in self.average_weights.items()}
            for item in self.items:
                item.best_average = item.average
        return loss, self.stopping.reason(iteration)

    def _held_out_loss(self) -> float:
        losses = []
        for item in self.items:
            assert item.held_out is not None
            judged = item.operator.with_weights(item.held_out)
            image = item.average
            if self.config.splitting == "random":
                image = self._combined(item, item.starts, self.average_weights)
            losses.append((judged.data_consistency(image) / judged.energy()).mean())
        return float(torch.stack(losses).mean())

    @torch.no_grad()
    def _combined(self, item: _Item, starts: Starts, parameters: dict[str, Tensor] | None) -> Tensor:
        """From all splits, with the model's own weights or those given."""

        def run() -> Tensor:
            return combine(starts, self.model, item.which, self._evaluator(item, training=False))

        if parameters is None:
            return run()
        return functional_call(_Call(self.model, run), {f"model.{name}": p for name, p in parameters.items()}, ())

    def _final(self, item: _Item, parameters: dict[str, Tensor] | None) -> Tensor:
        if item.held_out is None:
            return self._combined(item, item.starts, parameters)
        if item.final_starts is None:
            item.final_starts = Starts(item.operator, self.config, self.generator)
        return self._combined(item, item.final_starts, parameters)

    def images(self) -> list[Tensor]:
        """Current reconstructions from all measured lines."""
        if self.config.splitting == "all":
            return [item.output for item in self.items]
        return [self._final(item, None) for item in self.items]

    def averages(self) -> list[Tensor]:
        """Reconstructions of the moving average, at its best where lines were held out."""
        if self.config.splitting == "all":
            return [item.best_average if self.stopping else item.average for item in self.items]
        parameters = self.best_weights if self.stopping else self.average_weights
        return [self._final(item, parameters) for item in self.items]


class _Call(torch.nn.Module):
    """Lets `functional_call` swap the model's parameters while `run` is called."""

    def __init__(self, model: Unrolled, run: Callable[[], Tensor]) -> None:
        super().__init__()
        self.model, self.run = model, run

    def forward(self) -> Tensor:
        return self.run()


def _energy(image: Tensor) -> Tensor:
    return image.square().sum((1, 2, 3))
