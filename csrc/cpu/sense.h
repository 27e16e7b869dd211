// What the SENSE kernels share: the packed layout, a call's arguments, and the table of one instruction set's
// functions.
//
// Packed arrays are float32 blocks of kLanes real parts and kLanes imaginary parts. One lane is one coil; `rows` image
// rows share a block where there are few coils, each with kLanes / rows lanes (unused ones hold zeros); more than
// kLanes coils take several blocks.
//     masked along the width:  maps    [item][row group][block][visit of the first pass][2][kLanes]
//                              k-space [item][row group][block][position after the forward passes][2][kLanes]
//     masked along both axes:  maps    [item][row][block][visit][2][kLanes]          (always one row a block)
//                              k-space [item][block][position along W][position along H][2][kLanes]
// Maps carry the centred transform's phase exp(2 pi i c n / N), c = N / 2, and its 1 / sqrt(N); k-space carries the
// conjugate phase and the constant exp(2 pi i c^2 / N), since
//     (k - c)(n - c) = k n - c n - c k + c^2.
// So the loops below see an ordinary DFT without shifts or scale.
#pragma once

#include <cstddef>

#include "cpu/lanes.h"
#include "fft/plan.h"

namespace ugodit {

struct Layout {
    int coils, height, width;
    bool both;   // masked along both axes
    int rows;    // image rows a block: 1, 2, 4, 8 or 16
    int blocks;  // blocks a row group
    int groups;  // row groups an item

    // Sizes that sizes.h lets through; a width (masked along both axes a height too) up to fft::kLongest.
    Layout(int coils, int height, int width, bool both);
    std::size_t block_floats() const { return static_cast<std::size_t>(width) * 2 * kLanes; }
    std::size_t group_floats() const { return block_floats() * blocks; }
    std::size_t maps_floats() const { return group_floats() * groups; }  // an item
    std::size_t kspace_floats() const {
        return both ? static_cast<std::size_t>(width) * height * blocks * 2 * kLanes : maps_floats();
    }
};

// Weights of one item at the positions of one plan, and what the last pass may leave out because of them.
struct Mask {
    const float* weights;  // [n]
    // A last pass of radix R works on n / R blocks. uniform[b]: the weight of all of the block's positions, 0 where
    // they differ.
    const float* uniform;
    // counts[b]: outputs with a weight; for a dense R, pairs (k, R - k) with a weight, which pairs[b (R - 1) / 2 + i]
    // lists as k.
    const int* counts;
    const int* pairs;
};

enum class Mode { kResidual, kNormal, kForward, kAdjoint, kInverse };

// One call. Strides are floats from item to item, 0 where an array is shared.
struct SenseCall {
    const Layout* layout;
    const fft::Plan* plan;  // along W
    int items;
    Mode mode;
    const float* image;  // [item][2][height][width]
    const float* maps;
    std::size_t maps_stride;
    const float* kspace;
    std::size_t kspace_stride;
    const Mask* masks;  // per item, or one
    int masks_stride;
    float* gradient;  // [item][2][height][width]
    float* measured;  // kForward: packed like kspace
    double* partial;  // [item][partials]: pieces of the loss, or squared residual norms, summed in order by the caller
    int partials;
    // a solve: image holds the right-hand side
    const float* start;
    const float* mu;  // [item]
    int iterations;
    double tolerance;
    // masked along both axes
    const fft::Plan* column_plan;
    const float* weights;  // [item][height][width] as the caller gave them
    std::size_t weights_stride;
    float* plane;  // scratch [row][position along W][2][vector width]
    int plane_item, plane_block;
    std::size_t scratch_floats;  // a thread
};

struct SenseKernels {
    int vector_width;
    std::size_t (*scratch_floats)(const SenseCall&);
    void (*rows)(const SenseCall&, int task);   // task: item * groups + row group; every Mode
    void (*solve)(const SenseCall&, int task);  // the same tasks
    // Masked along both axes, one plane (item, block) at a time:
    void (*plane_forward)(const SenseCall&, int row);
    void (*plane_columns)(const SenseCall&, int chunk);  // kPlaneColumns columns
    void (*plane_inverse)(const SenseCall&, int row);
};

constexpr int kPlaneColumns = 4;

// Runs a call whose arrays are set, but for weights (one_weight: the same for all items) and what follows from the
// layout. results[item], unless nullptr: the sum of the item's pieces, or of a solve its root.
void run_sense(SenseCall& call, const Layout& layout, const float* weights, bool one_weight, int threads, bool solve,
               float* results);

}  // namespace ugodit
