"""The two configurations of a small fit together, for tests that change an option of either."""

import dataclasses
from typing import Any, NamedTuple

from ugodit.fit.fit_config import FitConfig
from ugodit.fit.model_config import ModelConfig

FORM_OPTIONS = {field.name for field in dataclasses.fields(ModelConfig)}


class SmallFit(NamedTuple):
    """The form of a model, and how it is fitted."""

    form: ModelConfig
    config: FitConfig

    def but(self, **changes: Any) -> "SmallFit":
        """With these options changed, each in the configuration that has it."""
        form = {name: value for name, value in changes.items() if name in FORM_OPTIONS}
        config = {name: value for name, value in changes.items() if name not in FORM_OPTIONS}
        return SmallFit(dataclasses.replace(self.form, **form), dataclasses.replace(self.config, **config))
