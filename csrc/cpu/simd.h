// Vec: the SIMD vector of the instruction set that this translation unit is compiled for, one coil a lane.
//
// Sources that use it are compiled once for each instruction set (CMakeLists.txt: ugodit_add_isa_variants) with
// UGODIT_ISA naming the namespace and UGODIT_ISA_AVX512 or UGODIT_ISA_AVX2 defined, or neither: then GCC's vector
// extensions give four lanes on any processor. Such a source must not instantiate standard library templates: the
// linker keeps one copy of those, and it might keep the one that needs AVX-512.
//
// Packed data come in blocks of kLanes lanes whatever the instruction set; a Vec covers 1, 1/2 or 1/4 of a block.
#pragma once

#if defined(UGODIT_ISA_AVX512) || defined(UGODIT_ISA_AVX2)
#include <immintrin.h>
#endif

#include "cpu/lanes.h"
#include "fft/complex.h"

#define UGODIT_INLINE inline __attribute__((always_inline))

namespace ugodit {

namespace UGODIT_ISA {

#if defined(UGODIT_ISA_AVX512)

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

// Lane l of the result is p[l / (kWidth / Rows)]: a value of each of Rows rows, for all of the row's coils.
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

// Pairs of vectors are folded until one holds the sums of kWidth / Rows of them: v[i] summed over the lanes of row r
// goes to lane i Rows + r.
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

#elif defined(UGODIT_ISA_AVX2)

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

#else

typedef float Quad __attribute__((vector_size(16)));

struct Vec {
    static constexpr int kWidth = 4;
    Quad v;

    static UGODIT_INLINE Vec load(const float* p) {
        Vec a;
        __builtin_memcpy(&a.v, p, sizeof a.v);
        return a;
    }
    static UGODIT_INLINE Vec broadcast(float value) { return {Quad{value, value, value, value}}; }
    static UGODIT_INLINE Vec zero() { return broadcast(0.0f); }
    UGODIT_INLINE void store(float* p) const { __builtin_memcpy(p, &v, sizeof v); }
};

UGODIT_INLINE Vec operator+(Vec a, Vec b) {
    return {a.v + b.v};
}
UGODIT_INLINE Vec operator-(Vec a, Vec b) {
    return {a.v - b.v};
}
UGODIT_INLINE Vec operator*(Vec a, Vec b) {
    return {a.v * b.v};
}
UGODIT_INLINE Vec operator-(Vec a) {
    return {-a.v};
}
UGODIT_INLINE Vec madd(Vec a, Vec b, Vec c) {
    return {a.v * b.v + c.v};
}
UGODIT_INLINE Vec nmadd(Vec a, Vec b, Vec c) {
    return {c.v - a.v * b.v};
}

template <int Rows>
UGODIT_INLINE Vec expand(const float* p) {
    if constexpr (Rows == 1) return Vec::broadcast(*p);
    if constexpr (Rows == 2) return {Quad{p[0], p[0], p[1], p[1]}};
    return Vec::load(p);
}

template <int Rows>
UGODIT_INLINE Vec sum_rows(const Vec* v) {
    if constexpr (Rows == 1) {
        const auto fold1 = [](Quad a, Quad b) -> Quad {
            return __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
        };
        const Quad a = fold1(v[0].v, v[1].v), b = fold1(v[2].v, v[3].v);
        return {__builtin_shufflevector(a, b, 0, 1, 4, 5) + __builtin_shufflevector(a, b, 2, 3, 6, 7)};
    } else if constexpr (Rows == 2) {
        const Quad a = v[0].v, b = v[1].v;
        return {__builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7)};
    } else {
        return v[0];
    }
}

UGODIT_INLINE void store_some(Vec a, float* p, int count) {
    for (int lane = 0; lane < count; ++lane) p[lane] = a.v[lane];
}

#endif

}  // namespace UGODIT_ISA

template <>
struct fft::Broadcast<UGODIT_ISA::Vec> {
    static UGODIT_INLINE UGODIT_ISA::Vec of(float value) { return UGODIT_ISA::Vec::broadcast(value); }
};

namespace UGODIT_ISA {

using Value = fft::Complex<Vec>;

// A complex value of all lanes: real parts at p, imaginary parts `apart` floats further on.
UGODIT_INLINE Value load_value(const float* p, int apart) {
    return {Vec::load(p), Vec::load(p + apart)};
}
UGODIT_INLINE void store_value(Value a, float* p, int apart) {
    a.re.store(p);
    a.im.store(p + apart);
}

// Fetches a packed value into the second-level cache: its real and imaginary parts are a cache line each.
UGODIT_INLINE void prefetch_value(const float* p) {
    __builtin_prefetch(p, 0, 2);
    __builtin_prefetch(p + kLanes, 0, 2);
}

// Sums of Count vectors over the coils of each row, to out[i Rows + r]; added to what is there if `accumulate`.
template <int Rows, int Count>
UGODIT_INLINE void store_sums(const Vec* v, float* out, bool accumulate) {
    constexpr int kChunk = Vec::kWidth / Rows;
    constexpr int kWhole = Count / kChunk * kChunk;
    UGODIT_UNROLL
    for (int i = 0; i < kWhole; i += kChunk) {
        Vec sums = sum_rows<Rows>(v + i);
        if (accumulate) sums = sums + Vec::load(out + i * Rows);
        sums.store(out + i * Rows);
    }
    if constexpr (kWhole < Count) {
        Vec rest[kChunk];
        UGODIT_UNROLL
        for (int i = 0; i < kChunk; ++i)
            rest[i] = kWhole + i < Count ? v[kWhole + i < Count ? kWhole + i : 0] : Vec::zero();
        Vec sums = sum_rows<Rows>(rest);
        if (accumulate) sums = sums + Vec::load(out + kWhole * Rows);
        store_some(sums, out + kWhole * Rows, (Count - kWhole) * Rows);
    }
}

}  // namespace UGODIT_ISA
}  // namespace ugodit
