// A plan of fft/plan.h as a CUDA kernel takes it: stages by value, tables in one array on the device, and how many
// coils, threads and bytes of shared memory a block gets.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/block.h"
#include "fft/plan.h"

namespace ugodit::cuda {

using fft::Complex;

constexpr int kLargestWidth = 1024;
// Of a block: what choose_layout() gives at most, and what the kernels' registers are limited for.
constexpr int kMostThreads = 256;

// Division of 0 <= value < 2^16 by 1 <= divisor <= 2^15, by a multiplication.
struct Divider {
    std::uint32_t multiplier;
    int divisor;

    UGODIT_DEVICE int divide(int value) const {
        return static_cast<int>((static_cast<std::uint64_t>(multiplier) * static_cast<std::uint32_t>(value)) >> 31);
    }
};
Divider divider(int divisor);

// Where a position lies in a line in shared memory: one complex value is skipped after every 2^shift, so that threads
// with equal strides meet different banks.
struct Padding {
    int stride;  // of a line
    int shift;   // 31: nothing skipped

    UGODIT_DEVICE int at(int position) const { return position + (position >> shift); }
};

struct DeviceStage {
    int radix, span;
    int twiddle;      // offset into the table, [radix - 1][span] values, or -1
    int roots;        // offset into the table where the radix has no butterfly, else -1
    Divider columns;  // of a line: n / radix
    Divider spans;    // by span
};

struct Chain {
    int n, stage_count;
    DeviceStage stages[fft::kMaxStages];
    Padding padding;
};

// What a block does to the coils in flight, one after another with a barrier between: a list made on the host, so that
// each kernel holds each piece of code once, inlined.
enum class Action : std::int32_t {
    expand,  // maps times image
    forward_pass,
    inverse_pass,  // a stage that has a butterfly
    forward_twiddle,
    inverse_twiddle,  // the twiddles of a stage with a large radix
    turn,             // the last stage forward, weighing, and backward, in one
    weigh,            // weighing alone
    forward_dense,
    inverse_dense,  // a stage that has none
    enter_forward,
    enter_inverse,  // Bluestein: into the inner lines, with the chirp
    convolve,       // ... times the chirp's spectrum
    leave_forward,
    leave_inverse,  // ... and back
    combine,        // the sum over coils of conj(maps) times line
    store_kspace,
    load_kspace,
};
struct Step {
    Action action;
    std::int16_t stage;
    std::int16_t inner;  // 1: of the inner chain
};
constexpr int kMaxSteps = 40;
struct Program {
    int count;
    Step steps[kMaxSteps];
};

// Offsets count elements of 4 bytes (int) or 8 bytes (Complex<float>) from the table's start, as their type says.
struct Transform {
    Chain chain;
    int sample_position;     // int [n]: the position of the centred sample n
    int frequency_position;  // int [n]: the position of the centred frequency
    bool dense;              // some stage is a dense DFT, which needs a second set of lines
    int prime;               // of the last stage where that is Bluestein's algorithm, else 0
    Chain inner;             // Bluestein's transform
    int inner_sample;        // int [inner.n]: the sample at a position
    int chirp, spectrum;     // Complex<float> [prime], [inner.n]
};

enum class Kernel { residual, forward, adjoint, solve };
// The steps of the operator, its adjoint, or both in turn (residual and solve).
Program program_for(Kernel kernel, const Transform& transform);

// Built on the first call, kept for the life of the process. Host only, thread-safe.
struct TransformTables {
    Transform transform;
    std::vector<std::uint32_t> table;
    std::vector<int> sample, frequency;  // the centred sample and the centred frequency at a position
};
const TransformTables& transform_for(int width);

// What one block works with. Offsets count bytes of dynamic shared memory.
struct Layout {
    int threads, shared_bytes;
    int flight;                             // coils transformed at a time
    bool resident;                          // sense_solve: the row's sensitivity maps stay in shared memory
    int lines, spare, inner;                // Complex<float>
    int image, result, solution, residual;  // Complex<float> [n]
    int weights, slots;                     // float [n], int [n]
    int parts, sums;                        // double [threads], double [kFoldWidth]
    int maps;
};

// `shared_limit`: bytes a block may have. `wish`: coils in flight, threads and resident (0 or 1), each -1 to choose
// here.
struct Wish {
    int flight = -1, threads = -1, resident = -1;
};
// Throws std::invalid_argument where even one coil does not fit.
Layout choose_layout(Kernel kernel, const Transform& transform, int coils, int map_bytes, int shared_limit, Wish wish);

}  // namespace ugodit::cuda
