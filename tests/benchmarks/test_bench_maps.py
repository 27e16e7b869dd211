"""The comparison of maps with sigpy's: ours, from the same samples and settings, reconstruct as well."""

import bench_maps
import pytest
from cases import Slice, Wanted, load_suite
from helpers import data_folder


def chosen(source: str) -> Slice:
    if source == "drawn":
        return load_suite("drawn_knees", Wanted(size=(80, 64), coils=4)).test[0]
    wanted = Wanted(data=data_folder(), names=("brain_lowres_16ch_96x96",))
    return load_suite("brains", wanted).test[0]


@pytest.mark.parametrize("source", ["drawn", "real"])
def test_same_samples_and_settings_score_as_sigpys(source: str) -> None:
    row = bench_maps.compare(chosen(source), 24, with_fit=False)
    assert row["acs_lines"] == 24
    worst = bench_maps.summary([row])
    assert set(worst) == {"same settings", "shipped"}
    assert abs(worst["same settings"]) <= bench_maps.TOLERANCE
    if source == "real":
        assert worst["shipped"] >= -bench_maps.TOLERANCE


def test_the_fast_preset_reconstructs_with_maps_of_both() -> None:
    worst = bench_maps.summary([bench_maps.compare(chosen("drawn"), 24, with_fit=True)])
    assert set(worst) == {"same settings", "shipped", "shipped, fast preset"}
    assert worst["shipped, fast preset"] >= -bench_maps.TOLERANCE


def test_scores_that_are_missing_are_left_out() -> None:
    rows = [
        {"sigpy_psnr_db": 30.0, "same settings_psnr_db": 30.5, "shipped_psnr_db": 29.0},
        {"sigpy_psnr_db": None, "same settings_psnr_db": None, "shipped_psnr_db": 20.0},
        {"sigpy_psnr_db": 30.0, "same settings_psnr_db": 30.25, "shipped_psnr_db": 31.0},
    ]
    assert bench_maps.summary(rows) == {"same settings": 0.25, "shipped": -1.0}
