// What a sense kernel is given, and the image row that a block works on.
//
// Layouts. Images are the caller's: float [items][2][rows][n], centred. Sensitivity maps are packed by the Python side:
// [items][rows][coils][n] complex values in position order (fft/plan.h), divided by sqrt(n), so that the transforms
// here have no scale. K-space is packed as, for each item, n numbers (the slot of the line at each position, -1 where a
// line holds nothing but zeros) and then complex [rows][coils][lines]: lines that were not measured are not stored.
#pragma once

#include <cstdint>

#include "cuda/block.h"
#include "cuda/transform.h"

namespace ugodit::cuda {

// What every kernel takes. A step of 0 between items means that all items share the array.
struct SenseArguments {
    Transform transform;
    Program program;
    Layout layout;
    const Complex<float>* table;
    int coils, rows;
    const void* maps;  // HalfPair where half, else Complex<float>
    bool half;
    const float* weights;                // [items][n]
    std::int64_t map_step, weight_step;  // in elements
};

struct ApplyArguments {
    SenseArguments sense;
    const float* image;   // nullptr for the adjoint
    const float* packed;  // residual: the data, or nullptr for zeros
    std::int64_t packed_step;
    int data_lines;
    double* row_loss;              // residual: [items][rows]
    const Complex<float>* kspace;  // adjoint: [items][coils][rows][n]
    std::int64_t kspace_step;      // ... in elements between items
    Complex<float>* projection;    // forward: [items][coils][rows][n]
    float* result;                 // residual: the gradient; adjoint: the image; forward: nullptr
};

struct SolveArguments {
    SenseArguments sense;
    const float* rhs;
    const float* start;
    const float* mu;  // [items]
    float* solution;
    double* row_energy;  // [items][rows]: |residual|^2
    int iterations;
    float tolerance;
};

// One block's row: which, and its pieces.
template <class Block>
struct Row {
    Block block;
    const SenseArguments& sense;
    int item, row, n;

    UGODIT_DEVICE Row(Block block, const SenseArguments& sense)
        : block(block),
          sense(sense),
          item(block.index() / sense.rows),
          row(block.index() - item * sense.rows),
          n(sense.transform.chain.n) {}

    template <class T>
    UGODIT_DEVICE T* shared(int offset) const {
        return block.template shared<T>(offset);
    }
    UGODIT_DEVICE const int* sample_position() const {
        return reinterpret_cast<const int*>(sense.table) + sense.transform.sample_position;
    }
    UGODIT_DEVICE const int* frequency_position() const {
        return reinterpret_cast<const int*>(sense.table) + sense.transform.frequency_position;
    }
    UGODIT_DEVICE const float* weights() const { return sense.weights + item * sense.weight_step; }
    template <class Stored>
    UGODIT_DEVICE const Stored* maps() const {
        return static_cast<const Stored*>(sense.maps) + item * sense.map_step +
               static_cast<std::int64_t>(row) * sense.coils * n;
    }
    // Of the real channel of this row in an image; the imaginary channel is image_step() further.
    UGODIT_DEVICE std::int64_t image_offset() const {
        return (2 * static_cast<std::int64_t>(item) * sense.rows + row) * n;
    }
    UGODIT_DEVICE std::int64_t image_step() const { return static_cast<std::int64_t>(sense.rows) * n; }
    // Of this row in one item's unpacked k-space.
    UGODIT_DEVICE std::int64_t kspace_offset(int coil) const {
        return (static_cast<std::int64_t>(coil) * sense.rows + row) * n;
    }
};

// Inside a phase: a row of an image into position order.
template <class Block>
UGODIT_DEVICE void load_image(const Row<Block>& row, int thread, const float* image, int offset) {
    const float* real = image + row.image_offset();
    const float* imaginary = real + row.image_step();
    for (int x = thread; x < row.n; x += row.block.threads()) {
        row.template shared<Complex<float>>(offset)[row.sample_position()[x]] = {real[x], imaginary[x]};
    }
}

// Inside a phase: position order back into a row of an image.
template <class Block>
UGODIT_DEVICE void store_image(const Row<Block>& row, int thread, int offset, float* image) {
    float* real = image + row.image_offset();
    float* imaginary = real + row.image_step();
    for (int x = thread; x < row.n; x += row.block.threads()) {
        const Complex<float> value = row.template shared<Complex<float>>(offset)[row.sample_position()[x]];
        real[x] = value.re;
        imaginary[x] = value.im;
    }
}

template <class Block>
UGODIT_DEVICE void load_weights(const Row<Block>& row, int thread) {
    for (int k = thread; k < row.n; k += row.block.threads()) {
        row.template shared<float>(row.sense.layout.weights)[row.frequency_position()[k]] = row.weights()[k];
    }
}

// Where the weight is zero the data are not wanted: they may hold anything. A slot past the `lines` that are stored, or
// none, is a line of zeros.
template <class Block>
UGODIT_DEVICE void load_slots(const Row<Block>& row, int thread, const float* slots, int lines) {
    for (int k = thread; k < row.n; k += row.block.threads()) {
        const int position = row.frequency_position()[k];
        const bool stored = row.weights()[k] != 0.0f && slots[position] >= 0.0f && slots[position] < lines;
        const int slot = stored ? static_cast<int>(slots[position]) : -1;
        row.template shared<int>(row.sense.layout.slots)[position] = slot;
    }
}

}  // namespace ugodit::cuda
