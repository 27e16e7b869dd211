// One function for each source file that adds functions to ugodit._cpu.
#pragma once

#include <pybind11/pybind11.h>

#include "cpu/arrays.h"

namespace ugodit {

void bind_calibration(pybind11::module_& module);
void bind_sense(pybind11::module_& module);
void bind_variants(pybind11::module_& module);
void bind_wavelet(pybind11::module_& module);

}  // namespace ugodit
