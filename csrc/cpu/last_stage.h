// The last stage of a plan, forwards and backwards, with what a Sink does in between.
#pragma once

#include "cpu/short_cuts.h"

namespace ugodit::UGODIT_ISA {

UGODIT_INLINE void clear(WorkData data, int base, int count) {
    for (int k = 0; k < count; ++k) data.store(base + k, {Vec::zero(), Vec::zero()});
}

template <int Radix, class S>
void finish_radix(int base, WorkData data, S& sink) {
    Value middle[Radix];
    if constexpr (S::kForward) {
        fft::butterfly<Radix, false>([&](int q) UGODIT_LAMBDA { return data.load(base + q); },
                                     [&](int k, Value value) UGODIT_LAMBDA { middle[k] = sink(base + k, value); });
    } else {
        UGODIT_UNROLL
        for (int k = 0; k < Radix; ++k) middle[k] = sink(base + k, Value{});
    }
    if constexpr (S::kInverse) {
        fft::butterfly<Radix, true>([&](int k) UGODIT_LAMBDA { return middle[k]; },
                                    [&](int q, Value value) UGODIT_LAMBDA { data.store(base + q, value); });
    } else {
        UGODIT_UNROLL
        for (int k = 0; k < Radix; ++k) data.store(base + k, middle[k]);
    }
}

template <class S>
void finish_dense(const Plan& plan, const Mask& mask, int base, WorkData data, S& sink, float* scratch) {
    const Stage& stage = plan.stages[plan.stage_count - 1];
    const int radix = stage.radix, half = (radix - 1) / 2, block = base / radix;
    const Complex<float>* roots = plan.roots + stage.roots;
    const int outputs = S::kMasked ? mask.counts[block] : half;
    const int* pairs = mask.pairs + block * half;
    const auto pair = [&](int i) UGODIT_LAMBDA { return S::kMasked ? pairs[i] - 1 : i; };
    const bool zeroth = !S::kMasked || sink.weights[base] != 0.0f;
    float* folded = scratch;                   // the inputs of the forward product
    float* middle = scratch + half * kFolded;  // the inputs of the inverse product
    const Value none{Vec::zero(), Vec::zero()};
    Value first = none, sum = none;  // sample 0 and the sum of all samples
    // With one chunk of outputs every pair of inputs is read once: then it is folded where it is used.
    const bool fold_first = !S::kInverse || outputs > kPairs;
    const auto pair_of_samples = [&](int j) UGODIT_LAMBDA {
        const Value a = data.load(base + j + 1), b = data.load(base + radix - j - 1);
        return Folded{a + b, a - b};
    };
    if constexpr (S::kForward) {
        first = sum = data.load(base);
        for (int j = 0; fold_first && j < half; ++j) {
            const Folded pair = pair_of_samples(j);
            store_value(pair.even, folded + j * kFolded, kApart);
            store_value(pair.odd, folded + j * kFolded + kValue, kApart);
        }
        for (int q = 1; zeroth && q < radix; ++q) sum = sum + data.load(base + q);
    }
    const Value middle0 = zeroth ? sink(base, sum) : none;
    Value total = middle0;  // the sum of all frequencies: sample 0 of the inverse
    const auto turn_back = [&](int i, int k, Value above, Value below) UGODIT_LAMBDA {
        const Value a = sink(base + k, above), b = sink(base + radix - k, below);
        if constexpr (S::kInverse) {
            store_folded(middle + i * kFolded, a, b);
            total = total + (a + b);
        } else {
            data.store(base + k, a);
            data.store(base + radix - k, b);
        }
    };
    if constexpr (S::kForward) {
        const auto index = [](int j) UGODIT_LAMBDA { return j; };
        const auto emit = [&](int i, int k, Value even, Value odd) UGODIT_LAMBDA {
            const Value centre = first + even;
            turn_back(i, k + 1, centre + odd, centre - odd);
        };
        if (fold_first) {
            const auto input = [&](int j) UGODIT_LAMBDA { return load_folded(folded, j); };
            if constexpr (!S::kInverse) clear(data, base, radix);
            dense_product<false>(input, half, roots, half, index, outputs, pair, emit);
        } else {
            dense_product<false>(pair_of_samples, half, roots, half, index, outputs, pair, emit);
        }
    } else {
        for (int i = 0; i < outputs; ++i) turn_back(i, pair(i) + 1, none, none);
    }
    data.store(base, S::kInverse ? total : middle0);
    if constexpr (S::kInverse) {
        dense_product<true>([&](int j) UGODIT_LAMBDA { return load_folded(middle, j); }, outputs, roots, half, pair,
                            half, [](int i) UGODIT_LAMBDA { return i; },
                            [&](int, int j, Value even, Value odd) UGODIT_LAMBDA {
                                const Value centre = middle0 + even;
                                data.store(base + j + 1, centre + odd);
                                data.store(base + radix - j - 1, centre - odd);
                            });
    }
}

template <class S>
void run_block(const Plan& plan, int stage, int base, const Mask& mask, WorkData data, S& sink, float* scratch);

// In and out are positions base .. base + radix of data; the convolution of length inner->n happens in scratch.
template <bool Inverse>
void bluestein(const Plan& plan, int base, WorkData data, float* scratch) {
    const Plan& inner = *plan.inner;
    const int radix = plan.stages[plan.stage_count - 1].radix;
    const WorkData line{scratch};
    for (int position = 0; position < inner.n; ++position) {
        const int q = inner.input[position];
        if (q < radix) {
            const Value value = data.load(base + q);
            line.store(position, fft::rotate<false>(Inverse ? conjugate(value) : value, plan.chirp[q]));
        } else {
            line.store(position, {Vec::zero(), Vec::zero()});
        }
    }
    ConvolveSink convolve{};
    convolve.spectrum = plan.spectrum;
    run_block(inner, 0, 0, Mask{}, line, convolve, scratch + inner.n * kValue);
    for (int position = 0; position < inner.n; ++position) {
        const int k = inner.input[position];
        if (k < radix) {
            const Value value = fft::rotate<false>(line.load(position), plan.chirp[k]);
            data.store(base + k, Inverse ? conjugate(value) : value);
        }
    }
}

template <class S>
void finish_bluestein(const Plan& plan, int base, WorkData data, S& sink, float* scratch) {
    const int radix = plan.stages[plan.stage_count - 1].radix;
    if constexpr (S::kForward) bluestein<false>(plan, base, data, scratch);
    for (int k = 0; k < radix; ++k) {
        if (!S::kMasked || sink.weights[base + k] != 0.0f) {
            data.store(base + k, sink(base + k, data.load(base + k)));
        } else {
            data.store(base + k, {Vec::zero(), Vec::zero()});
        }
    }
    if constexpr (S::kInverse) bluestein<true>(plan, base, data, scratch);
}

template <class S>
void finish(const Plan& plan, int base, const Mask& mask, WorkData data, S& sink, float* scratch) {
    const Stage& stage = plan.stages[plan.stage_count - 1];
    if constexpr (std::is_same_v<S, NormalSink> || std::is_same_v<S, ResidualSink>) {
        if (finish_by_short_cut(plan, base, mask, data, sink, scratch)) return;
    }
    if (stage.roots >= 0) {
        const bool empty = S::kMasked && mask.counts[base / stage.radix] == 0 && sink.weights[base] == 0.0f;
        return empty ? clear(data, base, stage.radix) : finish_dense(plan, mask, base, data, sink, scratch);
    }
    if (S::kMasked && mask.counts[base / stage.radix] == 0) return clear(data, base, stage.radix);
    const auto butterflies = [&](auto radix) UGODIT_LAMBDA { finish_radix<radix.value>(base, data, sink); };
    if (with_butterfly(stage.radix, butterflies)) return;
    // Bluestein's inner lengths have only small factors, so Convolve never comes here again.
    if constexpr (S::kMasked || !S::kForward) finish_bluestein(plan, base, data, sink, scratch);
}

// Depth first: a block is finished, forwards and backwards, while it is in cache.
template <class S>
void run_block(const Plan& plan, int stage, int base, const Mask& mask, WorkData data, S& sink, float* scratch) {
    const Stage& here = plan.stages[stage];
    if (stage == plan.stage_count - 1) return finish(plan, base, mask, data, sink, scratch);
    if constexpr (S::kForward) run_stage<false>(plan, here, base, data, scratch);
    for (int q = 0; q < here.radix; ++q) run_block(plan, stage + 1, base + q * here.span, mask, data, sink, scratch);
    if constexpr (S::kInverse) run_stage<true>(plan, here, base, data, scratch);
}

}  // namespace ugodit::UGODIT_ISA
