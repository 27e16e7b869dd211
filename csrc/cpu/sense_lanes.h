// The passes over one row's (or column's) coils, in the instruction set of the including source. `work` holds a value
// of Vec::kWidth lanes for each position of the plan: [position][2][kWidth].
#pragma once

#include "cpu/sense.h"
#include "cpu/simd.h"

namespace ugodit::UGODIT_ISA {

constexpr int kApart = Vec::kWidth;   // floats from real to imaginary parts in work arrays
constexpr int kValue = 2 * kApart;    // floats of a value in work arrays
constexpr int kPackedApart = kLanes;  // the same in packed arrays
constexpr int kPackedValue = 2 * kLanes;

// Floats of scratch that the passes of a plan need beside `work`.
std::size_t pass_scratch_floats(const fft::Plan& plan);

// First pass: maps times image, then the first stage of the plan. `rows` image rows share the vector; image:
// [visit][2][rows]. maps: packed, at the vector's first lane.
void apply_maps(const fft::Plan& plan, int rows, const float* maps, const float* image, float* work, float* scratch);

// Last pass: the first stage backwards, times the conjugate maps, summed over coils. On the way the maps at `next`, if
// not nullptr, are fetched into the second-level cache: the memory bus is idle here, and busy in the next first pass.
void sum_coils(const fft::Plan& plan, int rows, const float* maps, const float* next, const float* work, float* image,
               bool accumulate, float* scratch);

// Stages from first_stage on, what Mode says at every position, and the same stages backwards.
//     kResidual  v -> weight (v - measured),  sum of weight |v - measured|^2 added to loss
//     kNormal    v -> weight v,               sum of weight |v|^2 added to loss
//     kForward   stays there: v where there is a weight, else 0; nothing goes backwards
//     kAdjoint   weight measured goes backwards; nothing goes forward
//     kInverse   what lies in work goes backwards
// measured: packed, at the vector's first lane. Whatever is read of it is fetched into the second-level cache for the
// next row as well, `ahead` floats further on: what a mask selects is too scattered for the processor to foresee.
void transform(Mode mode, const fft::Plan& plan, int first_stage, const Mask& mask, const float* measured,
               std::ptrdiff_t ahead, float* work, Vec& loss, float* scratch);

}  // namespace ugodit::UGODIT_ISA
