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
UGODIT_INLINE Value uniform_residual(Value x, Value shifted, Vec factor, Vec& loss) {
    const Value residual = x - shifted, result{factor * residual.re, factor * residual.im};
    loss = madd(result.im, residual.im, madd(result.re, residual.re, loss));
    return result;
}

inline void finish_uniform(int base, int radix, float weight, WorkData data, NormalSink& sink) {
    const Vec factor = Vec::broadcast(weight * static_cast<float>(radix));
    const Value none{Vec::zero(), Vec::zero()};
    for (int q = 0; q < radix; ++q) {
        data.store(base + q, uniform_residual(data.load(base + q), none, factor, sink.loss));
    }
}

template <int Radix>
void finish_uniform(int base, float weight, WorkData data, ResidualSink& sink) {
    const Vec factor = Vec::broadcast(weight * static_cast<float>(Radix));
    fft::butterfly<Radix, true>([&](int k) UGODIT_LAMBDA { return read_measured(sink, base + k); },
                                [&](int q, Value value) UGODIT_LAMBDA {
                                    const Value shifted = scaled(value, 1.0f / Radix);
                                    data.store(base + q,
                                               uniform_residual(data.load(base + q), shifted, factor, sink.loss));
                                });
}

inline void finish_uniform_dense(const Stage& stage, const Complex<float>* roots, int base, float weight, WorkData data,
                                 ResidualSink& sink, float* scratch) {
    const float share = 1.0f / static_cast<float>(stage.radix);
    const Vec factor = Vec::broadcast(weight * static_cast<float>(stage.radix));
    dense_dft<true>(
        stage.radix, roots, scratch, [&](int k) UGODIT_LAMBDA { return read_measured(sink, base + k); },
        [&](int q, Value value) UGODIT_LAMBDA {
            data.store(base + q, uniform_residual(data.load(base + q), scaled(value, share), factor, sink.loss));
        });
}

// Whether the block was finished by a short cut.
template <class S>
UGODIT_INLINE bool finish_by_short_cut(const Plan& plan, int base, const Mask& mask, WorkData data, S& sink,
                                       float* scratch) {
    const Stage& stage = plan.stages[plan.stage_count - 1];
    const int block = base / stage.radix;
    const float weight = mask.uniform[block];
    if constexpr (std::is_same_v<S, NormalSink>) {
        if (weight != 0.0f) return finish_uniform(base, stage.radix, weight, data, sink), true;
    } else if (weight != 0.0f && stage.roots >= 0) {
        return finish_uniform_dense(stage, plan.roots + stage.roots, base, weight, data, sink, scratch), true;
    }
    const bool one = stage.roots < 0 && mask.counts[block] == 1;
    const auto with_butterfly = [&](auto radix) UGODIT_LAMBDA {
        if constexpr (std::is_same_v<S, ResidualSink>) {
            if (weight != 0.0f) return finish_uniform<radix.value>(base, weight, data, sink), true;
        }
        return one && (finish_one<radix.value>(plan, base, data, sink), true);
    };
    // Smaller radices have little to gain.
    if (stage.radix == 8) return with_butterfly(std::integral_constant<int, 8>{});
    if (stage.radix == 12) return with_butterfly(std::integral_constant<int, 12>{});
    if (stage.radix == 16) return with_butterfly(std::integral_constant<int, 16>{});
    return false;
}

}  // namespace ugodit::UGODIT_ISA
