// What sizes the kernels take. Their loops count in int, so every axis and every number of tasks is at most kLargest;
// offsets into arrays have 64 bits. Whatever is past that is refused here, before anything is allocated or read:
// std::invalid_argument, ValueError in Python.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>

namespace ugodit {

constexpr std::int64_t kLargest = std::int64_t{1} << 30;
// Values of one array: 4 TB of them, and every sum and product of offsets is far from 2^63.
constexpr std::int64_t kMostValues = std::int64_t{1} << 40;

// The value as an int, if it is from `least` to `most`.
inline int checked_size(const char* name, std::int64_t value, std::int64_t least = 1, std::int64_t most = kLargest) {
    if (value >= least && value <= most) return static_cast<int>(value);
    throw std::invalid_argument(std::string(name) + ": expected " + std::to_string(least) + " to " +
                                std::to_string(most) + ", got " + std::to_string(value));
}

// The product of factors that are not negative, if it is at most `most`.
inline std::int64_t checked_product(const char* what, std::initializer_list<std::int64_t> factors,
                                    std::int64_t most = kLargest) {
    std::int64_t product = 1;
    bool fits = true;
    for (const std::int64_t factor : factors) {
        if (factor == 0) return 0;
        fits = fits && product <= most / factor;
        if (fits) product *= factor;
    }
    if (fits) return product;
    std::string sizes;
    for (const std::int64_t factor : factors) sizes += (sizes.empty() ? "" : " x ") + std::to_string(factor);
    throw std::invalid_argument(std::string(what) + ": expected " + std::to_string(most) + " at most, got " + sizes);
}

}  // namespace ugodit
