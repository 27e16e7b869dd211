"""Damage to files of any format: bytes that change, are missing, or come twice."""

from __future__ import annotations

from pathlib import Path

from numpy.random import Generator


def damage_bytes(path: Path, generator: Generator) -> None:
    """One kind of damage, chosen at random. Half falls on the first 4 kB, where formats keep what they declare."""
    content = bytearray(path.read_bytes())
    kind = generator.choice(["flip", "flip", "flip", "byte", "number", "cut", "zero", "twice", "missing", "more"])
    for _ in range(int(generator.choice([1, 1, 1, 2, 8])) if kind in ("flip", "byte", "number") else 1):
        place = somewhere(content, generator)
        if kind == "flip":
            content[place] ^= 1 << int(generator.integers(8))
        elif kind == "byte":
            content[place] = int(generator.choice([0, 1, 0x7F, 0x80, 0xFF, int(generator.integers(256))]))
        elif kind == "number":
            content[place : place + 8] = generator.choice([0, 1, 2**31, 2**32, 2**62, 2**63 - 1]).tobytes()
        elif kind == "cut":
            del content[place:]
        elif kind == "zero":
            length = int(generator.integers(1, 600))
            content[place : place + length] = bytes(len(content[place : place + length]))
        elif kind == "twice":
            content[place:place] = content[place : place + int(generator.integers(1, 600))]
        elif kind == "missing":
            del content[place : place + int(generator.integers(1, 600))]
        else:
            content += generator.bytes(int(generator.integers(1, 600)))
    path.write_bytes(content)


def flip_one_byte(path: Path, generator: Generator) -> None:
    """What a bad disk does: one byte anywhere becomes another."""
    content = bytearray(path.read_bytes())
    content[int(generator.integers(len(content)))] ^= int(generator.integers(1, 256))
    path.write_bytes(content)


def somewhere(content: bytearray, generator: Generator) -> int:
    """A place in it."""
    most = min(len(content), 4096) if generator.random() < 0.5 else len(content)
    return int(generator.integers(max(most, 1)))
