// One function for each source file that adds functions to ugodit._cpu, and what they share.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>

namespace ugodit {

// The data_ptr() of a contiguous array, 0 for one that is not given.
using Address = std::uintptr_t;

template <class T>
T* pointer(Address address) {
    return reinterpret_cast<T*>(address);
}

void bind_calibration(pybind11::module_& module);
void bind_sense(pybind11::module_& module);
void bind_variants(pybind11::module_& module);
void bind_wavelet(pybind11::module_& module);

}  // namespace ugodit
