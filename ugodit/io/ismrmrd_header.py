"""The few fields of an ISMRMRD XML header that a reconstruction needs, read and written with the standard library."""

from dataclasses import dataclass
from xml.etree import ElementTree

from ugodit.errors import InputError

_NAMESPACE = "http://www.ismrm.org/ISMRMRD"


@dataclass(frozen=True)
class Header:
    """Matrix sizes of the first encoding; None where the header does not say."""

    encoded: tuple[int, int] | None
    """(readout, phase encode) of k-space."""

    reconstructed: tuple[int, int] | None
    """(rows, columns) of the image."""


def parse_header(text: str | bytes, where: str) -> Header:
    """Read a header. `where` names the file and dataset in errors.

    Raises InputError for what is not UTF-8 or not well-formed XML, and for a document type declaration: only that can
    define entities, and a few nested ones expand to gigabytes.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        if "<!DOCTYPE" in text:
            raise InputError(
                f"{where}: an ISMRMRD header has no document type declaration; refused, as it may be an attack"
            )
        root = ElementTree.fromstring(text)
    except (UnicodeDecodeError, ElementTree.ParseError) as error:
        raise InputError(f"{where}: expected ISMRMRD XML, got text that does not parse ({error})") from error
    return Header(_matrix_size(root, "encodedSpace", where), _matrix_size(root, "reconSpace", where))


def format_header(encoded: tuple[int, int], reconstructed: tuple[int, int], coils: int, pixel_mm: float) -> str:
    """A minimal header that the `ismrmrd` package parses: one Cartesian encoding of one slice at 3 tesla."""

    def space(tag: str, size: tuple[int, int]) -> str:
        field = "".join(f"<{axis}>{n * pixel_mm:.6g}</{axis}>" for axis, n in zip("xy", size, strict=True))
        return (
            f"<{tag}><matrixSize><x>{size[0]}</x><y>{size[1]}</y><z>1</z></matrixSize>"
            f"<fieldOfView_mm>{field}<z>3</z></fieldOfView_mm></{tag}>"
        )

    lines = encoded[1]
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<ismrmrdHeader xmlns="{_NAMESPACE}">'
        f"<acquisitionSystemInformation><receiverChannels>{coils}</receiverChannels></acquisitionSystemInformation>"
        "<experimentalConditions><H1resonanceFrequency_Hz>123000000</H1resonanceFrequency_Hz></experimentalConditions>"
        f"<encoding>{space('encodedSpace', encoded)}{space('reconSpace', reconstructed)}"
        "<encodingLimits><kspace_encoding_step_1><minimum>0</minimum>"
        f"<maximum>{lines - 1}</maximum><center>{lines // 2}</center></kspace_encoding_step_1></encodingLimits>"
        "<trajectory>cartesian</trajectory></encoding></ismrmrdHeader>\n"
    )


def _matrix_size(root: ElementTree.Element, space: str, where: str) -> tuple[int, int] | None:
    sizes = []
    for axis in "xy":
        found = root.findtext(f"{{*}}encoding/{{*}}{space}/{{*}}matrixSize/{{*}}{axis}")
        if found is None:
            return None
        try:
            size = int(found)
        except ValueError:
            size = 0
        if size < 1:
            raise InputError(f"{where}: {space}/matrixSize/{axis}: expected a positive whole number, got {found!r}")
        sizes.append(size)
    return sizes[0], sizes[1]
