"""One operator's share of the state of a fit: its inputs, outputs, averages and estimates."""

from __future__ import annotations

import torch
from torch import Tensor

from ugodit.fit.fit_config import FitConfig
from ugodit.fit.initial import FirstStage, InitialEstimates, Split
from ugodit.fit.model_config import ModelConfig
from ugodit.fit.random_choices import Choices, FixedChoices, choose_on_host
from ugodit.operators.protocol import Operator


class GroupState:
    """What the loop remembers of one operator's items."""

    def __init__(
        self,
        operator: Operator,
        decoders: slice,
        model: ModelConfig,
        config: FitConfig,
        generator: torch.Generator,
        estimates: InitialEstimates | None,
        first_stage: FirstStage | None,
    ) -> None:
        """`decoders`: those that the items go through. `estimates`: made before; not used where lines are held out."""
        self.operator, self.decoders = operator, decoders
        self.model, self.config = model, config
        self.held_out: Operator | None = None
        fitted = None
        if config.held_out:
            fitted, self.held_out = hold_out(operator, config)
            estimates = None
        if estimates is None:
            estimates = InitialEstimates(operator, model, generator, fitted, first_stage)
        self.estimates = estimates
        self.fitted = estimates.operator
        # Where choices are fixed all of these keep their memory: a captured graph reads and writes it.
        self.input = estimates.all_measured.clone()
        self.output = self.input.clone()
        self.average = torch.zeros_like(self.input)
        self.features: list[Tensor] = []
        """Of a frozen encoder, for `input`, where they serve several steps."""
        self.stale = True
        """`features` belong to an earlier input."""
        self.best_average = self.average
        self._from_all: InitialEstimates | None = None
        self.fixed: FixedChoices | None = None

    def fix_choices(self) -> None:
        """Draw all that is random now, into memory that stays where it is."""
        self.fixed = FixedChoices(self._whole(), self.estimates, self.config)

    def choose(self) -> Choices:
        """What is random in this step."""
        if self.fixed is not None:
            return self.fixed.choices
        return choose_on_host(self._whole(), self.estimates, self.config)

    def _whole(self) -> Split | None:
        """Everything is seen and fitted, where the model has it so."""
        return Split(self.fitted, self.fitted, self.input) if self.model.splitting == "all" else None

    def keep(self, old: Tensor, new: Tensor) -> Tensor:
        """`new`, in the memory of `old` where that has to stay."""
        return new if self.fixed is None else old.copy_(new)

    def from_all_measured(self) -> InitialEstimates:
        """The estimates from all measurements, those that are held out from the fit too."""
        if self.held_out is None:
            return self.estimates
        if self._from_all is None:
            # Whoever looks at an image in mid-fit does not change what the fit draws next.
            generator = torch.Generator().manual_seed(self.config.seed)
            stage = self.estimates.first_stage
            self._from_all = InitialEstimates(self.operator, self.model, generator, first_stage=stage)
        return self._from_all


def hold_out(operator: Operator, config: FitConfig) -> tuple[Operator, Operator]:
    """What is fitted, and the fixed random fraction that never is and tells when to stop."""
    return operator.split(config.held_out, torch.Generator().manual_seed(config.seed))
