// Vec (simd.h) of any processor: four lanes, by GCC's vector extensions.
#pragma once

#include "cpu/lanes.h"

namespace ugodit::UGODIT_ISA {

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

}  // namespace ugodit::UGODIT_ISA
