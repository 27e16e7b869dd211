"""Priors, configurations and BART headers that are well formed, or nearly, and say something else than they should."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

from numpy.random import Generator

NUMBERS = ["0", "-1", "1e300", "1e-300", "10000000000000", "nan", "inf", "-inf", "1e999", "9" * 5000, "0x" + "f" * 5000,
           "2.5", "100000", "true", '"text"', "[]", "[1, 2]", "{}", "1979-05-27T07:32:00Z",
           '"\\u0000"', '"' + "x" * 500 + '"']  # fmt: skip
KEYS = {
    "": ["seed", "acceleration", "center-fraction", "threads", "slices", "preset", "mask", "device", "batch",
         "compress",
         "maps", "prewhiten", "prior", "decoder", "out", "config", "json", "maps-cache-size", "précis"],
    "network": ["channels", "in_channels", "skip_channels", "family", "activation", "nothing"],
    "model": ["iterations", "mu", "initial_iterations", "solve_iterations", "loss_fraction", "prior_variance",
              "input_noise", "splitting"],
    "alone": ["steps", "learning_rate", "mask_bank", "average", "held_out", "patience", "seed", "proximity", "compile"],
    "train": ["steps", "autoencoding"],
    "adapt": ["steps", "learning_rate", "two_stage", "mu"],
}  # fmt: skip


def pick(generator: Generator, items: list[Any]) -> Any:
    return items[int(generator.integers(len(items)))]


def change_config(path: Path, generator: Generator) -> None:
    """An option with an odd value, deep nesting, or text that is no TOML."""
    text = path.read_text()
    for _ in range(int(generator.choice([1, 1, 2]))):
        kind = generator.choice(["value", "value", "value", "value", "deep", "text"])
        if kind == "value":
            table = pick(generator, list(KEYS))
            key, value = pick(generator, KEYS[table]), pick(generator, NUMBERS)
            value = "7" if (key, value) == ("steps", "100000") else value  # which would take its minutes, rightly
            value = f"[{value}, 4]" if key == "channels" and generator.random() < 0.7 else value
            text = re.sub(rf"(?m)^{re.escape(key)} = .*\n", "", text)
            line = f"{key} = {value}\n"
            text = line + text if not table else _in_table(text, table, line)
        elif kind == "deep":
            depth = int(generator.choice([3, 50, 400, 100_000]))
            text += pick(generator, ["\nx = " + "[" * depth + "]" * depth, "\n[" + ".".join(["a"] * depth) + "]\n",
                                     "\nx = " + "{a=" * min(depth, 5000) + "1" + "}" * min(depth, 5000)])  # fmt: skip
        else:
            text = pick(generator, ["\x00", "﻿" + text, text + "\nx = ", "[" * 50, text + text, "\ud7ff", '"""'])
    path.write_text(text)


def _in_table(text: str, table: str, line: str) -> str:
    if f"[{table}]\n" not in text:
        text += f"\n[{table}]\n"
    return text.replace(f"[{table}]\n", f"[{table}]\n{line}", 1)


def change_prior(path: Path, generator: Generator) -> None:
    """A header of safetensors with another shape, type, offset or metadata."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    for _ in range(int(generator.choice([1, 1, 2]))):
        kind = generator.choice(["tensor", "metadata", "metadata", "drop", "rename", "length", "deep"])
        names = [name for name in header if name != "__metadata__"]
        metadata = header.setdefault("__metadata__", {})
        if kind == "tensor" and names:
            field = pick(generator, ["dtype", "shape", "data_offsets"])
            header[pick(generator, names)][field] = pick(generator, [
                "F64", "I64", "BF16", "F8_E4M3", "BOOL", "C64", "X", [], [0], [1], [2**62, 4], [-1], [0, 0], None,
                [1e300]])  # fmt: skip
        elif kind == "metadata":
            _change_metadata(metadata, generator)
        elif kind in ("drop", "rename") and names:
            moved = header.pop(pick(generator, names))
            if kind == "rename":
                header[pick(generator, ["encoder.x", "other.y", "extra.log_mu", "extra.z", "é\n\x1b", "x" * 2000])] = (
                    moved
                )
        elif kind == "deep":
            depth = int(generator.choice([20, 900, 50_000]))
            metadata[pick(generator, ["training", "provenance", "model", "network"])] = (
                '{"a":' * depth + "1" + "}" * depth
            )
    text = json.dumps(header).encode()
    length = pick(generator, [0, 2**63, 10**9, len(text) - 1]) if kind == "length" else len(text)
    path.write_bytes(struct.pack("<Q", length) + text + data)


def _change_metadata(metadata: dict[str, str], generator: Generator) -> None:
    name = pick(generator, list(metadata) or ["format"])
    if name in ("network", "model", "training", "provenance") and generator.random() < 0.8:
        try:
            value = json.loads(metadata[name]) or {"a": 1}
        except ValueError:  # changed before
            value = {"a": 1}
        key = pick(generator, list(value))
        marker = "@@"
        value[key] = [marker] if isinstance(value[key], list) and generator.random() < 0.5 else marker
        number = pick(generator, [*[n for n in NUMBERS if n[0] != "0" or n == "0"], "NaN", "1" + "0" * 30, "null"])
        metadata[name] = json.dumps(value).replace(f'"{marker}"', number)
    else:
        metadata[name] = pick(
            generator, ["", "{", "[]", "null", "3", "9" * 5000, "0", "-1", "x" * 10_000, '"é\\n"', "٣"]
        )


def change_cfl(stem: Path, generator: Generator) -> None:
    """Another header, or samples of another length."""
    header, data = stem.with_name(stem.name + ".hdr"), stem.with_name(stem.name + ".cfl")
    kind = generator.choice(["sizes", "sizes", "text", "short", "missing"])
    if kind == "sizes":
        sizes = header.read_text().split("\n")[1].split()
        sizes[int(generator.integers(len(sizes)))] = pick(
            generator, ["0", "-1", "9223372036854775808", "10000000000000", "9" * 5000, "1.5", "x", "41", "2"]
        )
        header.write_text("# Dimensions\n" + " ".join(sizes) + "\n")
    elif kind == "text":
        header.write_bytes(pick(generator, [b"", b"\xff\xfe", b"# Dimensions", b"# Dimensions\n" + b"1 " * 100_000,
                                            b"# Dimensions\n\n", b"x" * (2 << 20)]))  # fmt: skip
    elif kind == "short":
        data.write_bytes(data.read_bytes()[: int(generator.integers(100))])
    else:
        pick(generator, [header, data]).unlink()
