// What the driver asks of the kernels. Each check throws std::runtime_error with what went wrong.
#pragma once

#include <cstdint>

namespace driver {

// A random problem of the operator and its solver, one of the wavelets, one of ESPIRiT: against the reference, and the
// same bits for any number of threads. `large`: sizes as in a scan, for which the reference takes seconds.
void check_sense(std::uint64_t seed, bool large);
void check_wavelets(std::uint64_t seed);
void check_espirit(std::uint64_t seed);

// Sizes, arrays and values that are refused, or make NaN.
void check_hostile(std::uint64_t seed);

}  // namespace driver
