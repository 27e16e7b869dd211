// Vec (simd.h) of AVX2: eight lanes.
#pragma once

#include <immintrin.h>

#include "cpu/lanes.h"

namespace ugodit::UGODIT_ISA {

struct Vec {
    static constexpr int kWidth = 8;
    __m256 v;

    static UGODIT_INLINE Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
    static UGODIT_INLINE Vec broadcast(float value) { return {_mm256_set1_ps(value)}; }
    static UGODIT_INLINE Vec zero() { return {_mm256_setzero_ps()}; }
    UGODIT_INLINE void store(float* p) const { _mm256_storeu_ps(p, v); }
};

UGODIT_INLINE Vec operator+(Vec a, Vec b) {
    return {_mm256_add_ps(a.v, b.v)};
}
UGODIT_INLINE Vec operator-(Vec a, Vec b) {
    return {_mm256_sub_ps(a.v, b.v)};
}
UGODIT_INLINE Vec operator*(Vec a, Vec b) {
    return {_mm256_mul_ps(a.v, b.v)};
}
UGODIT_INLINE Vec operator-(Vec a) {
    return {_mm256_sub_ps(_mm256_setzero_ps(), a.v)};
}
UGODIT_INLINE Vec madd(Vec a, Vec b, Vec c) {
    return {_mm256_fmadd_ps(a.v, b.v, c.v)};
}
UGODIT_INLINE Vec nmadd(Vec a, Vec b, Vec c) {
    return {_mm256_fnmadd_ps(a.v, b.v, c.v)};
}

template <int Rows>
UGODIT_INLINE Vec expand(const float* p) {
    if constexpr (Rows == 1) {
        return Vec::broadcast(*p);
    } else if constexpr (Rows == 2) {
        return {_mm256_set_m128(_mm_set1_ps(p[1]), _mm_set1_ps(p[0]))};
    } else if constexpr (Rows == 4) {
        const __m256i index = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
        return {_mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), index)};
    } else {
        return Vec::load(p);
    }
}

template <int Rows>
UGODIT_INLINE Vec sum_rows(const Vec* v) {
    const auto fold1 = [](Vec a, Vec b) -> Vec {
        return {_mm256_add_ps(_mm256_unpacklo_ps(a.v, b.v), _mm256_unpackhi_ps(a.v, b.v))};
    };
    const auto fold2 = [](Vec a, Vec b) -> Vec {
        return {_mm256_add_ps(_mm256_shuffle_ps(a.v, b.v, 0x44), _mm256_shuffle_ps(a.v, b.v, 0xEE))};
    };
    const auto fold4 = [&](int i) { return fold2(fold1(v[i], v[i + 1]), fold1(v[i + 2], v[i + 3])); };
    if constexpr (Rows == 1) {
        const __m256 a = fold4(0).v, b = fold4(4).v;
        return {_mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31))};
    } else if constexpr (Rows == 2) {
        return {_mm256_permutevar8x32_ps(fold4(0).v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))};
    } else if constexpr (Rows == 4) {
        const __m256 sums =
            _mm256_add_ps(_mm256_shuffle_ps(v[0].v, v[1].v, 0x88), _mm256_shuffle_ps(v[0].v, v[1].v, 0xDD));
        return {_mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(sums), 0xD8))};
    } else {
        return v[0];
    }
}

UGODIT_INLINE void store_some(Vec a, float* p, int count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_maskstore_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane), a.v);
}

}  // namespace ugodit::UGODIT_ISA
