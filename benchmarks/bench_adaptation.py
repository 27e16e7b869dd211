"""Times a whole adaptation step against the same step written as the reference writes it.

    python -m pytest benchmarks/bench_adaptation.py --benchmark-only
    python benchmarks/bench_adaptation.py [--out FILE]
    python benchmarks/bench_adaptation.py --device cpu --small     a dry run: small sizes, no file

A step: the decoder's forward, loss on all measured lines, backward, Adam; the U-Net is the published one (base 64), its
encoder frozen, 15 coils, 320 x 368. `as published` is float32, eager, step by step from Python: it computes the frozen
encoder's features again every time, and the data term by torch's centred two-dimensional FFT of the coil images and
autograd. It has ours' way to join skip features, which is faster than a concatenation. Both may use TF32 in
convolutions, torch's default. Ours is `fit` itself: eager float32, then bfloat16, then a replayed CUDA graph, then
compiled, one slice and eight. `inner steps` is the number of steps between two network inputs (published: 1 for MRI, 10
for photographs). The first losses of both have to agree before anything is timed.
"""

from __future__ import annotations

import itertools
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import gpu_script  # noqa: E402

from ugodit.data.geometry import centred_fft, centred_ifft  # noqa: E402
from ugodit.fit.fit import fit  # noqa: E402
from ugodit.fit.fit_config import FitConfig  # noqa: E402
from ugodit.fit.model_config import ModelConfig  # noqa: E402
from ugodit.networks import GroupNet, NetworkConfig, reference_unet  # noqa: E402
from ugodit.networks.unrolled import Unrolled  # noqa: E402
from ugodit.operators.scale import normalize  # noqa: E402
from ugodit.operators.sense import SenseOperator  # noqa: E402
from ugodit.priors.adaptation import build_model  # noqa: E402

RESULTS = "adaptation_gpu.json"
SIZE = (15, 320, 368)
SMALL = (3, 24, 40)
# Two orders of summation in float32, which Adam's first steps, of equal size whatever the gradient, enlarge.
AGREEMENT = 5e-3
# Steps of a fit before it is timed: both graphs are captured, everything is compiled.
WARM_UP = 12

FORM = ModelConfig(next_input="data_consistent", loss="norm")
"""The published one, without the noise of 1e-5 that it adds to its input."""

Row = dict[str, Any]


