// The parts of the module that bindings.cpp defines.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>

namespace ugodit::cuda {

template <class T>
T* pointer(std::uintptr_t address) {
    return reinterpret_cast<T*>(address);
}

void bind_calibration(pybind11::module_& module);

}  // namespace ugodit::cuda
