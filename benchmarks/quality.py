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
import shlex
import sys
from collections.abc import Sequence

import torch
from cases import Suite, load_suite
from methods import METHODS, check_settings, chosen, configuration_of
from pictures import case_picture, save_images
from quality_case import Case, Shared
from quality_options import numbers, parser, settings_for, wanted_slices
from records import Record, append, digest, done, environment, key_of, read
from scoring import Outcome, Problem

from ugodit.commands.parser import in_options, run
from ugodit.errors import InputError
from ugodit.reconstruction.job import find_device


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    arguments = parser(__doc__).parse_args(argv)
    wanted = wanted_slices(arguments)
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


class _Bench:
    """One call of the command, and what all its runs share."""

    def __init__(self, arguments: argparse.Namespace, suite: Suite, group_suite: Suite, command: str) -> None:
        self.command = command
        if arguments.threads is not None:
            torch.set_num_threads(arguments.threads)
        self.arguments = arguments
        self.device = find_device(arguments.device)
        self.shared = Shared(
            suite, group_suite, arguments.mask, arguments.center_fraction, self.device, arguments.cache
        )
        self.names = chosen(arguments.methods)
        self.accelerations = numbers(arguments.accelerations, "--accelerations", float)
        self.seeds = numbers(arguments.seeds, "--seeds", int)
        check_settings(self.names, settings_for(arguments, 0))
        self.records = read([arguments.out])
        self.done = set() if arguments.again else done(self.records)

    def run(self) -> None:
        """All runs in turn; a case's scan is prepared when the first of its runs is not done yet."""
        skipped = 0
        for acceleration in self.accelerations:
            for seed in self.seeds:
                for tested in self.shared.suite.test:
                    case = Case(self.shared, tested, acceleration, seed)
                    for name in self.names:
                        skipped += not self._run_once(case, name)
                    if self.arguments.pictures:
                        case_picture(self._of_case(case), self.arguments.cache, self.arguments.pictures)
        if skipped:
            print(f"{skipped} runs were in {self.arguments.out} already; --again runs them too", file=sys.stderr)

    def _of_case(self, case: Case) -> list[Record]:
        wanted = case.identity()
        return [r for r in self.records if all(r[name] == value for name, value in wanted.items()) and "error" not in r]

    def _run_once(self, case: Case, name: str) -> bool:
        """Whether it had to be run."""
        method = METHODS[name]
        settings = settings_for(self.arguments, case.seed)
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
            record |= {"error": in_options(" ".join(str(error).split())), **environment(self.device)}
            print(f"  failed: {record['error']}", file=sys.stderr)
        else:
            record |= self._outcome(problem, record, outcome)
        append(self.arguments.out, record)
        self.records.append(record)
        self.done.add((key_of(record), record["configuration_hash"]))
        return True

    def _label(self, name: str) -> str:
        method = METHODS[name]
        notes = [self.arguments.preset] if method.ours else []
        if method.needs_group and self.arguments.prior_suite:
            notes.append(f"prior of {self.arguments.prior_suite}")
        notes += [self.arguments.label] if self.arguments.label else []
        return method.title + (f" ({'; '.join(notes)})" if notes else "")

    def _outcome(self, problem: Problem, record: Record, outcome: Outcome) -> Record:
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
        images = {"image": outcome.image}
        if outcome.best_image is not None:
            images["best"] = outcome.best_image
        save_images(self.arguments.cache, record, images, problem.target)
        best = f", best step {outcome.best['psnr']:.2f} dB" if outcome.best else ""
        print(
            f"  {scores['psnr']:.2f} dB, SSIM {scores['ssim']:.4f}, {outcome.seconds:.1f} s "
            f"({outcome.cpu_seconds:.1f} s of processor){best}",
            file=sys.stderr,
            flush=True,
        )
        return found


def _list_suite(suite: Suite) -> None:
    print(f"{suite.name}: {suite.source}; noise {suite.noise}")
    for tested in suite.test:
        others = ", ".join(one.name for one in suite.training_for(tested)) or "nobody"
        shape = " x ".join(map(str, tested.scan.kspace.shape))
        print(f"  {tested.name} (subject {tested.subject}, {shape}); its group: {others}")


if __name__ == "__main__":
    sys.exit(main())
