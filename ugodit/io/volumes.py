"""Volumes of any format that is known."""

import os
from pathlib import Path

from ugodit.io.fastmri import FastMRIVolume, open_fastmri


def open_volume(path: str | os.PathLike[str], *, follow_links: bool = False) -> FastMRIVolume:
    """Open a multi-coil file and check all that can be checked without reading its samples.

    Known so far: HDF5 in fastMRI's layout. A new format is a module of this package with a function like
    `fastmri.open_fastmri`, chosen here by the file's first bytes. `volume[17:20]` are some of its slices.

    follow_links: its datasets may lie in other files of the same folder; by default they are refused.

    Raises:
        InputError: in one line, for what is not a whole file, or does not hold what it should.
    """
    return open_fastmri(Path(path), follow_links=follow_links)
