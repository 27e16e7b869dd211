import pytest
import torch

from ugodit.data.scan import Scan

_KSPACE = torch.zeros(2, 6, 4, dtype=torch.complex64)


def test_a_consistent_scan_is_accepted_with_either_kind_of_mask():
    for shape in ((4,), (6, 4)):
        Scan("a", 0, _KSPACE, torch.ones(shape, dtype=torch.bool), (5, 4), torch.zeros(5, 4))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"kspace": _KSPACE[None]}, "kspace"),
        ({"kspace": _KSPACE.to(torch.complex128)}, "kspace"),
        ({"mask": torch.ones(6, dtype=torch.bool)}, "mask"),
        ({"mask": torch.ones(4)}, "mask"),
        ({"crop": (7, 4)}, "crop"),
        ({"crop": (6, 0)}, "crop"),
        ({"target": torch.zeros(6, 3)}, "target"),
    ],
)
def test_parts_that_do_not_fit_are_refused_by_name(changed, named):
    parts = {"name": "a", "slice_index": 0, "kspace": _KSPACE, "mask": None, "crop": (6, 4), "target": None}
    with pytest.raises(ValueError, match=f"^{named}: expected"):
        Scan(**{**parts, **changed})
