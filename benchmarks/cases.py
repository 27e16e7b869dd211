"""What is reconstructed: suites of fully sampled slices, dealt into training and test so that no subject is in both.

brains         the real brains of the data folder; each is tested with the other subjects as its group
knees          simulated coils round the ten real knee magnitudes: subjects 0 to 5 train, 6 and 7 are for
               development, 8 and 9 for the final test
drawn_knees    ugodit.simulation.phantom, by seed: 1, 2, ... train, 100 and 101 are tested
drawn_brains
folder         fastMRI volumes below --path: its folders train/ and test/, or (without them) the first half of the
               subjects trains, the second is tested
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from ugodit.data.scan import Scan
from ugodit.errors import InputError
from ugodit.io.reconstructions import read_reconstruction
from ugodit.io.volumes import open_volume
from ugodit.simulation import phantom

Part = Literal["test", "dev", "train", "all"]
PARTS: tuple[Part, ...] = get_args(Part)
SUITES = ("brains", "knees", "drawn_knees", "drawn_brains", "folder")
AS_MEASURED = "as measured"
CLEAN = "clean"
CLEAN_DB = 200.0
"""Of `clean`: below single precision's rounding."""
KNEES = {"train": range(6), "dev": range(6, 8), "test": range(8, 10), "all": range(10)}
DRAWN_GROUP = 4
DRAWN_TEST_SEEDS = (100, 101)
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Slice:
    """One fully sampled slice with its target."""

    name: str
    """Unique in the suite."""
    subject: str
    """Whoever was measured: no subject is on both sides of a split."""
    scan: Scan
    maximum: float
    """The target volume's, the intensity range of PSNR and SSIM."""


@dataclass(frozen=True)
class Suite:
    """Slices to reconstruct and slices to train a group on."""

    name: str
    source: str
    """What the data are, for the tables."""
    noise: str
    train: tuple[Slice, ...]
    test: tuple[Slice, ...]

    def training_for(self, tested: Slice) -> tuple[Slice, ...]:
        """The training slices of other subjects than the tested one's."""
        return tuple(other for other in self.train if other.subject != tested.subject)


@dataclass(frozen=True)
class Wanted:
    """Which slices a suite is to have; what does not concern it is ignored."""

    data: Path | None = None
    """The data folder; None for UGODIT_DATA or ../shared/data."""
    path: Path | None = None
    """Suite folder: where the volumes are."""
    part: Part = "test"
    noise: str = "35"
    """Of simulated coils: `clean`, or the signal-to-noise ratio in dB."""
    coils: int = 8
    size: tuple[int, int] = (320, 320)
    """Of drawn slices."""
    group: int | None = None
    """Subjects that train, of knees and drawn slices; None for all six knees, four drawn ones."""
    every_slice: bool = False
    """Suite folder: all slices of each volume, or the middle one."""
    names: Sequence[str] = field(default_factory=tuple)
    """Only these test slices; empty for all."""


def load_suite(name: str, wanted: Wanted) -> Suite:
    """The suite of that name. InputError for data that are not there, and for names that no slice has."""
    if name == "brains":
        suite = _brains(_data_folder(wanted.data))
    elif name == "knees":
        suite = _knees(_data_folder(wanted.data), wanted)
    elif name in ("drawn_knees", "drawn_brains"):
        suite = _drawn(name, wanted)
    elif name == "folder":
        suite = _folder(wanted)
    else:
        raise InputError(f"--suite: expected one of {', '.join(SUITES)}, got {name!r}")
    if wanted.group is not None and name in ("knees", "drawn_knees", "drawn_brains"):
        most = len(KNEES["train"]) if name == "knees" else None
        if wanted.group < 1 or (most is not None and wanted.group > most):
            raise InputError(f"--group: expected 1 to {most or 'any number of'} subjects, got {wanted.group}")
    unknown = set(wanted.names) - {tested.name for tested in suite.test}
    if unknown:
        known = ", ".join(repr(tested.name) for tested in suite.test)
        raise InputError(f"--cases: {sorted(unknown)[0]!r} is not in suite {name}, which has {known}")
    chosen = tuple(tested for tested in suite.test if not wanted.names or tested.name in wanted.names)
    return Suite(suite.name, suite.source, suite.noise, suite.train, chosen)


def check_disjoint(train: Sequence[Slice], test: Sequence[Slice]) -> None:
    """InputError where a subject is on both sides: its score would be of memory, not of reconstruction."""
    shared = {one.subject for one in train} & {one.subject for one in test}
    if shared:
        raise InputError(f"subject {sorted(shared)[0]} is in training and in test; choose other volumes or subjects")


def _data_folder(named: Path | None) -> Path:
    """By the tests' rule: what is named, else UGODIT_DATA, else ../shared/data beside the repository."""
    if named is None and os.environ.get("UGODIT_DATA"):
        named = Path(os.environ["UGODIT_DATA"])
    folders = [named] if named else [base / "shared" / "data" for base in (ROOT.parent, ROOT.parent.parent)]
    for folder in folders:
        if (folder / "mri").is_dir():
            return folder / "mri"
    raise InputError(f"--data: {folders[0]}: expected the measurements' folder with mri/ in it; name it with --data")


