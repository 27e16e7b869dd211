// ESPIRiT's pixels on a GPU: a block takes whole image rows in turn, a thread a pixel of the row at a time.
//
// Block is as in block.h. Shared memory holds the operator's coefficients along the row, where they fit; a thread's
// matrix lies in global memory, its elements a block's width apart so that the threads of a warp read and write
// adjacent words (15 coils: 0.07 GB for 320 blocks of 128, mostly in the cache).
#pragma once

#include <cstdint>

#include "cuda/block.h"
#include "espirit/arguments.h"
#include "espirit/pixel.h"

namespace ugodit::cuda {

template <class T>
struct Strided {
    T* first;
    int stride;

    UGODIT_DEVICE T& operator[](int i) const { return first[static_cast<long>(i) * stride]; }
    UGODIT_DEVICE Strided operator+(int i) const { return {first + static_cast<long>(i) * stride, stride}; }
};

struct EspiritThread {
    using Lanes = float;
    using Mask = bool;
    template <class T>
    using Array = Strided<T>;

    UGODIT_DEVICE static float all(float x) { return x; }
    UGODIT_DEVICE static bool everywhere() { return true; }
    UGODIT_DEVICE static float select(bool condition, float a, float b) { return condition ? a : b; }
    UGODIT_DEVICE static float absolute(float a) { return a < 0 ? -a : a; }
    UGODIT_DEVICE static float root(float a) {
#if defined(__CUDA_ARCH__)
        return sqrtf(a);
#else
        return __builtin_sqrtf(a);
#endif
    }
    UGODIT_DEVICE static bool any(bool condition) { return condition; }
};

using EspiritPixel = espirit::Pixel<EspiritThread>;

// Of a block, and blocks on a multiprocessor at a time: 170 registers a thread.
constexpr int kEspiritThreads = 128, kEspiritBlocks = 3;

struct EspiritLaunch {
    espirit::Arguments arguments;
    int blocks;
    // For each block its threads' scratch space, (scratch_lanes(coils, sets), threads), and where they are not in
    // shared memory the coefficients.
    float* workspace;
    std::int64_t workspace_step;  // in floats between blocks
};

// How the pixels are dealt out. The workspace is the caller's to allocate, and to keep until the kernel has run.
struct EspiritPlan {
    int blocks, threads, shared_bytes;
    bool shared;  // the coefficients are in shared memory
    std::int64_t workspace_step, workspace_floats;
};

// Choices of its own for tests: -1 leaves them to espirit_plan.
struct EspiritWish {
    int blocks = -1, threads = -1, shared = -1;
};

// Floats of the coefficients along a row.
inline std::int64_t espirit_coefficient_floats(const espirit::Arguments& a) {
    return (2 * static_cast<std::int64_t>(a.reach) + 1) * a.coils * (a.coils + 1);
}

inline EspiritPlan espirit_plan(const espirit::Arguments& a, int processors, int shared_limit, EspiritWish wish) {
    constexpr std::int64_t kMostWorkspace = std::int64_t{1} << 28;  // floats: 1 GiB
    constexpr int kReserved = 1024;                                 // of shared memory, for every block
    EspiritPlan plan{};
    plan.threads = wish.threads > 0 ? wish.threads : kEspiritThreads;
    const std::int64_t coefficients = espirit_coefficient_floats(a);
    const std::int64_t bytes = coefficients * static_cast<std::int64_t>(sizeof(float));
    // Two blocks on a multiprocessor at least, or the caches do as well.
    plan.shared = wish.shared >= 0 ? wish.shared == 1 : bytes <= (shared_limit + kReserved) / 2 - kReserved;
    plan.shared_bytes = plan.shared ? static_cast<int>(bytes) : 0;
    plan.workspace_step = static_cast<std::int64_t>(plan.threads) * EspiritPixel::scratch_lanes(a.coils, a.sets) +
                          (plan.shared ? 0 : coefficients);
    plan.workspace_step += plan.workspace_step % 2;  // complex values start at an even number of floats
    std::int64_t most = kMostWorkspace / plan.workspace_step;
    if (most > kEspiritBlocks * processors) most = kEspiritBlocks * processors;
    if (most < 1) most = 1;
    // As many rows for one block as for another.
    const std::int64_t rounds = (a.rows + most - 1) / most;
    plan.blocks = wish.blocks > 0 ? wish.blocks : static_cast<int>((a.rows + rounds - 1) / rounds);
    plan.workspace_floats = plan.blocks * plan.workspace_step;
    return plan;
}

UGODIT_DEVICE EspiritPixel::Scratch espirit_scratch(const espirit::Arguments& a, float* memory, int thread,
                                                    int threads) {
    const int pairs = a.coils * (a.coils + 1) / 2;
    const auto complexes = [&](int count) {
        EspiritPixel::Complex* first = reinterpret_cast<EspiritPixel::Complex*>(memory) + thread;
        memory += 2L * count * threads;
        return Strided<EspiritPixel::Complex>{first, threads};
    };
    const auto reals = [&](int count) {
        float* first = memory + thread;
        memory += static_cast<long>(count) * threads;
        return Strided<float>{first, threads};
    };
    EspiritPixel::Scratch s;
    s.matrix = complexes(pairs);
    s.work[0] = complexes(a.coils);
    s.work[1] = complexes(a.coils);
    s.scale = complexes(a.coils);
    s.found = complexes(a.coils * a.sets);
    s.diagonal = reals(a.coils);
    s.off = reals(a.coils);
    s.pivot = reals(a.coils);
    s.solution = reals(a.coils);
    s.value = reals(a.sets);
    return s;
}

struct EspiritWriter {
    const espirit::Arguments& a;
    long pixel, plane;

