// Vec (simd.h) of AVX-512: sixteen lanes.
#pragma once

#include <immintrin.h>

#include "cpu/lanes.h"

namespace ugodit::UGODIT_ISA {

struct Vec {
    static constexpr int kWidth = 16;
    __m512 v;

    static UGODIT_INLINE Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
    static UGODIT_INLINE Vec broadcast(float value) { return {_mm512_set1_ps(value)}; }
    static UGODIT_INLINE Vec zero() { return {_mm512_setzero_ps()}; }
    UGODIT_INLINE void store(float* p) const { _mm512_storeu_ps(p, v); }
};

UGODIT_INLINE Vec operator+(Vec a, Vec b) {
    return {_mm512_add_ps(a.v, b.v)};
}
UGODIT_INLINE Vec operator-(Vec a, Vec b) {
    return {_mm512_sub_ps(a.v, b.v)};
}
UGODIT_INLINE Vec operator*(Vec a, Vec b) {
    return {_mm512_mul_ps(a.v, b.v)};
}
UGODIT_INLINE Vec operator-(Vec a) {
    return {_mm512_sub_ps(_mm512_setzero_ps(), a.v)};
}
UGODIT_INLINE Vec madd(Vec a, Vec b, Vec c) {
    return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
UGODIT_INLINE Vec nmadd(Vec a, Vec b, Vec c) {
    return {_mm512_fnmadd_ps(a.v, b.v, c.v)};
}

template <int Rows>
UGODIT_INLINE Vec expand(const float* p) {
    if constexpr (Rows == 1) {
        return Vec::broadcast(*p);
    } else if constexpr (Rows == 2) {
        const __m512i index = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
        const __m128 pair = _mm_castpd_ps(_mm_load_sd(reinterpret_cast<const double*>(p)));
        return {_mm512_permutexvar_ps(index, _mm512_castps128_ps512(pair))};
    } else if constexpr (Rows == 4) {
        const __m512i index = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
        return {_mm512_permutexvar_ps(index, _mm512_castps128_ps512(_mm_loadu_ps(p)))};
    } else if constexpr (Rows == 8) {
        const __m512i index = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
        return {_mm512_permutexvar_ps(index, _mm512_castps256_ps512(_mm256_loadu_ps(p)))};
    } else {
        return Vec::load(p);
    }
}

template <int Rows>
UGODIT_INLINE Vec sum_rows(const Vec* v) {
    const auto fold1 = [](Vec a, Vec b) -> Vec {
        return {_mm512_add_ps(_mm512_unpacklo_ps(a.v, b.v), _mm512_unpackhi_ps(a.v, b.v))};
    };
    const auto fold2 = [](Vec a, Vec b) -> Vec {
        return {_mm512_add_ps(_mm512_shuffle_ps(a.v, b.v, 0x44), _mm512_shuffle_ps(a.v, b.v, 0xEE))};
    };
    const auto fold_quads = [](Vec a, Vec b) -> Vec {
        return {_mm512_add_ps(_mm512_shuffle_f32x4(a.v, b.v, 0x88), _mm512_shuffle_f32x4(a.v, b.v, 0xDD))};
    };
    const auto fold4 = [&](int i) { return fold2(fold1(v[i], v[i + 1]), fold1(v[i + 2], v[i + 3])); };
    if constexpr (Rows == 1) {
        return fold_quads(fold_quads(fold4(0), fold4(4)), fold_quads(fold4(8), fold4(12)));
    } else if constexpr (Rows == 2) {
        const __m512i index = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
        return {_mm512_permutexvar_ps(index, fold_quads(fold4(0), fold4(4)).v)};
    } else if constexpr (Rows == 4) {
        const __m512i index = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        return {_mm512_permutexvar_ps(index, fold4(0).v)};
    } else if constexpr (Rows == 8) {
        const __m512 sums =
            _mm512_add_ps(_mm512_shuffle_ps(v[0].v, v[1].v, 0x88), _mm512_shuffle_ps(v[0].v, v[1].v, 0xDD));
        const __m512i index = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
        return {_mm512_castpd_ps(_mm512_permutexvar_pd(index, _mm512_castps_pd(sums)))};
    } else {
        return v[0];
    }
}

UGODIT_INLINE void store_some(Vec a, float* p, int count) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1u), a.v);
}

}  // namespace ugodit::UGODIT_ISA
