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

struct EspiritLanes {
    typedef float Lanes __attribute__((vector_size(4 * UGODIT_WIDTH)));
    typedef int Mask __attribute__((vector_size(4 * UGODIT_WIDTH)));
    template <class T>
    using Array = T*;

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

static int pairs_of(const espirit::Arguments& a) {
    return a.coils * (a.coils + 1) / 2;
}

static long scratch_floats(const espirit::Arguments& a) {
    return static_cast<long>(kWidth) * EspiritPixel::scratch_lanes(a.coils, a.sets) +
           2L * (2 * a.reach + 1) * pairs_of(a);
}

static EspiritPixel::Scratch carve(const espirit::Arguments& a, float* memory) {
    EspiritPixel::Scratch s;
    s.matrix = reinterpret_cast<EspiritPixel::Complex*>(memory);
    s.work[0] = s.matrix + pairs_of(a);
    s.work[1] = s.work[0] + a.coils;
    s.scale = s.work[1] + a.coils;
    s.found = s.scale + a.coils;
    s.diagonal = reinterpret_cast<Lanes*>(s.found + a.coils * a.sets);
    s.off = s.diagonal + a.coils;
    s.pivot = s.off + a.coils;
    s.solution = s.pivot + a.coils;
    s.value = s.solution + a.coils;
    return s;
}

// coefficients[v] = sum_u correlations[u][v] row_phases[h][u]; then, for v > R, the sum and the difference of the
// terms at v and -v, so that a pixel needs one real cosine and one real sine a term.
static void transform_row(const espirit::Arguments& a, int h, float* coefficients) {
    const int terms = 2 * a.reach + 1, pairs = pairs_of(a);
    const float* phase = a.row_phases + 2L * h * terms;
    for (int v = 0; v < terms; ++v) {
        float* out = coefficients + 2L * v * pairs;
        for (int p = 0; p < 2 * pairs; ++p) out[p] = 0;
        for (int u = 0; u < terms; ++u) {
            const float* in = a.correlations + 2L * (static_cast<long>(u) * terms + v) * pairs;
            const float re = phase[2 * u], im = phase[2 * u + 1];
            for (int p = 0; p < pairs; ++p) {
                out[2 * p] += in[2 * p] * re - in[2 * p + 1] * im;
                out[2 * p + 1] += in[2 * p] * im + in[2 * p + 1] * re;
            }
        }
    }
    for (int v = 1; v <= a.reach; ++v) {
        float* plus = coefficients + 2L * (a.reach + v) * pairs;
        float* minus = coefficients + 2L * (a.reach - v) * pairs;
        for (int p = 0; p < 2 * pairs; ++p) {
            const float sum = plus[p] + minus[p], difference = plus[p] - minus[p];
            plus[p] = sum;
            minus[p] = difference;
        }
    }
}

// The operator's lower triangle at kWidth pixels from column w on; pixels past the end repeat the last one.
static void evaluate(const espirit::Arguments& a, const float* coefficients, int w, EspiritPixel::Complex* matrix) {
    const int pairs = pairs_of(a);
    const float* centre = coefficients + 2L * a.reach * pairs;
    for (int p = 0; p < pairs; ++p)
        matrix[p] = {EspiritLanes::all(centre[2 * p]), EspiritLanes::all(centre[2 * p + 1])};
    for (int v = 1; v <= a.reach; ++v) {
        Lanes cosine, sine;
        const float* wave = a.waves + 2L * (v - 1) * a.columns;
        for (int i = 0; i < kWidth; ++i) {
            const int at = w + i < a.columns ? w + i : a.columns - 1;
            cosine[i] = wave[at];
            sine[i] = wave[a.columns + at];
        }
        const float* sum = coefficients + 2L * (a.reach + v) * pairs;
        const float* difference = coefficients + 2L * (a.reach - v) * pairs;
        for (int p = 0; p < pairs; ++p) {
            matrix[p].re += sum[2 * p] * cosine - difference[2 * p + 1] * sine;
            matrix[p].im += sum[2 * p + 1] * cosine + difference[2 * p] * sine;
        }
    }
}

struct Writer {
    const espirit::Arguments& a;
    long first, plane;
    int count;

    void eigenvalue(int set, Lanes value) const {
        for (int i = 0; i < count; ++i) a.eigenvalues[set * plane + first + i] = value[i];
    }
    void map(int set, int coil, EspiritPixel::Complex value) const {
        float* out = a.maps + 2 * ((static_cast<long>(set) * a.coils + coil) * plane + first);
        for (int i = 0; i < count; ++i) {
            out[2 * i] = value.re[i];
            out[2 * i + 1] = value.im[i];
        }
    }
};

static void espirit_row(const espirit::Arguments& a, int h, float* memory) {
    EspiritPixel::Scratch s = carve(a, memory);
    float* coefficients = memory + static_cast<long>(kWidth) * EspiritPixel::scratch_lanes(a.coils, a.sets);
    transform_row(a, h, coefficients);
    for (int w = 0; w < a.columns; w += kWidth) {
        const int count = a.columns - w < kWidth ? a.columns - w : kWidth;
        const Writer write{a, static_cast<long>(h) * a.columns + w, static_cast<long>(a.rows) * a.columns, count};
        EspiritPixel::solve(a, s, [&](EspiritPixel::Complex* matrix) { evaluate(a, coefficients, w, matrix); }, write);
    }
}

const EspiritKernels& espirit_kernels() {
    static const EspiritKernels kernels = {scratch_floats, espirit_row};
    return kernels;
}

}  // namespace UGODIT_ISA
}  // namespace ugodit
