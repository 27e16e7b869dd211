// The rows that one vector holds, and their images between planar memory and [visit][2][rows] scratch.
#pragma once

#include "cpu/sense_lanes.h"
#include "cpu/thread_pool.h"

namespace ugodit::UGODIT_ISA {

constexpr int kParts = kLanes / Vec::kWidth;  // vectors a packed block

// A block of Layout::rows rows is kParts vectors. With enough rows each vector has rows of its own; with few, several
// vectors hold coils of the same rows. A set is what shares rows: `rows` of them, in `parts` vectors of every block.
struct RowSets {
    int sets, parts, rows;

    explicit UGODIT_INLINE RowSets(const Layout& layout)
        : sets(layout.rows < kParts ? layout.rows : kParts), parts(kParts / sets), rows(layout.rows / sets) {}
};

// Floats of a row image in scratch, in whole vectors so that loops over it need no remainder.
UGODIT_INLINE std::size_t image_floats(const fft::Plan& plan, int rows) {
    const std::size_t floats = static_cast<std::size_t>(plan.n) * 2 * rows;
    return (floats + kLanes - 1) / kLanes * kLanes;
}

// Rows first .. first + rows of an item's planar image (2, height, width); rows beyond its height are zero.
UGODIT_INLINE void read_rows(const fft::Plan& plan, const Layout& layout, const float* item, int first, int rows,
                             float* image) {
    const std::size_t channel = static_cast<std::size_t>(layout.height) * layout.width;
    for (int r = 0; r < rows; ++r) {
        const bool inside = first + r < layout.height;
        const float* row = item + static_cast<std::size_t>(first + r) * layout.width;
        for (int v = 0; v < plan.n; ++v) {
            image[2 * v * rows + r] = inside ? row[plan.visit[v]] : 0.0f;
            image[(2 * v + 1) * rows + r] = inside ? row[channel + plan.visit[v]] : 0.0f;
        }
    }
    const std::size_t end = image_floats(plan, rows);
    for (std::size_t i = static_cast<std::size_t>(plan.n) * 2 * rows; i < end; ++i) image[i] = 0.0f;
}

UGODIT_INLINE void write_rows(const fft::Plan& plan, const Layout& layout, float* item, int first, int rows,
                              const float* image) {
    const std::size_t channel = static_cast<std::size_t>(layout.height) * layout.width;
    for (int r = 0; r < rows && first + r < layout.height; ++r) {
        float* row = item + static_cast<std::size_t>(first + r) * layout.width;
        for (int v = 0; v < plan.n; ++v) {
            row[plan.visit[v]] = image[2 * v * rows + r];
            row[channel + plan.visit[v]] = image[(2 * v + 1) * rows + r];
        }
    }
}

// This thread's scratch for a call.
UGODIT_INLINE float* thread_memory(const SenseCall& call) {
    return thread_scratch(call.scratch_floats);
}

UGODIT_INLINE double sum_lanes(Vec a) {
    float lanes[Vec::kWidth];
    a.store(lanes);
    double sum = 0;
    for (const float lane : lanes) sum += lane;
    return sum;
}

}  // namespace ugodit::UGODIT_ISA
