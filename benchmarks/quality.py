"""Image quality: scans x accelerations x methods x seeds, one JSON line a run; resumable.

    python benchmarks/quality.py run --suite knees --methods zero_filling,l1_wavelet,group_adapted --accelerations 4,8
    python benchmarks/quality.py list --suite brains

A run that is in the file already with the same configuration is skipped. All methods of a case see the same lines, the
same maps and the same target. Reconstructions, maps and priors are kept in benchmarks/cache (not in git).
benchmarks/README.md says more; benchmarks/compare.py makes the tables and pictures.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import PARTS, SUITES, Slice, Suite, Wanted, check_disjoint, load_suite
from methods import METHODS, Group, Settings, check_settings, chosen, configuration_of, device_of
from pictures import case_picture, image_path, target_path
from records import Record, append, digest, done, environment, key_of, read
from scoring import Outcome, Problem

from ugodit.commands.parser import Parser, run
from ugodit.data.masks import KINDS
from ugodit.data.scan import Scan
from ugodit.data.undersampling import acs_width
from ugodit.errors import InputError
from ugodit.priors.presets import PRESETS
from ugodit.reconstruction.preparation import Prepared, cached_maps, prepare_scan, undersampled

HERE = Path(__file__).resolve().parent
CENTER_FRACTIONS = {4.0: 0.08, 8.0: 0.04}
"""fastMRI's; other accelerations get 0.32 / acceleration, which both follow."""
LEAST_CENTER_LINES = 8
"""Of a default central fraction: narrow scans leave ESPIRiT too little otherwise (96 columns at 8x: 4 lines)."""
TRAINING_SEED = 1000
"""Of the first training scan's mask: every training scan has a mask of its own, none the tested scan's."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    arguments = _parser().parse_args(argv)
    wanted = Wanted(
        data=arguments.data,
        path=arguments.path,
        part=arguments.part,
        noise=arguments.noise,
        coils=arguments.coils,
        size=_size(arguments.size),
        group=arguments.group,
        every_slice=arguments.every_slice,
        names=_list(arguments.cases),
    )
    suite = load_suite(arguments.suite, wanted)
    if arguments.action == "list":
        _list_suite(suite)
        return 0
    group_suite = suite
    if arguments.prior_suite:
        group_suite = load_suite(arguments.prior_suite, dataclasses.replace(wanted, names=()))
    words = sys.argv[1:] if argv is None else argv
    command = shlex.join(["python", "benchmarks/quality.py", *words])
    _Bench(arguments, suite, group_suite, command).run()
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="quality.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("action", choices=["run", "list"], help="run the methods, or list the suite's slices")
    data = parser.add_argument_group("data")
    data.add_argument("--suite", choices=SUITES, required=True)
    data.add_argument("--data", type=Path, metavar="DIR", help="measurements (default: UGODIT_DATA or ../shared/data)")
    data.add_argument("--path", type=Path, metavar="DIR", help="fastMRI volumes of suite folder")
    data.add_argument("--part", choices=PARTS, default="test", help="slices to reconstruct (default: %(default)s)")
    data.add_argument("--cases", metavar="A,B", help="only these slices, by name")
    data.add_argument("--noise", default="35", help="of simulated coils: clean, or dB (default: %(default)s)")
    data.add_argument("--coils", type=int, default=8, help="simulated (default: %(default)s)")
    data.add_argument("--size", default="320x320", metavar="ROWSxCOLUMNS", help="of drawn slices")
    data.add_argument("--group", type=int, metavar="M", help="knees or drawn subjects that train (default: 6, 4)")
    data.add_argument("--every-slice", action="store_true", help="suite folder: all slices, not the middle one")
    sampling = parser.add_argument_group("sampling")
    sampling.add_argument("--accelerations", default="4,8", metavar="A,B", help="default: %(default)s")
    sampling.add_argument("--mask", choices=[*KINDS, "poisson"], default="equispaced", help="default: %(default)s")
    sampling.add_argument("--center-fraction", type=float, help="default: 0.08 at 4x, 0.04 at 8x")
    running = parser.add_argument_group("methods")
    running.add_argument("--methods", metavar="A,B", help=f"default: all of {', '.join(METHODS)}")
    running.add_argument("--preset", choices=list(PRESETS), default="balanced", help="of ours (default: %(default)s)")
    running.add_argument("--seeds", default="0", metavar="A,B", help="of masks and networks (default: %(default)s)")
    running.add_argument("--baseline-steps", type=int, default=2000, help="of un-trained ones (default: %(default)s)")
    running.add_argument("--paper-steps", default="300,1000", metavar="TRAIN,ADAPT", help="default: %(default)s")
    running.add_argument("--budget", type=float, metavar="SECONDS", help="end un-trained baselines after this long")
    running.add_argument("--start", default="mean", help="decoder to start from: mean, fresh, 0, ... (default: mean)")
    running.add_argument("--prior-suite", choices=SUITES, help="train the group on this suite's subjects instead")
    running.add_argument(
        "--set", action="append", default=[], metavar="METHOD.TABLE.FIELD=VALUE", help="such as alone.fit.steps=50"
    )
    running.add_argument("--label", default="", help="appended to the methods' names in the tables, for variants")
    running.add_argument("--device", default="cpu", help="cpu, cuda, auto (default: %(default)s)")
    running.add_argument("--threads", type=int, help="CPU threads")
    files = parser.add_argument_group("files")
    files.add_argument("--out", type=Path, default=HERE / "results" / "quality.jsonl", help="default: %(default)s")
    files.add_argument("--cache", type=Path, default=HERE / "cache", help="default: %(default)s")
    files.add_argument("--pictures", type=Path, metavar="DIR", help="also write a montage of every case there")
    files.add_argument("--again", action="store_true", help="run what is in the file already, too")
    return parser


class _Bench:
    """One call of the command: what all its runs share."""

    def __init__(self, arguments: argparse.Namespace, suite: Suite, group_suite: Suite, command: str) -> None:
        self.command = command
        if arguments.threads is not None:
            torch.set_num_threads(arguments.threads)
        self.arguments, self.suite, self.group_suite = arguments, suite, group_suite
        self.device = device_of(arguments.device)
        self.names = chosen(arguments.methods)
        self.overrides = dict(_assignment(text) for text in arguments.set)
        self.accelerations = _numbers(arguments.accelerations, "--accelerations", float)
        self.seeds = _numbers(arguments.seeds, "--seeds", int)
        check_settings(self.names, self.settings(0))
        self.records = read([arguments.out])
        self.done = set() if arguments.again else done(self.records)

    def run(self) -> None:
        """All runs in turn; a case's scan is prepared when the first of its runs is not done yet."""
        skipped = 0
        for acceleration in self.accelerations:
            for seed in self.seeds:
                for tested in self.suite.test:
                    case = _Case(self, tested, acceleration, seed)
                    for name in self.names:
                        skipped += not self._run_once(case, name)
                    if self.arguments.pictures:
                        case_picture(self._of_case(case), self.arguments.cache, self.arguments.pictures)
        if skipped:
            print(f"{skipped} runs were in {self.arguments.out} already; --again runs them too", file=sys.stderr)

    def _of_case(self, case: _Case) -> list[Record]:
        wanted = case.identity()
        return [r for r in self.records if all(r[name] == value for name, value in wanted.items()) and "error" not in r]

    def _run_once(self, case: _Case, name: str) -> bool:
        """Whether it had to be run."""
        method = METHODS[name]
        settings = self.settings(case.seed)
        group = case.group() if method.needs_group else None
        configuration = configuration_of(name, settings, group)
        record: Record = {
            **case.identity(),
            "method": name,
            "label": self._label(name),
            "title": method.title,
            "granted": method.granted,
            "preset": self.arguments.preset if method.ours else None,
            "configuration": configuration,
            "command": self.command,
        }
        # The measurements are part of it: another simulator or another file is another run.
        record["configuration_hash"] = digest({"method": name, "data": case.sha256, **configuration})
        if (key_of(record), record["configuration_hash"]) in self.done:
            return False
        print(f"{case.title}: {record['label']} ...", file=sys.stderr, flush=True)
        try:
            problem = case.problem()
            outcome = method.run(problem, configuration, group)
        except InputError as error:
            # One method that cannot do a case (too few lines to split, say) must not end the others.
            record |= {"error": " ".join(str(error).split()), **environment(self.device)}
            print(f"  failed: {record['error']}", file=sys.stderr)
        else:
            record |= self._outcome(case, problem, record, outcome)
        append(self.arguments.out, record)
        self.records.append(record)
        self.done.add((key_of(record), record["configuration_hash"]))
        return True

    def settings(self, seed: int) -> Settings:
        arguments = self.arguments
        paper = _numbers(arguments.paper_steps, "--paper-steps", int)
        if len(paper) != 2:
            raise InputError(f"--paper-steps: expected TRAIN,ADAPT, got {arguments.paper_steps!r}")
        return Settings(
            preset_name=arguments.preset,
            seed=seed,
            baseline_steps=arguments.baseline_steps,
            paper_steps=(paper[0], paper[1]),
            budget=arguments.budget,
            overrides=self.overrides,
            warm_start=arguments.start,
        )

    def _label(self, name: str) -> str:
        method = METHODS[name]
        notes = [self.arguments.preset] if method.ours else []
        if method.needs_group and self.arguments.prior_suite:
            notes.append(f"prior of {self.arguments.prior_suite}")
        notes += [self.arguments.label] if self.arguments.label else []
        return method.title + (f" ({'; '.join(notes)})" if notes else "")

    def _outcome(self, case: _Case, problem: Problem, record: Record, outcome: Outcome) -> Record:
        scores = problem.scores(outcome.image)
        found: Record = {
            **scores,
            "seconds": outcome.seconds,
            "cpu_seconds": outcome.cpu_seconds,
            "curve": outcome.curve,
            "best": outcome.best,
            "more": outcome.more,
            **environment(self.device),
        }
        _save_images(self.arguments.cache, record, outcome, problem)
        best = f", best step {outcome.best['psnr']:.2f} dB" if outcome.best else ""
        print(
            f"  {scores['psnr']:.2f} dB, SSIM {scores['ssim']:.4f}, {outcome.seconds:.1f} s "
            f"({outcome.cpu_seconds:.1f} s of processor){best}",
            file=sys.stderr,
            flush=True,
        )
        return found


