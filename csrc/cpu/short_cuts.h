// The last stage of blocks that the mask measures in one place, or as a whole. Lengths that Bluestein's algorithm
// transforms have a short cut in the normal operator only.
#pragma once

#include <type_traits>

#include "cpu/sinks.h"

namespace ugodit::UGODIT_ISA {

// a times (-i)^turns, forward, or i^turns.
template <bool Inverse, int Turns>
UGODIT_INLINE Value turned(Value a) {
    if constexpr (Turns == 0) return a;
    if constexpr (Turns == 1) return fft::quarter_turn<Inverse>(a);
    if constexpr (Turns == 2) return {-a.re, -a.im};
    if constexpr (Turns == 3) return fft::quarter_turn<!Inverse>(a);
}

// A block of which one output k = Turns modulo 4 has a weight, as most have round a gap of a regular mask:
//     X(k) = sum over c < Radix / 4 of exp(-2 pi i c k / Radix) sum over j of (-i)^(j k) x(c + j Radix / 4),
// and the other way round. A fifth of the two butterflies' operations.
template <int Radix, int Turns, class S>
void finish_one(const Complex<float>* roots, int base, int k, WorkData data, S& sink) {
    constexpr int kColumns = Radix / 4;
    Value sum{Vec::zero(), Vec::zero()};
    UGODIT_UNROLL
    for (int c = 0; c < kColumns; ++c) {
        const auto sample = [&](int j) UGODIT_LAMBDA { return data.load(base + c + j * kColumns); };
        const Value even = sample(0) + turned<false, Turns * 2 % 4>(sample(2));
        const Value odd = sample(1) + turned<false, Turns * 2 % 4>(sample(3));
        const Value column = even + turned<false, Turns>(odd);
        sum = sum + (c == 0 ? column : fft::rotate<false>(column, roots[c * k % Radix]));
    }
    const Value middle = sink(base + k, sum);
    UGODIT_UNROLL
    for (int c = 0; c < kColumns; ++c) {
        const Value column = c == 0 ? middle : fft::rotate<true>(middle, roots[c * k % Radix]);
        data.store(base + c, column);
        data.store(base + c + kColumns, turned<true, Turns>(column));
        data.store(base + c + 2 * kColumns, turned<true, Turns * 2 % 4>(column));
        data.store(base + c + 3 * kColumns, turned<true, Turns * 3 % 4>(column));
    }
}

template <int Radix, class S>
void finish_one(const Plan& plan, int base, WorkData data, S& sink) {
    int k = 0;
    while (sink.weights[base + k] == 0.0f) ++k;
    switch (k % 4) {
        case 0:
            return finish_one<Radix, 0>(plan.last_roots, base, k, data, sink);
        case 1:
            return finish_one<Radix, 1>(plan.last_roots, base, k, data, sink);
        case 2:
            return finish_one<Radix, 2>(plan.last_roots, base, k, data, sink);
        default:
            return finish_one<Radix, 3>(plan.last_roots, base, k, data, sink);
    }
}

// A block whose weights are all w: its transforms forwards and back are, together, w R times the identity. So
//     F^H w (F x - y) = w R (x - F^H y / R)   and   w |F x - y|^2 = w R |x - F^H y / R|^2:
// one transform of the measurements is left, and none without them. With regular undersampling these are many blocks.
inline void finish_uniform(const Plan&, const Stage& stage, int base, float weight, WorkData data, NormalSink& sink,
                           float*) {
    const Vec factor = Vec::broadcast(weight * static_cast<float>(stage.radix));
    for (int q = 0; q < stage.radix; ++q) {
        data.store(base + q, weighted(data.load(base + q), factor, sink.loss));
    }
}

inline void finish_uniform(const Plan& plan, const Stage& stage, int base, float weight, WorkData data,
                           ResidualSink& sink, float* scratch) {
    const float share = 1.0f / static_cast<float>(stage.radix);
    const Vec factor = Vec::broadcast(weight * static_cast<float>(stage.radix));
    const auto measured = [&](int k) UGODIT_LAMBDA { return read_measured(sink, base + k); };
    const auto subtract = [&](int q, Value value) UGODIT_LAMBDA {
        data.store(base + q, weighted(data.load(base + q) - scaled(value, share), factor, sink.loss));
    };
    const auto butterflies = [&](auto radix) UGODIT_LAMBDA { fft::butterfly<radix.value, true>(measured, subtract); };
    if (!with_butterfly(stage.radix, butterflies)) {
        dense_dft<true>(stage.radix, plan.roots + stage.roots, scratch, measured, subtract);
    }
}

// Whether the block was finished by a short cut.
template <class S>
UGODIT_INLINE bool finish_by_short_cut(const Plan& plan, int base, const Mask& mask, WorkData data, S& sink,
                                       float* scratch) {
    const Stage& stage = plan.stages[plan.stage_count - 1];
    const int block = base / stage.radix;
    const float weight = mask.uniform[block];
    const bool dense = stage.roots >= 0;
    // Smaller butterflies have little to gain.
    const bool large = stage.radix >= 8 && stage.radix <= 16 && !dense;
    if (weight != 0.0f && (std::is_same_v<S, NormalSink> || dense || large)) {
        return finish_uniform(plan, stage, base, weight, data, sink, scratch), true;
    }
    if (!large || mask.counts[block] != 1) return false;
    return with_butterfly(stage.radix, [&](auto radix) UGODIT_LAMBDA {
        if constexpr (radix.value >= 8) finish_one<radix.value>(plan, base, data, sink);
    });
}

}  // namespace ugodit::UGODIT_ISA
