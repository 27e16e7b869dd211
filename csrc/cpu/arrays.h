// What callers hand over, and how it is checked before anything is read: std::invalid_argument, ValueError in Python.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

#include "sizes.h"

namespace ugodit {

// A contiguous float32 array: its data_ptr(), and how many values it has (two for a complex number). (0, 0) where it is
// not given.
using Array = std::pair<std::uintptr_t, std::int64_t>;

// Where an array of `count` values lies. std::invalid_argument where it has another size, or can be no array.
inline float* values(const char* name, const Array& array, std::int64_t count) {
    constexpr std::uintptr_t kFirstPage = 4096;
    if (array.second != count) {
        throw std::invalid_argument(std::string(name) + ": expected " + std::to_string(count) + " values, got " +
                                    std::to_string(array.second));
    }
    if (count > 0 && (array.first < kFirstPage || array.first % sizeof(float) != 0)) {
        throw std::invalid_argument(std::string(name) + ": expected the address of float32 values, got " +
                                    std::to_string(array.first));
    }
    return reinterpret_cast<float*>(array.first);
}

// Any number of threads gives the same result, so a number past what a team can have is no error.
inline int checked_threads(std::int64_t threads) {
    constexpr std::int64_t kMost = 4096;
    if (threads < 1) checked_size("threads", threads);
    return static_cast<int>(threads < kMost ? threads : kMost);
}

}  // namespace ugodit
