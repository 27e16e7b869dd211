"""State of a fit, and the parts of one of its steps; `fit.py` runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import functional_call

from ugodit.fit.config import FitConfig
from ugodit.fit.ensemble import Starts, autocast, reconstruct, uncertainty
from ugodit.fit.execution import Replayed, wants_compile, wants_graph
from ugodit.fit.random_choices import Draw, FixedDraws, draw_on_host
from ugodit.fit.splitting import acs_core, split_all
from ugodit.fit.stopping import HeldOutStopping, hold_out
from ugodit.networks.calls import PLAIN, compiled
from ugodit.networks.unrolled import Unrolled
from ugodit.operators.sense import SenseOperator

HELD_OUT_INTERVAL = 10
"""Steps between two evaluations of the held-out loss of random splits, each several calls of the network, and
on a GPU of any, as the loop waits for the device there."""


Question = Callable[[Starts, Unrolled, slice, Callable[[Tensor], Tensor]], Tensor]
"""`ensemble.reconstruct` or `ensemble.uncertainty`."""


class Item:
    """One operator's share of the loop's state."""

    def __init__(
        self,
        operator: SenseOperator,
        which: slice,
        config: FitConfig,
        generator: torch.Generator,
        improve: Unrolled | None = None,
    ) -> None:
        self.operator = operator
        self.which = which
        self.fitted, self.held_out = operator.weights, None
        if config.held_out:
            core = acs_core(operator.weights)
            self.fitted, self.held_out = hold_out(operator.weights, core, config.held_out, config.seed)
        self.starts = Starts(operator, config, generator, self.fitted, improve)
        # Where draws are fixed all of these keep their memory: a captured graph reads and writes it.
        self.input = self.starts.all_lines.clone()
        self.output = self.input.clone()
        self.average = torch.zeros_like(self.input)
        self.features: list[Tensor] = []
        """Of a frozen encoder, for `input`, where they serve several steps."""
        self.stale = True
        """`features` belong to an earlier input."""
        self.best_average = self.average
        self.final_starts: Starts | None = None
        """Of all lines, where some were held out; made when it is asked for."""
        self.split = split_all(self.fitted) if config.splitting == "all" else None
        self.fixed: FixedDraws | None = None


class Loop:
    """State of a fit; its methods are the parts of one step.

    `fixed`: nothing is drawn by the host inside the loop (see draws.py), which is how it runs on a GPU.
    """

    def __init__(
        self,
        model: Unrolled,
        operators: Sequence[SenseOperator],
        config: FitConfig,
        *,
        improve: Unrolled | None = None,
        fixed: bool | None = None,
    ) -> None:
        self.model, self.config = model, config
        device = operators[0].device
        self.on_gpu = device.type == "cuda"
        self.generator = torch.Generator().manual_seed(config.seed)
        self.items: list[Item] = []
        first = 0
        for operator in operators:
            which = slice(first, first + operator.shape[0]) if model.network.decoders > 1 else slice(0, 1)
            self.items.append(Item(operator, which, config, self.generator, improve))
            first += operator.shape[0]
        if fixed or (fixed is None and self.on_gpu):
            for item in self.items:
                item.fixed = FixedDraws(item.split, item.input, item.starts, config)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        frozen = not any(p.requires_grad for p in model.network.encoder.parameters())
        self.reuse = (
            frozen
            and config.splitting == "all"
            and not (config.unrolls or config.input_noise or config.symmetries or config.learn_input)
        )
        """The encoder's input changes with `next_input` only, not at every step, and so do its features."""
        self.calls = compiled() if wants_compile(config, device) else PLAIN
        inputs = [item.input.requires_grad_() for item in self.items] if config.learn_input else []
        graph = wants_graph(config, device)
        # On a GPU the rate is a tensor, which a captured graph reads anew in every step.
        rate = torch.tensor(config.learning_rate, device=device) if self.on_gpu else config.learning_rate
        self.optimizer = torch.optim.Adam([*self.parameters, *inputs], lr=rate, fused=self.on_gpu, capturable=graph)
        # Its first steps do run without being captured: no need to warn of that.
        self.optimizer._warned_capturable_if_run_uncaptured = True
        self.average_weights = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        self.best_weights = self.average_weights
        self.stopping = HeldOutStopping(config.patience) if config.held_out else None
        self.work = Replayed(self._work, device) if graph else self._work
        self.renew = Replayed(self._renew, device) if graph else self._renew

    def _set_rate(self, iteration: int) -> None:
        rate = self.config.learning_rate
        if self.config.schedule == "cosine":
            progress = (iteration - 1) / self.config.steps
            rate *= min(1.0, iteration / 10) * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * progress))))
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def step(self, iteration: int) -> Tensor:
        self._set_rate(iteration)
        for item in self.items:
            if item.fixed is not None:
                item.fixed.fill(iteration)
            if self.reuse and item.stale:
                self._encode(item)
        loss = self.work()
        if isinstance(self.work, Replayed):
            loss = loss.clone()
        self._update_averages(iteration)
        if iteration % self.config.inner_steps == 0 and self.config.next_input != "fixed":
            self.renew()
            for item in self.items:
                item.stale = True
        return loss

    def _work(self) -> Tensor:
        """One Adam step; on a GPU it launches the same kernels every time and waits for nothing."""
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        for item in self.items:
            loss, image = self._loss(item, self._draw(item))
            loss.backward()
            item.output = _keep(item, item.output, image.detach())
            losses.append(loss.detach())
        if self.config.unrolls:
            # The first steps through an untrained solve can be large; Adam alone forgets them slowly.
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        return torch.stack(losses).sum()

    def _draw(self, item: Item) -> Draw:
        if item.fixed is not None:
            return item.fixed.draw
        return draw_on_host(item.split, item.input, item.starts, self.config)

    def _loss(self, item: Item, draw: Draw) -> tuple[Tensor, Tensor]:
        """The item's loss and image."""
        config, start = self.config, draw.start
        operator = item.operator.with_weights(draw.split.input)
        if draw.noise is not None:
            start = start + config.input_noise * start.detach().abs().max() * draw.noise
        image = self.model(start, operator, item.which, self._evaluator(item, draw), item.starts.mu)
        judged = item.operator.with_weights(draw.split.loss)
        loss = self._distance(judged.data_consistency(image), judged.energy())
        if config.autoencoding:
            loss = loss + config.autoencoding * self._distance(_energy(image - start), _energy(start.detach()))
        if config.proximity:
            loss = loss + config.proximity * self._distance(_energy(image - item.output), _energy(image.detach()))
        return loss, image

    def _distance(self, squared: Tensor, energy: Tensor) -> Tensor:
        relative = squared / energy.clamp_min(torch.finfo(torch.float32).tiny)
        if self.config.loss == "norm":
            # The root's slope is infinite at zero, where the very first distances are.
            relative = (relative + 1e-12).sqrt()
        return relative.sum()

    def _evaluator(self, item: Item, draw: Draw | None = None) -> Callable[[Tensor], Tensor]:
        """The network as one step sees it: precision, symmetries, and a frozen encoder's features kept.

        Without a draw it is the network for an image that is looked at, as it is.
        """
        network = self.model.network
        symmetries = iter(draw.symmetries) if draw is not None else iter(())
        calls = self.calls if draw is not None else PLAIN

        def evaluate(z: Tensor) -> Tensor:
            with autocast(z, self.config):
                if draw is not None and self.reuse:
                    return network.decode(item.features, z, item.which, calls).float()
                turn, turn_back = next(symmetries, (_same, _same))
                return turn_back(network(turn(z), item.which, calls).float())

        return evaluate

    @torch.no_grad()
    def _encode(self, item: Item) -> None:
        """Bring the frozen encoder's features up to date, in the memory that they have."""
        with autocast(item.input, self.config):
            features = self.model.network.encode(item.input, self.calls)
        if not item.features:
            item.features = features
        else:
            item.features = [_keep(item, *pair) for pair in zip(item.features, features, strict=True)]
        item.stale = False

    @torch.no_grad()
    def _renew(self) -> Tensor:
        """The next inputs of all items."""
        for item in self.items:
            image = item.output
            if self.config.next_input == "data_consistent":
                image = image - item.operator.with_weights(item.fitted).residual(image)[1]
            # Outside the support nothing holds the network's output.
            item.input = _keep(item, item.input, image * item.operator.support)
        return self.items[0].input

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
                item.average.lerp_(item.output, 1 - decay)

    @torch.no_grad()
    def check_held_out(self, iteration: int) -> tuple[float | None, str | None]:
        if self.stopping is None:
            return None, None
        costly = self.config.splitting == "random" or self.on_gpu
        if costly and iteration % HELD_OUT_INTERVAL and iteration != self.config.steps:
            return None, None
        loss = self._held_out_loss()
        if self.stopping.improved(iteration, loss):
            self.best_weights = {name: weight.clone() for name, weight in self.average_weights.items()}
            for item in self.items:
                item.best_average = item.average.clone()
        return loss, self.stopping.reason(iteration)

    def _held_out_loss(self) -> float:
        losses = []
        for item in self.items:
            assert item.held_out is not None
            judged = item.operator.with_weights(item.held_out)
            image = item.average
            if self.config.splitting == "random":
                image = self._asked(item, item.starts, self.average_weights, reconstruct)
            losses.append((judged.data_consistency(image) / judged.energy()).mean())
        return float(torch.stack(losses).mean())

    @torch.no_grad()
    def _asked(self, item: Item, starts: Starts, parameters: dict[str, Tensor] | None, question: Question) -> Tensor:
        """What the model answers for the lines that `starts` has, with its own weights or those given."""

        def run() -> Tensor:
            return question(starts, self.model, item.which, self._evaluator(item))

        if parameters is None:
            return run()
        return functional_call(_Call(self.model, run), {f"model.{name}": p for name, p in parameters.items()}, ())

    def _final(self, parameters: dict[str, Tensor] | None, question: Question) -> list[Tensor]:
        """For every operator, from all of its measured lines."""
        answers = []
        for item in self.items:
            if item.held_out is not None and item.final_starts is None:
                # Whoever looks at an image in mid-fit does not change what the fit draws next.
                generator = torch.Generator().manual_seed(self.config.seed)
                item.final_starts = Starts(item.operator, self.config, generator, improve=item.starts.improve)
            answers.append(self._asked(item, item.final_starts or item.starts, parameters, question))
        return answers

    def images(self) -> list[Tensor]:
        """Current reconstructions from all measured lines."""
        if self.config.splitting == "all":
            return [item.output.clone() for item in self.items]
        return self._final(None, reconstruct)

    def averages(self) -> list[Tensor]:
        """Reconstructions of the moving average, at its best where lines were held out."""
        if self.config.splitting == "all":
            return [(item.best_average if self.stopping else item.average).clone() for item in self.items]
        return self._final(self.best_weights if self.stopping else self.average_weights, reconstruct)

    def uncertainties(self) -> list[Tensor]:
        """Of the averages."""
        if self.config.splitting == "all":
            raise ValueError("splitting: uncertainty comes from random splits, got all")
        return self._final(self.best_weights if self.stopping else self.average_weights, uncertainty)


class _Call(torch.nn.Module):
    """Lets `functional_call` swap the model's parameters while `run` is called."""

    def __init__(self, model: Unrolled, run: Callable[[], Tensor]) -> None:
        super().__init__()
        self.model, self.run = model, run

    def forward(self) -> Tensor:
        return self.run()


def _keep(item: Item, old: Tensor, new: Tensor) -> Tensor:
    """`new`, in the memory of `old` where that has to stay."""
    return new if item.fixed is None else old.copy_(new)


def _same(image: Tensor) -> Tensor:
    return image


def _energy(image: Tensor) -> Tensor:
    return image.square().sum((1, 2, 3))