    UGODIT_DEVICE void eigenvalue(int set, float value) const { a.eigenvalues[set * plane + pixel] = value; }
    UGODIT_DEVICE void map(int set, int coil, EspiritPixel::Complex value) const {
        float* out = a.maps + 2 * ((static_cast<long>(set) * a.coils + coil) * plane + pixel);
        out[0] = value.re;
        out[1] = value.im;
    }
};

// The operator's coefficients along row h, shared by the block's threads: each takes some of the coil pairs. Then, for
// v > R, the sum and the difference of the terms at v and -v: a pixel needs one real cosine and one real sine a term.
UGODIT_DEVICE void espirit_coefficients(const espirit::Arguments& a, int h, int thread, int threads, float* out) {
    const int terms = 2 * a.reach + 1, pairs = a.coils * (a.coils + 1) / 2;
    const float* phase = a.row_phases + 2L * h * terms;
    for (int p = thread; p < pairs; p += threads) {
        for (int v = 0; v < terms; ++v) {
            float re = 0, im = 0;
            for (int u = 0; u < terms; ++u) {
                const float* in = a.correlations + 2L * ((static_cast<long>(u) * terms + v) * pairs + p);
                re += in[0] * phase[2 * u] - in[1] * phase[2 * u + 1];
                im += in[0] * phase[2 * u + 1] + in[1] * phase[2 * u];
            }
            out[2 * (v * pairs + p)] = re;
            out[2 * (v * pairs + p) + 1] = im;
        }
        for (int v = 1; v <= a.reach; ++v) {
            for (int part = 0; part < 2; ++part) {
                float* plus = out + 2 * ((a.reach + v) * pairs + p) + part;
                float* minus = out + 2 * ((a.reach - v) * pairs + p) + part;
                const float sum = *plus + *minus, difference = *plus - *minus;
                *plus = sum;
                *minus = difference;
            }
        }
    }
}

UGODIT_DEVICE void espirit_operator(const espirit::Arguments& a, int w, const float* coefficients,
                                    Strided<EspiritPixel::Complex> matrix) {
    const int pairs = a.coils * (a.coils + 1) / 2;
    for (int p = 0; p < pairs; ++p) {
        const float* centre = coefficients + 2 * (a.reach * pairs + p);
        EspiritPixel::Complex value = {centre[0], centre[1]};
        for (int v = 1; v <= a.reach; ++v) {
            const float cosine = a.waves[2L * (v - 1) * a.columns + w];
            const float sine = a.waves[(2L * (v - 1) + 1) * a.columns + w];
            const float* sum = centre + 2 * v * pairs;
            const float* difference = centre - 2 * v * pairs;
            value.re += sum[0] * cosine - difference[1] * sine;
            value.im += sum[1] * cosine + difference[0] * sine;
        }
        matrix[p] = value;
    }
}

template <bool Shared, class Block>
UGODIT_DEVICE void espirit_body(Block block, const EspiritLaunch& launch) {
    const espirit::Arguments& a = launch.arguments;
    float* const memory = launch.workspace + block.index() * launch.workspace_step;
    const auto coefficients = [&]() -> float* {
        if constexpr (Shared) {
            return block.template shared<float>(0);
        } else {
            return memory + static_cast<std::int64_t>(EspiritPixel::scratch_lanes(a.coils, a.sets)) * block.threads();
        }
    };
    for (int h = block.index(); h < a.rows; h += launch.blocks) {
        block.each([&](int thread) { espirit_coefficients(a, h, thread, block.threads(), coefficients()); });
        block.each([&](int thread) {
            EspiritPixel::Scratch s = espirit_scratch(a, memory, thread, block.threads());
            for (int w = thread; w < a.columns; w += block.threads()) {
                const EspiritWriter write{a, static_cast<long>(h) * a.columns + w,
                                          static_cast<long>(a.rows) * a.columns};
                EspiritPixel::solve(
                    a, s, [&](Strided<EspiritPixel::Complex> m) { espirit_operator(a, w, coefficients(), m); }, write);
            }
        });
    }
}

}  // namespace ugodit::cuda
