// Vec: the SIMD vector of the instruction set that this translation unit is compiled for, one coil a lane.
//
// Sources that use it are compiled once for each instruction set (CMakeLists.txt: ugodit_add_isa_variants) with
// UGODIT_ISA naming the namespace and UGODIT_ISA_AVX512 or UGODIT_ISA_AVX2 defined, or neither: then GCC's vector
// extensions give four lanes on any processor. variant.h chooses the copy that runs. Such a source must not instantiate
// standard library templates: the linker keeps one copy of those, and it might keep the one that needs AVX-512.
//
// Beside arithmetic, each instruction set's header has
//     expand<Rows>(p)       lane l is p[l / (kWidth / Rows)]: a value of each of Rows rows, for all of the row's coils
//     sum_rows<Rows>(v)     v[i] summed over the lanes of row r, in lane i Rows + r: pairs of vectors are folded until
//                           one holds the sums of kWidth / Rows of them
//     store_some(a, p, n)   the first n lanes
//
// Packed data come in blocks of kLanes lanes whatever the instruction set; a Vec covers 1, 1/2 or 1/4 of a block.
#pragma once

#include "cpu/lanes.h"
#include "fft/complex.h"

#if defined(UGODIT_ISA_AVX512)
#include "cpu/simd_avx512.h"
#elif defined(UGODIT_ISA_AVX2)
#include "cpu/simd_avx2.h"
#else
#include "cpu/simd_baseline.h"
#endif

namespace ugodit {

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
