// Pairs of halves, as sensitivity maps may be stored.
#pragma once

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#endif

#include <cstdint>

#include "cuda/block.h"
#include "fft/complex.h"

namespace ugodit::cuda {

using fft::Complex;

// Two halves; arithmetic is done in float.
struct alignas(4) HalfPair {
    std::uint16_t re, im;
};

#if defined(__CUDACC__)
UGODIT_DEVICE float widen(std::uint16_t half) {
    return __half2float(__ushort_as_half(half));
}
UGODIT_DEVICE Complex<float> stream(const HalfPair* p) {
    const std::uint32_t both = __ldcg(reinterpret_cast<const unsigned int*>(p));
    return {widen(static_cast<std::uint16_t>(both & 0xffff)), widen(static_cast<std::uint16_t>(both >> 16))};
}
#else
inline float widen(std::uint16_t half) {
    const std::uint32_t exponent = half >> 10 & 31, fraction = half & 1023;
    float value = static_cast<float>(fraction) / 16777216.0f;  // subnormal: fraction 2^-24
    if (exponent > 0) {
        value = (1.0f + static_cast<float>(fraction) / 1024.0f) * static_cast<float>(1u << exponent) / 32768.0f;
    }
    return half >> 15 ? -value : value;
}
inline Complex<float> stream(const HalfPair* p) {
    return {widen(p->re), widen(p->im)};
}
#endif
UGODIT_DEVICE Complex<float> convert(HalfPair value) {
    return {widen(value.re), widen(value.im)};
}

}  // namespace ugodit::cuda