class _Case:
    """A slice at one acceleration and seed; prepared once, when it is needed."""

    def __init__(self, bench: _Bench, tested: Slice, acceleration: float, seed: int) -> None:
        self.bench, self.tested, self.seed = bench, tested, seed
        self.sampling = {
            "mask": bench.arguments.mask,
            "acceleration": acceleration,
            "center_fraction": _nominal_fraction(bench.arguments, acceleration),
        }
        self.scan = _undersampled(bench.arguments, tested, acceleration, seed)
        # Score and measurements: what the result depends on.
        assert tested.scan.target is not None
        content = hashlib.sha256(self.scan.kspace.contiguous().numpy().tobytes())
        content.update(tested.scan.target.numpy().tobytes())
        self.sha256 = content.hexdigest()
        self._problem: Problem | None = None

    @property
    def title(self) -> str:
        return f"{self.bench.suite.name}, {self.tested.name}, {self.sampling['acceleration']:g}x, seed {self.seed}"

    def identity(self) -> Record:
        """The case's share of a record."""
        assert self.scan.mask is not None
        return {
            "suite": self.bench.suite.name,
            "source": self.bench.suite.source,
            "case": self.tested.name,
            "subject": self.tested.subject,
            "noise": self.bench.suite.noise,
            "shape": list(self.scan.kspace.shape),
            **self.sampling,
            "center_lines": acs_width(self.scan.mask),
            "sampled": round(float(self.scan.mask.float().mean()), 4),
            "seed": self.seed,
        }

    def problem(self) -> Problem:
        if self._problem is None:
            cache = self.bench.arguments.cache / "maps"
            prepared = prepare_scan(self.scan, self.bench.device, cache)
            self._problem = Problem(self.tested, prepared, cached_maps(self.scan, cache))
        return self._problem

    def group(self) -> Group:
        """The training scans for this slice, each with a mask of its own, and never a scan of the same subject."""
        slices = self.bench.group_suite.training_for(self.tested)
        check_disjoint(slices, [self.tested])
        if not slices:
            raise InputError(f"{self.tested.name}: no other subject is there to train a group on; leave group_* out")
        arguments = self.bench.arguments
        seeds = [TRAINING_SEED + 100 * self.seed + index for index in range(len(slices))]

        def prepared() -> list[Prepared]:
            scans = [
                _undersampled(arguments, one, self.sampling["acceleration"], seed)
                for one, seed in zip(slices, seeds, strict=True)
            ]
            return [prepare_scan(scan, self.bench.device, arguments.cache / "maps") for scan in scans]

        description = [
            {"name": one.name, "subject": one.subject, "sha256": _sha256(one), "mask_seed": seed}
            for one, seed in zip(slices, seeds, strict=True)
        ]
        return Group(description, self.sampling, prepared, arguments.cache)


