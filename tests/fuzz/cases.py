"""Cases by number: what is damaged, and the command that meets it. The same seed and number are the same case."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fuzz.corpus import CORPUS
from fuzz.damage import damage_bytes, flip_one_byte
from fuzz.hdf5_changes import change_hdf5
from fuzz.seeds import WORDS
from fuzz.text_changes import change_cfl, change_config, change_prior, pick
from numpy.random import Generator

SCAN = ["kspace", "kspace", "reconstruction_rss", "ismrmrd_header", "mask"]


@dataclass(frozen=True)
class Run:
    """A command and its arguments; the same as without any damage where `harmless`."""

    command: str
    words: list[str]
    harmless: bool = False


Build = Callable[[Path, Generator], Run]


def _reconstruct(*words: str) -> Run:
    return Run("reconstruct", [*WORDS, "--overwrite", *words])


def scan_flip(folder: Path, generator: Generator) -> Run:
    flip_one_byte(folder / "scan.h5", generator)
    return _reconstruct("--maps-cache", "off")


def scan_bytes(folder: Path, generator: Generator) -> Run:
    name = pick(generator, ["scan.h5", "masked.h5", "packed.h5"])
    damage_bytes(folder / name, generator)
    os.replace(folder / name, folder / "scan.h5")
    return _reconstruct()


def scan_changes(folder: Path, generator: Generator) -> Run:
    change_hdf5(folder / "scan.h5", generator, SCAN)
    return _reconstruct(*pick(generator, [[], [], ["--follow-links"], ["--prewhiten", "outer"], ["--slices", "0:1"]]))


def maps_damage(folder: Path, generator: Generator) -> Run:
    if generator.random() < 0.4:
        damage_bytes(folder / "maps.h5", generator)
    else:
        change_hdf5(folder / "maps.h5", generator, ["maps"])
    return _reconstruct("--maps", "maps.h5", *pick(generator, [[], ["--follow-links"], ["--compress", "2"]]))


def noise_damage(folder: Path, generator: Generator) -> Run:
    if generator.random() < 0.4:
        damage_bytes(folder / "noise.h5", generator)
    else:
        change_hdf5(folder / "noise.h5", generator, ["noise", "noise", "kspace"])
    return _reconstruct("--prewhiten", "noise.h5")


def cfl_damage(folder: Path, generator: Generator) -> Run:
    stem = pick(generator, ["bart_maps", "bart_noise"])
    change_cfl(folder / stem, generator)
    return _reconstruct("--maps" if stem == "bart_maps" else "--prewhiten", f"{stem}.cfl")


def prior_flip(folder: Path, generator: Generator) -> Run:
    flip_one_byte(folder / "prior.safetensors", generator)
    return _reconstruct("--prior", "prior.safetensors", "--zero-shot")


def prior_damage(folder: Path, generator: Generator) -> Run:
    (damage_bytes if generator.random() < 0.3 else change_prior)(folder / "prior.safetensors", generator)
    return _reconstruct("--prior", "prior.safetensors", *pick(generator, [[], ["--zero-shot"], ["--decoder", "0"]]))


def config_damage(folder: Path, generator: Generator) -> Run:
    (damage_bytes if generator.random() < 0.3 else change_config)(folder / "quick.toml", generator)
    if generator.random() < 0.3:
        return Run("train", ["scan.h5", "--out", "p.safetensors", "--config", "quick.toml"])
    return _reconstruct("--slices", "0:1")


def cache_damage(folder: Path, generator: Generator) -> Run:
    entries = sorted((folder / "out" / "maps").iterdir())
    if generator.random() < 0.5:
        damage_bytes(pick(generator, entries), generator)
    elif generator.random() < 0.3:
        between = folder / "between"
        for source, target in ((entries[0], between), (entries[1], entries[0]), (between, entries[1])):
            os.replace(source, target)
    else:
        change_hdf5(pick(generator, entries), generator, ["maps"])
    return Run("reconstruct", [*WORDS, "--overwrite"], harmless=True)


def result_damage(folder: Path, generator: Generator) -> Run:
    if generator.random() < 0.6:
        damage_bytes(folder / "out" / "scan.h5", generator)
    else:
        change_hdf5(folder / "out" / "scan.h5", generator, ["reconstruction", "mask"])
    return Run("evaluate", ["out", "--target", ".", *pick(generator, [[], ["--json"], ["--square"]])])


def done_damage(folder: Path, generator: Generator) -> Run:
    """A result that says that it is done, and is damaged."""
    result_damage(folder, generator)
    return Run("reconstruct", WORDS)


def target_damage(folder: Path, generator: Generator) -> Run:
    change_hdf5(folder / "scan.h5", generator, ["reconstruction_rss"])
    return Run("evaluate", ["out", "--target", ".", "--json", *pick(generator, [[], ["--follow-links"]])])


def arguments(folder: Path, generator: Generator) -> Run:
    """Options with values that nobody means."""
    option = pick(generator, [
        "--acceleration", "--center-fraction", "--seed", "--threads", "--batch", "--slices", "--compress", "--device",
        "--decoder", "--maps", "--prewhiten", "--prior", "--config", "--out", "--write-maps", "--maps-cache",
        "--maps-cache-size", "--mask", "--preset",
    ])  # fmt: skip
    value = pick(generator, [
        "1e300", "-1", "0", "nan", "inf", "9" * 5000, "1e-300", "10000000000000", "", "poisson", "x" * 300, "a/" * 2000,
        "é\x1b[31m\n", os.fsdecode(b"\xff\xfe.h5"), "/dev/null", "/dev/zero", "/proc/self/mem", "fifo", "fifo.h5",
        "fifo.cfl", ".", "scan.h5", "1:2:3", "0:", "999", "0.999",
    ])  # fmt: skip
    for name in ("fifo", "fifo.h5", "fifo.hdr", "fifo.cfl"):
        os.mkfifo(folder / name)
    extra = pick(generator, [[], [], ["--mask", "poisson"]]) if option != "--mask" else []
    return _reconstruct(f"{option}={value}", *extra)


def simulate(folder: Path, generator: Generator) -> Run:
    """Options of `simulate` with values that nobody means."""
    words = ["new.h5", "--size", "32x32", "--coils", "2"]
    option = pick(
        generator, ["--size", "--coils", "--slices", "--seed", "--snr", "--oversampling", "--magnitude", "out"]
    )
    value = pick(generator, [
        "0", "-1", "1e300", "nan", "inf", "-inf", "9" * 5000, "10000000000000", "0:10000000000000", "9" * 18, "3:1",
        "100000x100000", "0x5", "1x1", "10000000000x1", "scan.h5", "scan.h5:reconstruction_rss", "scan.h5:kspace",
        "scan.h5:é/" * 50, "fifo.h5", "/dev/zero", "", "x" * 300, "nowhere/new.h5", "4096",
    ])  # fmt: skip
    os.mkfifo(folder / "fifo.h5")
    if option == "out":
        return Run("simulate", [value, *words[1:]])
    return Run("simulate", [*words, f"{option}={value}"])


def odd_scan_path(folder: Path, generator: Generator) -> Run:
    os.mkfifo(folder / "fifo.h5")
    name = pick(generator, [
        "fifo.h5", "/dev/zero", "/dev/null", ".", "x" * 300 + ".h5", "é\n\x1b[31m.h5", os.fsdecode(b"\xff.h5"),
        "a/" * 3000,
        "x" * 240 + ".h5", "quick.toml", "prior.safetensors", "nowhere.h5", "scan.h5/x.h5", "",
    ])  # fmt: skip
    if name.endswith(".h5") and "/" not in name and not name.startswith("fifo") and len(os.fsencode(name)) < 256:
        os.replace(folder / "scan.h5", folder / name)
    return Run("reconstruct", [name, *WORDS[1:]])


KINDS: dict[str, tuple[Build, int]] = {
    "scan_flip": (scan_flip, 10), "scan_bytes": (scan_bytes, 15), "scan_changes": (scan_changes, 25),
    "maps_damage": (maps_damage, 8), "noise_damage": (noise_damage, 6), "cfl_damage": (cfl_damage, 5),
    "prior_flip": (prior_flip, 10), "prior_damage": (prior_damage, 12), "config_damage": (config_damage, 12),
    "cache_damage": (cache_damage, 6), "result_damage": (result_damage, 6), "done_damage": (done_damage, 4),
    "target_damage": (target_damage, 3),
    "arguments": (arguments, 10), "odd_scan_path": (odd_scan_path, 3),
    "simulate": (simulate, 3),
}  # fmt: skip
"""How a case is built, and how often its kind comes up."""


def kind_of(seed: int, number: int) -> str:
    """The kind of a case, by the weights."""
    names, weights = list(KINDS), np.array([weight for _, weight in KINDS.values()], float)
    return str(np.random.default_rng([seed, number, 0]).choice(names, p=weights / weights.sum()))


def build(kind: str, seed: int, number: int, folder: Path) -> Run:
    """Damage the seeds in `folder`, the working directory."""
    if kind in CORPUS:
        return Run(*CORPUS[kind](folder))
    return KINDS[kind][0](folder, np.random.default_rng([seed, number, 1]))
