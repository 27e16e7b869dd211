// Haar wavelets of one strip of blocks, shrunk and put together again in cache. Plain loops over columns: the compiler
// vectorises them, once for each instruction set (see simd.h).
#include "cpu/wavelet.h"

namespace ugodit {
namespace UGODIT_ISA {
namespace {

// A complex image, real and imaginary part in planes of their own.
struct Plane {
    float* re;
    float* im;
};

Plane plane_at(float* memory, int floats) {
    return {memory, memory + floats};
}

// What four neighbours are made of. Details are twice the orthonormal ones, and so is their threshold.
struct Details {
    Plane vertical, horizontal, diagonal;
};

inline float kept(float re, float im, float threshold) {
    const float magnitude = __builtin_sqrtf(re * re + im * im);
    const float share = 1.0f - threshold / (magnitude > 1e-30f ? magnitude : 1e-30f);
    return share > 0.0f ? share : 0.0f;
}

inline void shrink(float* re, float* im, int count, float threshold) {
    for (int i = 0; i < count; ++i) {
        const float share = kept(re[i], im[i], threshold);
        re[i] *= share;
        im[i] *= share;
    }
}

inline void analyse(const float* __restrict top, const float* __restrict bottom, float* __restrict coarse,
                    float* __restrict vertical, float* __restrict horizontal, float* __restrict diagonal, int count) {
    for (int i = 0; i < count; ++i) {
        const float above = top[2 * i] + top[2 * i + 1], below = bottom[2 * i] + bottom[2 * i + 1];
        const float left = top[2 * i] - top[2 * i + 1], right = bottom[2 * i] - bottom[2 * i + 1];
        coarse[i] = (above + below) * 0.5f;
        vertical[i] = above - below;
        horizontal[i] = left + right;
        diagonal[i] = left - right;
    }
}

inline void synthesise(const float* __restrict coarse, const float* __restrict vertical,
                       const float* __restrict horizontal, const float* __restrict diagonal, float* __restrict top,
                       float* __restrict bottom, int count) {
    for (int i = 0; i < count; ++i) {
        const float above = coarse[i] * 0.5f + vertical[i] * 0.25f, below = coarse[i] * 0.5f - vertical[i] * 0.25f;
        const float left = (horizontal[i] + diagonal[i]) * 0.25f, right = (horizontal[i] - diagonal[i]) * 0.25f;
        top[2 * i] = above + left;
        top[2 * i + 1] = above - left;
        bottom[2 * i] = below + right;
        bottom[2 * i + 1] = below - right;
    }
}

// Shrinks `fine` (side x width, both even) down to one coefficient a block; `memory` is free.
void shrink_plane(Plane fine, int side, int width, float threshold, float* memory) {
    if (side == 1) return;
    const int half = width / 2, quarter = side / 2 * half;
    const Plane coarse = plane_at(memory, quarter);
    const Details details{plane_at(memory + 2 * quarter, quarter), plane_at(memory + 4 * quarter, quarter),
                          plane_at(memory + 6 * quarter, quarter)};
    for (int r = 0; r < side / 2; ++r) {
        const int at = r * half, top = 2 * r * width, bottom = top + width;
        analyse(fine.re + top, fine.re + bottom, coarse.re + at, details.vertical.re + at, details.horizontal.re + at,
                details.diagonal.re + at, half);
        analyse(fine.im + top, fine.im + bottom, coarse.im + at, details.vertical.im + at, details.horizontal.im + at,
                details.diagonal.im + at, half);
    }
    shrink(details.vertical.re, details.vertical.im, quarter, threshold);
    shrink(details.horizontal.re, details.horizontal.im, quarter, threshold);
    shrink(details.diagonal.re, details.diagonal.im, quarter, threshold);
    shrink_plane(coarse, side / 2, half, threshold, memory + 8 * quarter);
    for (int r = 0; r < side / 2; ++r) {
        const int at = r * half, top = 2 * r * width, bottom = top + width;
        synthesise(coarse.re + at, details.vertical.re + at, details.horizontal.re + at, details.diagonal.re + at,
                   fine.re + top, fine.re + bottom, half);
        synthesise(coarse.im + at, details.vertical.im + at, details.horizontal.im + at, details.diagonal.im + at,
                   fine.im + top, fine.im + bottom, half);
    }
}

// Row `row` of the strip from an image's row, or zeros beyond its edges.
void read_row(const ShrinkCall& call, const float* from, float* to) {
    const int end = call.left + call.columns;
    for (int x = 0; x < call.left; ++x) to[x] = 0.0f;
    for (int x = 0; from != nullptr && x < call.columns; ++x) to[call.left + x] = from[x];
    for (int x = from == nullptr ? call.left : end; x < call.padded(); ++x) to[x] = 0.0f;
}

void strip(const ShrinkCall& call, int item, int index, float* scratch) {
    const int side = call.block(), width = call.padded(), first = index * side - call.above;
    const std::size_t channel = static_cast<std::size_t>(call.rows) * call.columns;
    const float* image = call.image + 2 * channel * item;
    float* result = call.result + 2 * channel * item;
    const Plane fine = plane_at(scratch, side * width);
    for (int r = 0; r < side; ++r) {
        const bool inside = first + r >= 0 && first + r < call.rows;
        const float* row = inside ? image + static_cast<std::size_t>(first + r) * call.columns : nullptr;
        read_row(call, row, fine.re + r * width);
        read_row(call, inside ? row + channel : nullptr, fine.im + r * width);
    }
    shrink_plane(fine, side, width, 2.0f * call.weights[item], scratch + 2 * side * width);
    for (int r = 0; r < side; ++r) {
        if (first + r < 0 || first + r >= call.rows) continue;
        float* row = result + static_cast<std::size_t>(first + r) * call.columns;
        for (int x = 0; x < call.columns; ++x) {
            row[x] = fine.re[r * width + call.left + x];
            row[channel + x] = fine.im[r * width + call.left + x];
        }
    }
}

}  // namespace

ShrinkStrip shrink_strip() {
    return strip;
}

}  // namespace UGODIT_ISA
}  // namespace ugodit
