"""What a fit needs is freed with its last result, without the garbage collector, and nothing grows from fit to fit."""

import dataclasses
import gc
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scans import line_mask, small_scan
from small_priors import prior, quick
from torch import Tensor

from ugodit.data.scan import Scan
from ugodit.fit.fit import fit
from ugodit.networks.unrolled import Unrolled
from ugodit.operators import SenseOperator
from ugodit.priors.adaptation import from_scratch
from ugodit.priors.presets import Preset
from ugodit.reconstruction.job import Job
from ugodit.reconstruction.observer import Observer
from ugodit.reconstruction.pipeline import reconstruct_batch
from ugodit.reconstruction.preparation import prepare
from ugodit.reconstruction.reconstructor import Reconstructor
from ugodit.reconstruction.training import train_prior

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[weakref.ref[Any]]]:
    """Every operator, its packed maps, and every model, from here on; without a garbage collector."""
    found: list[weakref.ref[Any]] = []

    def watch(kind: type, parts: Callable[[Any], list[Any]]) -> None:
        original = kind.__init__

        def watched(self: Any, *arguments: Any, **options: Any) -> None:
            original(self, *arguments, **options)
            found.extend(weakref.ref(part) for part in parts(self))

        monkeypatch.setattr(kind, "__init__", watched)

    watch(SenseOperator, lambda operator: [operator, operator.maps])
    watch(Unrolled, lambda model: [model, *model.parameters()])
    gc.collect()
    gc.disable()
    yield found
    gc.enable()


def alive(found: list[weakref.ref[Any]]) -> list[str]:
    assert found, "nothing was made"
    return [type(one()).__name__ for one in found if one() is not None]


def scan(seed: int = 0, rows: int = 24, columns: int = 40) -> Scan:
    kspace, maps, image = small_scan(rows=rows, columns=columns, seed=seed, noise=0.2)
    return Scan.from_arrays(kspace, line_mask(columns, 3, 6), maps, target=image.abs().float(), name=f"scan{seed}")


@pytest.mark.parametrize("name", ["fast", "balanced", "paper"])
@pytest.mark.parametrize("zero_shot", [False, True])
def test_a_batch_leaves_nothing(name: str, zero_shot: bool, made: list[weakref.ref[Any]]) -> None:
    preset = quick(name)
    job = Job(preset, prior(preset), zero_shot=zero_shot, uncertainty=preset.model.splitting == "random")
    slices = [prepare(scan(seed)) for seed in (0, 10)]
    results = reconstruct_batch(slices, job, "scan", Observer())
    assert alive(made)  # the slices' own
    del slices
    assert alive(made) == []
    assert all(np.isfinite(result.image).all() for result in results)


@pytest.mark.parametrize("options", [{}, {"held_out": 0.2, "patience": 5}, {"symmetries": True}], ids=str)
@pytest.mark.parametrize("name", ["fast", "balanced", "paper"])
def test_a_fit_leaves_nothing_but_what_the_caller_keeps(
    name: str, options: dict[str, Any], made: list[weakref.ref[Any]]
) -> None:
    preset = quick(name)
    config = dataclasses.replace(preset.alone, **options)
    operator = prepare(scan()).operator
    plan = from_scratch(operator, preset.network, preset.alone_model, config)
    steps = list(fit(plan.model, [operator], plan.form, plan.config))
    images: list[Tensor] = [*steps[0].images(), *steps[-1].averages()]
    if plan.form.splitting == "random":
        images += steps[-1].uncertainties()
    del operator, plan
    assert alive(made)  # a step can still make images
    del steps
    assert alive(made) == []
    assert all(bool(image.isfinite().all()) for image in images)


def test_a_fit_that_is_not_followed_to_its_end_leaves_nothing(made: list[weakref.ref[Any]]) -> None:
    preset = quick("fast")
    operator = prepare(scan()).operator
    plan = from_scratch(operator, preset.network, preset.alone_model, preset.alone)
    steps = fit(plan.model, [operator], plan.form, plan.config)
    next(steps)
    del steps, operator, plan
    assert alive(made) == []


def test_training_leaves_nothing(made: list[weakref.ref[Any]]) -> None:
    trained = train_prior([scan(0), scan(10)], preset=quick("balanced"), device="cpu")
    assert trained.model.splitting == "random"
    assert alive(made) == []


FIRST = """
import gc
gc.disable()
import weakref
import torch
from small_priors import quick, scan
from ugodit.fit.fit import fit
from ugodit.priors.adaptation import from_scratch
preset, operator = quick("fast"), scan()
plan = from_scratch(operator, preset.network, preset.alone_model, preset.alone)
for step in fit(plan.model, [operator], plan.form, plan.config):
    pass
left = [weakref.ref(one) for one in (operator, operator.maps, plan.model)]
del plan, operator, step
print([type(one()).__name__ for one in left if one() is not None])
"""


def test_the_first_fit_of_a_process_leaves_nothing() -> None:
    """torch imports its compiler when the first optimiser is made, and keeps the frames that did."""
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = ['.', 'tests']\n{FIRST}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


# ---- many fits ----------------------------------------------------------------------------------------------------


def resident() -> int:
    """The bytes of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def tensors() -> int:
    return sum(issubclass(type(one), Tensor) for one in gc.get_objects())


def growth(preset: Preset, fits: int, warm: int) -> tuple[float, int]:
    """Relative growth of memory and the number of new tensors from fit `warm` on, maps found anew for each."""
    reconstructor = Reconstructor(preset=preset, device="cpu")
    memory, count = 0, 0
    gc.collect()
    gc.disable()
    try:
        for index in range(fits):
            whole = scan(index, rows=96, columns=96)
            bare = dataclasses.replace(whole, maps=None)
            image = reconstructor(bare).images
            assert np.isfinite(image).all()
            del whole, bare, image
            if index == warm - 1:
                memory, count = resident(), tensors()
        return resident() / memory - 1, tensors() - count
    finally:
        gc.enable()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from Linux's /proc")
@pytest.mark.parametrize("fits", [6, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["fast", "balanced"])
def test_memory_is_flat(name: str, fits: int) -> None:
    """One leaked operator a fit would be 1 % of the process's memory in five fits."""
    torch.set_num_threads(1)
    grown, new = growth(quick(name), fits, warm=3)
    assert new == 0
    assert grown < 0.02
