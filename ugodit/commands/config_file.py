"""The file behind --config: options of the command by name, and tables that change a preset.

[network], [model]: the network and its form, of a training and of fits without a prior. [train], [adapt], [alone]: how
it is fitted. One file serves both commands, so a table that the other command reads is no mistake. A field that could
not have an effect is.
"""

from __future__ import annotations

import dataclasses
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ugodit.data.limits import is_sensible
from ugodit.errors import InputError, named
from ugodit.fit.config_fields import checked_fields
from ugodit.fit.fit_config import AdaptConfig, FitConfig, TrainConfig
from ugodit.fit.model_config import ModelConfig
from ugodit.io.files import check_path, read_bytes
from ugodit.networks.config import NetworkConfig
from ugodit.priors.earlier_names import MODEL_FIELDS, today
from ugodit.priors.presets import Preset, preset

FITS: dict[str, type[FitConfig]] = {"train": TrainConfig, "adapt": AdaptConfig, "alone": FitConfig}
MAX_BYTES = 1 << 16
MAX_DOTS = 100
"""In a line: over names joined by thousands of them, tomllib takes minutes and gigabytes."""
MAX_DEPTH = 8
TABLES = ("network", "model", *FITS)
Tables = dict[str, dict[str, Any]]


@contextmanager
def in_table(table: str) -> Iterator[None]:
    """Put the table in front of what an InputError says of its fields."""
    try:
        yield
    except InputError as error:
        raise InputError(f"--config: [{table}] {error}") from error


def read_config(path: Path) -> dict[str, Any]:
    """The file's content. InputError where it cannot be read, or is not TOML."""
    with named("--config"):
        check_path(path)
        content = read_bytes(path, "a TOML file", MAX_BYTES)
    if any(line.count(b".") > MAX_DOTS for line in content.split(b"\n")):
        raise InputError(f"--config: {path}: expected at most {MAX_DOTS} dots in a line; write it as several lines")
    try:
        found = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:  # ValueError also for integers of thousands of digits
        raise InputError(f"--config: {path}: not TOML: {error}") from error
    if not is_sensible(found, MAX_DEPTH, finite=False):
        raise InputError(f"--config: {path}: expected integers of 64 bits and tables at most {MAX_DEPTH} deep")
    return found


def split_tables(path: Path, content: Mapping[str, Any]) -> tuple[dict[str, Any], Tables]:
    """Options of the command, and the tables with every field by the name that it has now."""
    plain = {name: value for name, value in content.items() if name not in TABLES}
    tables: Tables = {}
    for table in TABLES:
        fields = content.get(table, {})
        if not isinstance(fields, Mapping):
            raise InputError(f"--config: [{table}] expected a table of options, got {fields!r}")
        tables[table] = _today(path, table, fields)
    _move_model_fields(path, tables)
    return plain, tables


def _today(path: Path, table: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields by their present names, with a note for each that had another."""
    renamed: dict[str, Any] = {}
    for name, value in fields.items():
        new, new_value = (name, value) if table == "network" else today(name, value)
        if (new, new_value) != (name, value):
            what = f"{new} = {new_value}" if new_value != value else new
            print(f"{path}: [{table}] {name} is called {what} now", file=sys.stderr)
        renamed[new] = new_value
    return renamed


def _move_model_fields(path: Path, tables: Tables) -> None:
    """In 0.1.0 the fields of [model] stood in the tables of the fits."""
    for table in ("train", "alone"):
        for name in [name for name in tables[table] if name in MODEL_FIELDS]:
            value = tables[table].pop(name)
            if tables["model"].setdefault(name, value) != value:
                raise InputError(f"--config: [{table}] {name}: [model] or another table has another value; keep one")
            print(f"{path}: [{table}] {name} belongs into [model] now, for training and fits alike", file=sys.stderr)
    for name in tables["adapt"]:
        if name in MODEL_FIELDS:
            raise InputError(f"--config: [adapt] {name}: it comes with the prior; set it in [model] when you train")


def configured_preset(name: str, tables: Tables, seed: int, precision: str | None) -> Preset:
    """The preset with the changes of the tables, and of --seed and --precision."""
    base = preset(name)
    with in_table("network"):
        network = _network(base.network, tables.get("network", {}))
    with in_table("model"):
        forms = _forms(base, tables.get("model", {}))
    fits: dict[str, FitConfig] = {}
    for table, kind in FITS.items():
        with in_table(table):
            changes = _checked(kind, table, tables.get(table, {}))
            chosen = list(changes)
            changes.setdefault("seed", seed)
            if precision:
                changes["precision"] = precision
            fits[table] = dataclasses.replace(getattr(base, table), **changes)
            if table != "adapt":  # whose model comes with the prior: see check_effects
                refuse_without_effect(fits[table], chosen, forms["alone_model" if table == "alone" else "model"])
    changed = any(tables.values()) or precision is not None
    name = f"{base.name}, changed" if changed else base.name
    return dataclasses.replace(base, name=name, network=network, **forms, **fits)  # type: ignore[arg-type]


def refuse_without_effect(config: FitConfig, fields: list[str], form: ModelConfig) -> None:
    """InputError for a field that could not have an effect on a model of this form."""
    for field in fields:
        reason = config.without_effect(field, form)
        if reason:
            raise InputError(f"{field}: {reason}; leave it out")


def _network(base: NetworkConfig, changes: Mapping[str, Any]) -> NetworkConfig:
    try:
        network = NetworkConfig.from_dict({**base.to_dict(), **changes})
    except (ValueError, TypeError) as error:
        raise InputError(str(error)) from error
    for field in changes:
        reason = network.without_effect(field)
        if reason:
            raise InputError(f"{field}: {reason}, so that it has no effect; leave it out")
    if (network.in_channels, network.out_channels) != (2, 2):
        raise InputError("in_channels, out_channels: expected 2 and 2 (real and imaginary part)")
    return network


def _forms(base: Preset, changes: Mapping[str, Any]) -> dict[str, ModelConfig]:
    checked = checked_fields(ModelConfig, changes)
    forms = {name: dataclasses.replace(getattr(base, name), **checked) for name in ("model", "alone_model")}
    for field in checked:
        reasons = [form.without_effect(field) for form in forms.values()]
        if all(reasons):
            raise InputError(f"{field}: {reasons[0]}; leave it out")
    return forms


def _checked(kind: type[FitConfig], table: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with their types checked; those of another table are told where they belong."""
    for name in values:
        for other, cls in FITS.items():
            known = {field.name for field in dataclasses.fields(cls)}
            if name not in {field.name for field in dataclasses.fields(kind)} and name in known:
                raise InputError(f"{name}: belongs into [{other}]; in [{table}] it has no effect")
    return checked_fields(kind, values)