class Problem:
    """Scans of one size, and a model for them that starts from the same weights every time."""

    def __init__(self, size: tuple[int, int, int], slices: int, device: torch.device, network: NetworkConfig) -> None:
        coils, height, width = size
        generator = torch.Generator().manual_seed(0)
        maps = torch.randn(slices, coils, height, width, dtype=torch.complex64, generator=generator)
        maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
        line = torch.arange(width)
        mask = (line % 5 == 1) | ((line - width // 2).abs() < 0.04 * width)
        image = torch.randn(slices, 1, height, width, dtype=torch.complex64, generator=generator)
        kspace = centred_fft(maps * image, (-2, -1)) * mask
        self.operator, scale = normalize(SenseOperator.from_kspace(kspace, maps, mask, device=device))
        self.maps, self.kspace, self.mask = maps.to(device), kspace.to(device) / scale, mask.float().to(device)
        self.network, self.slices, self.device = network, slices, device

    def model(self) -> Unrolled:
        group = GroupNet(self.network, self.slices, seed=0).freeze_encoder()
        return build_model(group, FORM).to(self.device)


def published_steps(problem: Problem, config: FitConfig) -> Iterator[Tensor]:
    """The reference's loop on one slice: yields each step's loss."""
    network = problem.model().network
    optimizer = torch.optim.Adam(network.decoder.parameters(), lr=config.learning_rate)
    maps, kspace, mask = problem.maps, problem.kspace, problem.mask
    z = problem.operator.initial()
    for iteration in itertools.count(1):
        optimizer.zero_grad()
        image = network.decoder(network.encoder(z), z)
        coil_images = maps * torch.complex(image[:, 0], image[:, 1])[:, None]
        predicted = mask * centred_fft(coil_images, (-2, -1))
        loss = torch.linalg.norm(predicted - kspace) / torch.linalg.norm(kspace)
        loss = loss + config.autoencoding * torch.linalg.norm(image - z) / torch.linalg.norm(z)
        loss.backward()
        optimizer.step()
        if iteration % config.inner_steps == 0:
            with torch.no_grad():
                error = mask * centred_fft(maps * torch.complex(image[:, 0], image[:, 1])[:, None], (-2, -1))
                gradient = (maps.conj() * centred_ifft(error - kspace, (-2, -1))).sum(1)
                z = image.detach() - torch.stack([gradient.real, gradient.imag], dim=1)
        yield loss.detach()


def our_steps(problem: Problem, config: FitConfig) -> Iterator[Tensor]:
    """`fit`: yields each step's loss."""
    for step in fit(problem.model(), [problem.operator], FORM, config):
        yield step.loss_tensor


def milliseconds(steps: Iterator[Tensor], device: torch.device, count: int, repeats: int = 5) -> float:
    """Median time of a step, over `repeats` runs of `count` steps, after the warm-up."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    for _ in range(WARM_UP):
        next(steps)
    times = []
    for _ in range(repeats):
        wait()
        begin = time.perf_counter()
        for _ in range(count):
            next(steps)
        wait()
        times.append(1e3 * (time.perf_counter() - begin) / count)
    return statistics.median(times)


def agree(problem: Problem, config: FitConfig) -> None:
    """The first three losses of both ways, in float32 and nothing less."""
    ours, theirs = our_steps(problem, config), published_steps(problem, config)
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    losses = [(float(next(ours)), float(next(theirs))) for _ in range(3)]
    torch.backends.cudnn.allow_tf32 = allowed
    for step, (mine, other) in enumerate(losses, 1):
        if not abs(mine - other) <= AGREEMENT * other:
            raise SystemExit(f"step {step}: our loss is {mine:.6g}, the published one {other:.6g}: nothing is timed")


def configuration(inner_steps: int, steps: int, **fields: Any) -> FitConfig:
    """The published adaptation's."""
    return FitConfig(steps=steps, inner_steps=inner_steps, autoencoding=1e-3, learning_rate=4e-4, **fields)


WAYS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("float32, eager", {"compile": "off", "cuda_graph": "off"}),
    ("bfloat16, eager", {"precision": "bfloat16", "compile": "off", "cuda_graph": "off"}),
    ("bfloat16, CUDA graph", {"precision": "bfloat16", "compile": "off", "cuda_graph": "auto"}),
    ("bfloat16, compiled, CUDA graph", {"precision": "bfloat16", "compile": "on", "cuda_graph": "auto"}),
)


@pytest.mark.parametrize("way", ["as published", *dict(WAYS)])
def test_step_on_a_gpu(benchmark, way: str) -> None:  # type: ignore[no-untyped-def]
    benchmark.group = f"adaptation step on a GPU {gpu_script.label(SIZE)}"
    problem, rounds = Problem(SIZE, 1, gpu_script.gpu_or_skip(), reference_unet()), 50
    plain = configuration(10, WARM_UP + rounds, compile="off", cuda_graph="off")
    agree(problem, plain)
    if way == "as published":
        steps = published_steps(problem, plain)
    else:
        steps = our_steps(problem, configuration(10, WARM_UP + rounds, **dict(WAYS)[way]))
    benchmark.pedantic(gpu_script.waiting(lambda: next(steps)), rounds=rounds, warmup_rounds=WARM_UP)


def measure(size: tuple[int, int, int], network: NetworkConfig, device: torch.device, count: int, small: bool) -> Row:
    """Every way, for each number of inner steps and of slices."""
    one = Problem(size, 1, device, network)
    steps = WARM_UP + 5 * count
    rows: list[Row] = []
    for inner in (10, 1):
        plain = configuration(inner, steps, compile="off", cuda_graph="off")
        agree(one, plain)
        theirs = milliseconds(published_steps(one, plain), device, count)
        rows.append({"way": "as published", "inner steps": inner, "slices": 1, "ms a step and slice": theirs})
        for name, fields in WAYS:
            if small and fields["compile"] == "on":
                continue  # a minute of compiling for nothing
            ours = milliseconds(our_steps(one, configuration(inner, steps, **fields)), device, count)
            row = {"way": name, "inner steps": inner, "slices": 1, "ms a step and slice": ours}
            rows.append({**row, "times faster": theirs / ours})
    theirs = next(row["ms a step and slice"] for row in rows if row["inner steps"] == 10)
    many = Problem(size, 2 if small else 8, device, network)
    for together in (True, False):
        config = configuration(10, steps, precision="bfloat16", compile="off")
        model = many.model()
        model.network.together = together
        losses = (step.loss_tensor for step in fit(model, [many.operator], FORM, config))
        ours = milliseconds(losses, device, count) / many.slices
        way = "grouped convolutions" if together else "one slice after another"
        row = {"way": f"bfloat16, CUDA graph, {way}", "inner steps": 10, "slices": many.slices}
        rows.append({**row, "ms a step and slice": ours, "times faster": theirs / ours})
    best = max(row.get("times faster", 0.0) for row in rows if row["slices"] == 1 and row["inner steps"] == 10)
    return {"size": list(size), "channels": list(network.channels), "steps": rows, "times_faster": best}


def main(argv: list[str] | None = None) -> int:
    parser = gpu_script.parser(__doc__, RESULTS)
    parser.add_argument("--count", type=int, default=20, help="steps in each of five timed runs (default: 20)")
    options = parser.parse_args(argv)
    device, name = gpu_script.chosen_device(options.device)
    network = NetworkConfig.unet(4, 1) if options.small else reference_unet()
    result: Row = {
        "date": date.today().isoformat(),
        "device": name,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        **measure(SMALL if options.small else SIZE, network, device, options.count, options.small),
    }
    for row in result["steps"]:
        faster = f"{row['times faster']:6.1f} x" if "times faster" in row else ""
        print(f"{row['way']:52}N = {row['inner steps']:2}{row['ms a step and slice']:10.3f} ms{faster}")
    print(f"{name}: {result['times_faster']:.1f} times faster; {gpu_script.write(result, options, device, RESULTS)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
