// What sources with and without SIMD share: the one constant of the packed layout, and what keeps a function's copies
// for different instruction sets apart (simd.h).
#pragma once

#define UGODIT_INLINE inline __attribute__((always_inline))

namespace ugodit {

constexpr int kLanes = 16;

}  // namespace ugodit
