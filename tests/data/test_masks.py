import json
from pathlib import Path

import numpy as np
import pytest
import sigpy.mri

from ugodit.data import masks as masks_module
from ugodit.data.masks import KINDS, cartesian_mask, poisson_disc_mask
from ugodit.data.undersampling import acs_width
from ugodit.errors import InputError

_EXPECTED = json.loads((Path(__file__).parent / "fastmri_masks.json").read_text())["masks"]


@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_bit_for_bit_those_of_fastmri(kind):
    cases = [case for case in _EXPECTED if case[0] == kind]
    assert len(cases) >= 80
    for _, width, acceleration, center_fraction, seed, packed in cases:
        expected = np.unpackbits(np.frombuffer(bytes.fromhex(packed), np.uint8), count=width).astype(bool)
        mask = cartesian_mask(kind, width, acceleration, center_fraction, seed)
        assert mask.dtype == bool
        np.testing.assert_array_equal(mask, expected, err_msg=f"{kind} {width} {acceleration} {center_fraction} {seed}")


def test_masks_leave_the_global_random_state_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    cartesian_mask("random", 64, 4, 0.08, 3)
    poisson_disc_mask((32, 32), 4, 8, 3)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("spiral", 320, 4, 0.08, 0), "kind"),
        (("random", 0, 4, 0.08, 0), "width"),
        (("random", 320, 0.5, 0.08, 0), "acceleration"),
        (("random", 320, float("nan"), 0.08, 0), "acceleration"),
        (("random", 320, float("inf"), 0.08, 0), "acceleration"),
        (("equispaced", 320, 3.5, 0.08, 0), "acceleration"),
        (("magic", 320, 3.5, 0.08, 0), "acceleration"),
        (("random", 320, 4, 0.0, 0), "center_fraction"),
        (("random", 320, 4, 1.0, 0), "center_fraction"),
        (("equispaced_fraction", 320, 4, 0.25, 0), "center_fraction"),
        (("equispaced_fraction", 320, 4, 0.5, 0), "center_fraction"),
        (("random", 320, 4, 0.08, -1), "seed"),
        (("random", 320, 4, 0.08, (1, -1)), "seed"),
        (("random", 320, 4, 0.08, 2**32), "seed"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(arguments, named):
    with pytest.raises(InputError, match=named) as error:
        cartesian_mask(*arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [1, 2, 3, 15, 31])
def test_small_widths_and_acceleration_one(kind, width):
    mask = cartesian_mask(kind, width, 1, 0.3, 0)
    assert mask.shape == (width,)
    assert acs_width(mask) <= width


def test_poisson_disc_mask_is_seeded_and_meets_the_acceleration():
    mask = poisson_disc_mask((96, 80), 4, 16, 5)
    assert mask.shape == (96, 80)
    assert mask.dtype == bool
    assert abs(mask.size / mask.sum() - 4) < 0.1  # sigpy's own tolerance
    assert acs_width(mask) >= 16
    np.testing.assert_array_equal(mask, poisson_disc_mask((96, 80), 4, 16, 5))
    assert (mask != poisson_disc_mask((96, 80), 4, 16, 6)).any()


def test_a_seed_that_sigpy_fails_on_gives_a_mask_all_the_same():
    for seed in range(6):
        mask = poisson_disc_mask((96, 80), 4, 24, seed)
        assert abs(mask.size / mask.sum() - 4) < 0.1
        np.testing.assert_array_equal(mask, poisson_disc_mask((96, 80), 4, 24, seed))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (((96, 80), 1, 16, 0), "acceleration"),
        (((96, 80), 60, 64, 0), "acceleration"),
        (((96, 80), 4, 80, 0), "calibration"),
        (((96, 80), 4, -1, 0), "calibration"),
        (((1, 80), 4, 0, 0), "shape"),
        (((96, 80), 4, 16, -1), "seed"),
    ],
)
def test_poisson_arguments_out_of_range_are_refused_by_name(arguments, named):
    with pytest.raises(InputError, match=named):
        poisson_disc_mask(*arguments)


@pytest.fixture
def searches(monkeypatch):
    """The shapes for which a Poisson-disc mask was searched for, with none found before."""
    found = []
    original = masks_module.search

    def counted(shape, *arguments):
        found.append(shape)
        return original(shape, *arguments)

    monkeypatch.setattr(masks_module, "search", counted)
    masks_module._poisson_disc_mask.cache_clear()
    yield found
    masks_module._poisson_disc_mask.cache_clear()


def test_a_poisson_mask_is_searched_for_once(searches):
    first = poisson_disc_mask((48, 40), 4, 8, 5)
    for _ in range(3):
        np.testing.assert_array_equal(poisson_disc_mask((48, 40), 4, 8, 5), first)
    assert len(searches) == 1
    for count, other in enumerate((((40, 48), 4, 8, 5), ((48, 40), 3, 8, 5), ((48, 40), 4, 10, 5)), 2):
        poisson_disc_mask(*other)
        assert len(searches) == count
    poisson_disc_mask((48, 40), 4, 8, 6)
    assert len(searches) == 5


def test_a_caller_that_changes_its_mask_changes_no_other(searches):
    first = poisson_disc_mask((48, 40), 4, 8, 5)
    expected = first.copy()
    first[:] = True
    second = poisson_disc_mask((48, 40), 4, 8, 5)
    np.testing.assert_array_equal(second, expected)
    assert second.flags.writeable
    assert len(searches) == 1


def test_what_is_refused_is_refused_again(searches):
    for _ in range(2):
        with pytest.raises(InputError, match="no Poisson-disc mask of 96 x 80 with 64 calibration lines reaches 60"):
            poisson_disc_mask((96, 80), 60, 64, 0)


@pytest.mark.parametrize(
    "case", [((96, 80), 4, 16, 5), ((64, 96), 2.2, 8, 1), ((48, 48), 12, 6, 2), ((40, 64), 3, 0, 3)]
)
def test_the_search_ends_where_sigpys_does(case):
    shape, acceleration, calibration, seed = case
    expected = sigpy.mri.poisson(shape, acceleration, calib=(calibration, calibration), dtype=bool, seed=seed)
    np.testing.assert_array_equal(poisson_disc_mask(*case), expected)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("acceleration", [1.01, 1.2, 999.0, 1e300, np.inf])
def test_an_acceleration_that_no_pattern_reaches_is_refused_soon(acceleration):
    with pytest.raises(InputError, match="`acceleration`: "):
        poisson_disc_mask((160, 144), acceleration, 12, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_absurd_accelerations_are_refused(kind):
    for acceleration in (1e300, 1e13, np.inf):
        with pytest.raises(InputError, match="`acceleration`: expected a number from 1 to 1000"):
            cartesian_mask(kind, 40, acceleration, 0.1, 0)