def _nominal_fraction(arguments: argparse.Namespace, acceleration: float) -> float:
    if arguments.center_fraction is not None:
        return float(arguments.center_fraction)
    return CENTER_FRACTIONS.get(acceleration, round(0.32 / acceleration, 4))


def _undersampled(arguments: argparse.Namespace, one: Slice, acceleration: float, seed: int) -> Scan:
    """By the commands' rules, with LEAST_CENTER_LINES where nobody asked for a central fraction."""
    fraction = _nominal_fraction(arguments, acceleration)
    if arguments.center_fraction is None:
        fraction = max(fraction, LEAST_CENTER_LINES / one.scan.kspace.shape[-1])
    options = {"mask": arguments.mask, "acceleration": acceleration, "center_fraction": fraction, "seed": seed}
    return undersampled(one.scan, argparse.Namespace(**options))


def _sha256(one: Slice) -> str:
    return hashlib.sha256(one.scan.kspace.contiguous().numpy().tobytes()).hexdigest()[:16]


def _save_images(cache: Path, record: Record, outcome: Outcome, problem: Problem) -> None:
    """The reconstruction (and the best step's) for montages, and the target once a case."""
    images: dict[str, Any] = {"image": outcome.image}
    if outcome.best_image is not None:
        images["best"] = outcome.best_image
    for path, arrays in ((image_path(cache, record), images), (target_path(cache, record), {"target": problem.target})):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez_compressed(partial, **arrays)
        partial.replace(path)


