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

    template <class T>
    UGODIT_DEVICE static Strided<T> array(T* first, int stride) {
        return {first, stride};
    }
    UGODIT_DEVICE static float lane(float a, int) { return a; }
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

inline EspiritPlan espirit_plan(const espirit::Arguments& a, int processors, int shared_limit, EspiritWish wish) {
    constexpr std::int64_t kMostWorkspace = std::int64_t{1} << 28;  // floats: 1 GiB
    constexpr int kReserved = 1024;                                 // of shared memory, for every block
    EspiritPlan plan{};
    plan.threads = wish.threads > 0 ? wish.threads : kEspiritThreads;
    const std::int64_t coefficients = a.coefficient_floats();
    const std::int64_t bytes = coefficients * static_cast<std::int64_t>(sizeof(float));
    // Two blocks on a multiprocessor at least, or the caches do as well.
    plan.shared = wish.shared >= 0 ? wish.shared == 1 : bytes <= (shared_limit + kReserved) / 2 - kReserved;
    // Past every limit where it is past an int: the launch refuses it.
    constexpr std::int64_t kMostBytes = 1 << 30;
    plan.shared_bytes = plan.shared ? static_cast<int>(bytes < kMostBytes ? bytes : kMostBytes) : 0;
    plan.workspace_step = static_cast<std::int64_t>(plan.threads) * EspiritPixel::scratch_lanes(a.coils, a.sets) +
                          (plan.shared ? 0 : coefficients);
    plan.workspace_step += plan.workspace_step % 2;  // complex values start at an even number of floats
    std::int64_t most = kMostWorkspace / plan.workspace_step;
    if (most > kEspiritBlocks * processors) most = kEspiritBlocks * processors;
    if (most < 1) most = 1;
    // As many rows for one block as for another.
    const std::int64_t rounds = (a.rows + most - 1) / most;
    plan.blocks = static_cast<int>((a.rows + rounds - 1) / rounds);
    if (wish.blocks > 0) plan.blocks = wish.blocks < a.rows ? wish.blocks : a.rows;
    plan.workspace_floats = plan.blocks * plan.workspace_step;
    return plan;
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
        block.each([&](int thread) { espirit::row_coefficients<1>(a, h, thread, block.threads(), coefficients()); });
        block.each([&](int thread) {
            EspiritPixel::Scratch s = EspiritPixel::scratch(a, memory, thread, block.threads());
            for (int w = thread; w < a.columns; w += block.threads()) {
                const auto cosine = [&](int v) { return a.waves[2L * (v - 1) * a.columns + w]; };
                const auto sine = [&](int v) { return a.waves[(2L * (v - 1) + 1) * a.columns + w]; };
                const auto evaluate = [&](Strided<EspiritPixel::Complex> matrix) {
                    espirit::evaluate<EspiritThread>(a, coefficients(), cosine, sine, matrix);
                };
                EspiritPixel::solve(a, s, evaluate, EspiritPixel::Writer(a, h, w, 1));
            }
        });
    }
}

}  // namespace ugodit::cuda
