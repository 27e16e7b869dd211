"""Where a name in an HDF5 file leads: links and storage in other files are refused, or followed to files beside it.

HDF5 itself follows whatever a file says, to any path of the machine, answers a missing file of a virtual dataset with
zeros, and crashes over one that contains itself. So every step is looked at before it is taken.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import h5py

from ugodit.errors import InputError, named
from ugodit.io.files import require_regular_file
from ugodit.io.hdf5_dataset import HDF5Dataset
from ugodit.io.hdf5_parts import boxes_of, check_external, cover

MAX_STEPS = 32
"""Groups and links on the way to a dataset."""
MAX_FILES = 64
"""Files that one file may lead to."""
MAX_SOURCES = 4096
"""Parts of a virtual dataset, in all."""
PREFIXES = ("HDF5_VDS_PREFIX", "HDF5_EXTFILE_PREFIX")
"""Variables of the environment that HDF5 puts above any folder that it is told to look in."""


class Follower:
    """Opens the files that links of one file lead to, where that is allowed."""

    def __init__(self, path: Path, allowed: bool) -> None:
        self.path = path
        self.allowed = allowed
        self.folder = path.resolve().parent
        self.sources = 0
        self._files: dict[Path, h5py.File] = {}

    def beside(self, name: str | bytes, where: str, how: str) -> Path:
        """The file of that name beside the first one. InputError where it is elsewhere, missing, or not allowed."""
        text = os.fsdecode(name)
        if not self.allowed:
            raise InputError(
                f"{where}: {how} another file, {text!r}, which is not read; "
                "allow files beside the scan with --follow-links, or copy the data into one file"
            )
        for variable in PREFIXES:
            if os.environ.get(variable):
                raise InputError(
                    f"{where}: {how} {text!r}, but {variable} is set and leads HDF5 to another folder; unset it"
                )
        target = Path(os.path.realpath(self.folder / text))
        if "\0" in text or target.parent != self.folder:
            raise InputError(f"{where}: {how} {text!r}, which does not lie beside {self.path.name}; move it there")
        require_regular_file(target, f"what {self.path.name} needs")
        return target

    def open(self, target: Path) -> h5py.File:
        """A file that `beside` named."""
        if target not in self._files:
            if len(self._files) >= MAX_FILES:
                raise InputError(f"{self.path}: leads to more than {MAX_FILES} files; copy the data into one file")
            self._files[target] = h5py.File(target, "r")
        return self._files[target]

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()


def resolve(follower: Follower, file: h5py.File, name: str, where: str) -> h5py.Dataset | None:
    """The dataset that a name leads to, checked so that reading it opens nothing but what is allowed; None for none."""
    group, parts = file.id, _parts(name.encode("utf-8", "surrogateescape"))
    for _ in range(MAX_STEPS):
        if not parts:
            return None
        part, *parts = parts
        if not group.links.exists(part):
            return None
        kind = group.links.get_info(part).type
        if kind == h5py.h5l.TYPE_SOFT:
            target = group.links.get_val(part)
            group = file.id if target.startswith(b"/") else group
            parts = _parts(target) + parts
        elif kind == h5py.h5l.TYPE_EXTERNAL:
            other, target = group.links.get_val(part)
            file = follower.open(follower.beside(other, where, "links to"))
            group, parts = file.id, _parts(target) + parts
        elif kind != h5py.h5l.TYPE_HARD:
            raise InputError(f"{where}: expected a dataset, got a link of an unknown kind; copy the data into the file")
        elif parts:
            group = h5py.h5o.open(group, part)
            if not isinstance(group, h5py.h5g.GroupID):
                return None
        elif isinstance(h5py.h5o.open(group, part), h5py.h5d.DatasetID):
            return _checked(follower, file, group, part, where)
        else:
            return None
    raise InputError(
        f"{where}: leads through more than {MAX_STEPS} groups and links, perhaps in a circle; mend the file"
    )


def _parts(path: bytes) -> list[bytes]:
    return [part for part in path.split(b"/") if part not in (b"", b".")][: MAX_STEPS + 1]


def _checked(follower: Follower, file: h5py.File, group: h5py.h5g.GroupID, name: bytes, where: str) -> h5py.Dataset:
    """The dataset at a hard link, opened so that parts of it in other files are found beside the first file only."""
    found = h5py.h5d.open(group, name)
    _check_parts(follower, file, found, where, ())
    plist = found.get_create_plist()
    if plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count():
        del found  # HDF5 keeps the folders that a dataset was first opened with
        prefix = os.fsencode(follower.folder)
        access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
        access.set_efile_prefix(prefix)
        access.set_virtual_prefix(prefix)
        found = h5py.h5d.open(group, name, access)
    return h5py.Dataset(found)


def _check_parts(
    follower: Follower, file: h5py.File, found: h5py.h5d.DatasetID, where: str, within: tuple[object, ...]
) -> None:
    """InputError where some of a dataset lies in other files (unless allowed), is missing, or contains itself."""
    plist = found.get_create_plist()
    outside = [plist.get_external(place) for place in range(plist.get_external_count())]
    if outside and within:  # which HDF5 would look for in the folder that the program was started in
        raise InputError(f"{where}: a part of a virtual dataset is stored in another file; copy the data into it")
    if outside:
        parts = [(follower.beside(name, where, "is stored in"), int(at), int(size)) for name, at, size in outside]
        check_external(where, math.prod(found.shape) * found.get_type().get_size(), parts)
    if plist.get_layout() != h5py.h5d.VIRTUAL:
        if within:
            HDF5Dataset(where, h5py.Dataset(found)).check_all_chunks()
        return
    object_id = (file.filename, h5py.h5o.get_info(found).addr)
    if object_id in within or len(within) > MAX_STEPS:
        raise InputError(f"{where}: is a virtual dataset that contains itself; the file is damaged, or an attack")
    for place in range(plist.get_virtual_count()):
        _check_source(follower, file, plist, place, where, (*within, object_id))
    with named(where):
        boxes = [boxes_of(plist.get_virtual_vspace(place)) for place in range(plist.get_virtual_count())]
        if not boxes or not cover(boxes, found.shape):
            raise InputError("is a virtual dataset whose parts leave some of it empty; add the missing parts")


def _check_source(
    follower: Follower, file: h5py.File, plist: h5py.h5p.PropDCID, place: int, where: str, within: tuple[object, ...]
) -> None:
    follower.sources += 1
    if follower.sources > MAX_SOURCES:
        raise InputError(f"{where}: is made of more than {MAX_SOURCES} parts; copy the data into one dataset")
    name = plist.get_virtual_filename(place)
    part = plist.get_virtual_dsetname(place)
    text = name if isinstance(name, str) else os.fsdecode(name)
    if "%" in text or "%" in (part if isinstance(part, str) else os.fsdecode(part)):
        # HDF5 reads %% as %, and %b as a number that it counts up: other names than those that are looked at here.
        raise InputError(f"{where}: is made of parts with % in their names ({text!r}); rename the file or dataset")
    inside = where if text == "." else f"{where}: {text}"
    target = follower.beside(file.filename if text == "." else text, where, "is made of parts of")
    source = file if text == "." else follower.open(target)
    group, parts = source.id, _parts(part if isinstance(part, bytes) else part.encode("utf-8", "surrogateescape"))
    missing = f"{inside}: {os.fsdecode(b'/'.join(parts))}: a part of a virtual dataset is missing; copy it there too"
    for step in parts[:-1]:
        if not group.links.exists(step) or group.links.get_info(step).type != h5py.h5l.TYPE_HARD:
            raise InputError(missing)
        group = h5py.h5o.open(group, step)
    # HDF5 opens this by itself: only a plain link leads nowhere else.
    if not parts or not group.links.exists(parts[-1]) or group.links.get_info(parts[-1]).type != h5py.h5l.TYPE_HARD:
        raise InputError(missing)
    found = h5py.h5o.open(group, parts[-1])
    if not isinstance(found, h5py.h5d.DatasetID):
        raise InputError(missing)
    if not _is_whole(plist, place, found.shape):
        raise InputError(f"{missing}, whole")
    _check_parts(follower, source, found, where, within)


def _is_whole(plist: h5py.h5p.PropDCID, place: int, shape: tuple[int, ...]) -> bool:
    """Whether a source of that shape has all that is selected of it."""
    selected = plist.get_virtual_srcspace(place)
    taken = plist.get_virtual_vspace(place).get_select_npoints()
    if selected.get_select_type() == h5py.h5s.SEL_ALL:  # which has no extent of its own
        return bool(math.prod(shape) == taken)
    if selected.get_select_npoints() != taken:
        return False
    wanted = selected.get_select_bounds()[1]
    return len(wanted) == len(shape) and all(last < size for last, size in zip(wanted, shape, strict=True))