def _list_suite(suite: Suite) -> None:
    print(f"{suite.name}: {suite.source}; noise {suite.noise}")
    for tested in suite.test:
        others = ", ".join(one.name for one in suite.training_for(tested)) or "nobody"
        shape = " x ".join(map(str, tested.scan.kspace.shape))
        print(f"  {tested.name} (subject {tested.subject}, {shape}); its group: {others}")


def _assignment(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    if not equals or path.count(".") < 1:
        raise InputError(f"--set: expected METHOD.TABLE.FIELD=VALUE, got {text!r}")
    try:
        return path.strip(), json.loads(value)
    except json.JSONDecodeError:
        return path.strip(), value.strip()


def _numbers(text: str, option: str, kind: type) -> list[Any]:
    try:
        found = [kind(part) for part in _list(text)]
    except ValueError:
        found = []
    if not found:
        raise InputError(f"{option}: expected numbers such as 4,8, got {text!r}")
    return found


def _list(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _size(text: str) -> tuple[int, int]:
    rows, _, columns = text.partition("x")
    if not (rows.isdecimal() and columns.isdecimal()):
        raise InputError(f"--size: expected ROWSxCOLUMNS such as 320x320, got {text!r}")
    return int(rows), int(columns)


if __name__ == "__main__":
    sys.exit(main())
