// ESPIRiT's pixels, one a SIMD lane; compiled once for each instruction set (see simd.h).
#if defined(UGODIT_ISA_AVX512) || defined(UGODIT_ISA_AVX2)
#include <immintrin.h>
#endif

#include "cpu/espirit.h"
#include "espirit/pixel.h"

namespace ugodit {
namespace UGODIT_ISA {

#if defined(UGODIT_ISA_AVX512)
#define UGODIT_WIDTH 16
#elif defined(UGODIT_ISA_AVX2)
#define UGODIT_WIDTH 8
#else
#define UGODIT_WIDTH 4
#endif

constexpr int kWidth = UGODIT_WIDTH;
constexpr int kPairs = 64;  // of coils, whose coefficients are summed at a time

struct EspiritLanes {
    typedef float Lanes __attribute__((vector_size(4 * UGODIT_WIDTH)));
    typedef int Mask __attribute__((vector_size(4 * UGODIT_WIDTH)));
    template <class T>
    using Array = T*;

    template <class T>
    static inline T* array(T* first, int) {
        return first;
    }
    static inline float lane(Lanes a, int i) { return a[i]; }
    static inline Lanes all(float x) { return x - Lanes{}; }
    static inline Mask everywhere() { return Mask{} - 1; }
    static inline Lanes select(Mask m, Lanes a, Lanes b) { return (Lanes)((m & (Mask)a) | (~m & (Mask)b)); }
    static inline Lanes absolute(Lanes a) { return (Lanes)((Mask)a & 0x7fffffff); }
    static inline Lanes root(Lanes a) {
#if defined(UGODIT_ISA_AVX512)
        return (Lanes)_mm512_sqrt_ps((__m512)a);
#elif defined(UGODIT_ISA_AVX2)
        return (Lanes)_mm256_sqrt_ps((__m256)a);
#else
        for (int i = 0; i < kWidth; ++i) a[i] = __builtin_sqrtf(a[i]);
        return a;
#endif
    }
    static inline bool any(Mask m) {
        int found = 0;
        for (int i = 0; i < kWidth; ++i) found |= m[i];
        return found != 0;
    }
};

using EspiritPixel = espirit::Pixel<EspiritLanes>;
using Lanes = EspiritLanes::Lanes;

// A row's memory: a pixel's scratch, waves as Lanes (R, 2), and the operator's coefficients.
static long pixel_floats(const espirit::Arguments& a) {
    return static_cast<long>(kWidth) * EspiritPixel::scratch_lanes(a.coils, a.sets);
}
static long wave_floats(const espirit::Arguments& a) {
    return 2L * kWidth * a.reach;
}

static long scratch_floats(const espirit::Arguments& a) {
    return pixel_floats(a) + wave_floats(a) + a.coefficient_floats();
}

// The waves at kWidth pixels from column w on; pixels past the end repeat the last one.
static void load_waves(const espirit::Arguments& a, int w, Lanes* waves) {
    for (int row = 0; row < 2 * a.reach; ++row) {
        for (int i = 0; i < kWidth; ++i) {
            const int at = w + i < a.columns ? w + i : a.columns - 1;
            waves[row][i] = a.waves[static_cast<long>(row) * a.columns + at];
        }
    }
}

static void espirit_row(const espirit::Arguments& a, int h, float* memory) {
    EspiritPixel::Scratch s = EspiritPixel::scratch(a, memory, 0, 1);
    Lanes* waves = reinterpret_cast<Lanes*>(memory + pixel_floats(a));
    float* coefficients = memory + pixel_floats(a) + wave_floats(a);
    espirit::row_coefficients<kPairs>(a, h, 0, 1, coefficients);
    const auto cosine = [waves](int v) { return waves[2 * (v - 1)]; };
    const auto sine = [waves](int v) { return waves[2 * (v - 1) + 1]; };
    for (int w = 0; w < a.columns; w += kWidth) {
        load_waves(a, w, waves);
        const auto evaluate = [&](EspiritPixel::Complex* matrix) {
            espirit::evaluate<EspiritLanes>(a, coefficients, cosine, sine, matrix);
        };
        const int count = a.columns - w < kWidth ? a.columns - w : kWidth;
        EspiritPixel::solve(a, s, evaluate, EspiritPixel::Writer(a, h, w, count));
    }
}

const EspiritKernels& espirit_kernels() {
    static const EspiritKernels kernels = {scratch_floats, espirit_row};
    return kernels;
}

}  // namespace UGODIT_ISA
}  // namespace ugodit
