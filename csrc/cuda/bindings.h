// The parts of the module that bindings.cpp defines.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "sizes.h"

namespace ugodit::cuda {

template <class T>
T* pointer(std::uintptr_t address) {
    return reinterpret_cast<T*>(address);
}

// Of an array that must be given, at a multiple of T's size.
template <class T>
T* array(const char* name, std::uintptr_t address) {
    if (address == 0 || address % alignof(T) != 0) {
        throw std::invalid_argument(std::string(name) + ": expected the address of an array, got " +
                                    std::to_string(address));
    }
    return pointer<T>(address);
}

void bind_calibration(pybind11::module_& module);

}  // namespace ugodit::cuda