def _brains(folder: Path) -> Suite:
    # Magnitudes alone are anatomy for simulated coils: nothing was measured of theirs.
    paths = [path for path in sorted(folder.glob("brain_*.h5")) if "_magnitude_" not in path.name]
    slices = [one for path in paths for one in _volume(path, every_slice=True)]
    if not slices:
        raise InputError(f"--data: {folder}: expected brain_*.h5 with k-space, found none")
    return Suite("brains", "real multi-coil brains, fully sampled", AS_MEASURED, tuple(slices), tuple(slices))


def _knees(folder: Path, wanted: Wanted) -> Suite:
    magnitudes = read_reconstruction(folder / "knees_a_magnitude_320x256.h5", "magnitude")

    def slices(subjects: range) -> tuple[Slice, ...]:
        return tuple(
            _simulated(f"knee {s}", f"knees_a {s}", magnitudes[s], s, wanted, "axial", 160 / 320, 0.0) for s in subjects
        )

    source = f"real knee magnitudes of ten subjects, {wanted.coils} simulated coils, phase and noise"
    train = KNEES["train"][: wanted.group]
    return Suite("knees", source, _noise_name(wanted.noise), slices(train), slices(KNEES[wanted.part]))


def _drawn(name: str, wanted: Wanted) -> Suite:
    anatomy: phantom.Anatomy = "knee" if name == "drawn_knees" else "brain"
    pixel = phantom.field_of_view(anatomy) / max(wanted.size)

    def one(seed: int) -> Slice:
        picture = phantom.draw(anatomy, wanted.size, range(1), seed)[0]
        plane = phantom.PLANES[anatomy]
        return _simulated(f"{anatomy} {seed}", f"drawn {anatomy} {seed}", picture, seed, wanted, plane, pixel, 0.5)

    train = tuple(one(seed) for seed in range(1, (wanted.group or DRAWN_GROUP) + 1))
    tested = train if wanted.part == "train" else tuple(one(seed) for seed in DRAWN_TEST_SEEDS)
    rows, columns = wanted.size
    source = f"{anatomy}s drawn by ugodit.simulation.phantom, {rows} x {columns}, {wanted.coils} simulated coils"
    return Suite(name, source, _noise_name(wanted.noise), train, tested)


def _folder(wanted: Wanted) -> Suite:
    if wanted.path is None:
        raise InputError("--path: suite folder needs the folder of fastMRI volumes")
    if not wanted.path.is_dir():
        raise InputError(f"--path: {wanted.path}: there is no such folder")
    below = [wanted.path / part for part in ("train", "test")]
    if all(folder.is_dir() for folder in below):
        train, test = ([*_volumes(folder, wanted.every_slice)] for folder in below)
    else:
        slices = _volumes(wanted.path, wanted.every_slice)
        subjects = sorted({one.subject for one in slices})
        first = set(subjects[: len(subjects) // 2])
        train = [one for one in slices if one.subject in first]
        test = [one for one in slices if one.subject not in first]
    check_disjoint(train, test)
    return Suite(f"folder {wanted.path.name}", str(wanted.path), AS_MEASURED, tuple(train), tuple(test))


def _volumes(folder: Path, every_slice: bool) -> list[Slice]:
    slices = [one for path in sorted(folder.glob("*.h5")) for one in _volume(path, every_slice=every_slice)]
    if not slices:
        raise InputError(f"--path: {folder}: expected fastMRI volumes (*.h5), found none")
    return slices


def _volume(path: Path, *, every_slice: bool) -> list[Slice]:
    with open_volume(path) as volume:
        indices = range(volume.n_slices) if every_slice else [volume.n_slices // 2]
        scans = [volume.scan(index) for index in indices]
        # Without a patient's number nothing is known of who it is: the file stands for a subject.
        subject = str(volume.attributes.get("patient_id", volume.name))
        maximum = volume.attributes.get("max")
    slices = []
    for scan in scans:
        if scan.mask is not None or scan.target is None:
            raise InputError(f"{path}: expected fully sampled k-space with reconstruction_rss, to score against")
        name = scan.name if len(indices) == 1 else f"{scan.name} {scan.slice_index}"
        own = float(scan.target.max())
        # fastMRI's `max` is of the whole volume; what cannot be that (a file cut from another) is not believed.
        slices.append(Slice(name, subject, scan, max(float(maximum), own) if maximum and len(scans) > 1 else own))
    return slices


def _simulated(
    name: str,
    subject: str,
    magnitude: NDArray[np.float32],
    seed: int,
    wanted: Wanted,
    plane: phantom.Plane,
    pixel_mm: float,
    shading: float,
) -> Slice:
    """Coils, phase and noise by `seed`; the target is the noise-free image's magnitude."""
    kspace, _, image = phantom.simulate_volume(
        magnitude[None],
        wanted.coils,
        seed,
        snr_db=_decibels(wanted.noise),
        shading=shading,
        pixel_mm=pixel_mm,
        plane=plane,
    )
    target = torch.from_numpy(np.abs(image[0]).astype(np.float32))
    rows, columns = magnitude.shape
    scan = Scan(name.replace(" ", "_"), 0, torch.from_numpy(kspace[0]), None, (rows, columns), target)
    return Slice(name, subject, scan, float(target.max()))


def _decibels(noise: str) -> float:
    if noise == CLEAN:
        return CLEAN_DB
    try:
        return float(noise)
    except ValueError:
        raise InputError(f"--noise: expected {CLEAN} or decibels, got {noise!r}") from None


def _noise_name(noise: str) -> str:
    return CLEAN if noise == CLEAN else f"{_decibels(noise):g} dB"
