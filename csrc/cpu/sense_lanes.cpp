#include "cpu/sense_lanes.h"

#include "cpu/dense_pass.h"
#include "fft/passes.h"

namespace ugodit::UGODIT_ISA {
namespace {

using fft::Plan;
using fft::Stage;

const Complex<float>* column_twiddles(const Plan& plan, const Stage& stage, int column) {
    return stage.twiddle < 0 ? nullptr : plan.twiddles + stage.twiddle + column * (stage.radix - 1);
}

template <bool Inverse>
UGODIT_INLINE Value twiddled(Value value, const Complex<float>* twiddle, int q) {
    return twiddle == nullptr || q == 0 ? value : fft::rotate<Inverse>(value, twiddle[q - 1]);
}

// ---- first and last pass -------------------------------------------------------------------------------------------

template <int Rows>
UGODIT_INLINE Value load_mapped(const float* maps, const float* image, int visit) {
    const Value map = load_value(maps + static_cast<std::ptrdiff_t>(visit) * kPackedValue, kPackedApart);
    const float* pixel = image + static_cast<std::ptrdiff_t>(visit) * 2 * Rows;
    return multiply(map, Value{expand<Rows>(pixel), expand<Rows>(pixel + Rows)});
}

template <int Rows, int Radix>
void apply_maps_radix(const Plan& plan, const float* maps, const float* image, float* work) {
    const Stage& stage = plan.stages[0];
    const int span = stage.span;
    for (int j = 0; j < span; ++j) {
        const Complex<float>* twiddle = column_twiddles(plan, stage, j);
        const auto load = [&](int q) UGODIT_LAMBDA { return load_mapped<Rows>(maps, image, j * Radix + q); };
        if (twiddle == nullptr) {
            fft::butterfly<Radix, false>(load, [&](int q, Value value) UGODIT_LAMBDA {
                store_value(value, work + (q * span + j) * kValue, kApart);
            });
        } else {
            fft::butterfly<Radix, false>(load, [&](int q, Value value) UGODIT_LAMBDA {
                store_value(twiddled<false>(value, twiddle, q), work + (q * span + j) * kValue, kApart);
            });
        }
    }
}

template <int Rows>
void apply_maps_dense(const Plan& plan, const float* maps, const float* image, float* work, float* scratch) {
    const Stage& stage = plan.stages[0];
    const int radix = stage.radix, span = stage.span;
    for (int j = 0; j < span; ++j) {
        const Complex<float>* twiddle = column_twiddles(plan, stage, j);
        dense_dft<false>(
            radix, plan.roots + stage.roots, scratch,
            [&](int q) UGODIT_LAMBDA { return load_mapped<Rows>(maps, image, j * radix + q); },
            [&](int q, Value value) UGODIT_LAMBDA {
                store_value(twiddled<false>(value, twiddle, q), work + (q * span + j) * kValue, kApart);
            });
    }
}

template <int Rows, int Radix>
void sum_coils_radix(const Plan& plan, const float* maps, const float* next, const float* work, float* image,
                     bool accumulate) {
    const Stage& stage = plan.stages[0];
    const int span = stage.span;
    for (int j = 0; j < span; ++j) {
        const Complex<float>* twiddle = column_twiddles(plan, stage, j);
        Vec products[2 * Radix];
        if (next != nullptr) {
            UGODIT_UNROLL
            for (int q = 0; q < Radix; ++q)
                prefetch_value(next + static_cast<std::ptrdiff_t>(j * Radix + q) * kPackedValue);
        }
        fft::butterfly<Radix, true>(
            [&](int q) UGODIT_LAMBDA {
                return twiddled<true>(load_value(work + (q * span + j) * kValue, kApart), twiddle, q);
            },
            [&](int q, Value value) UGODIT_LAMBDA {
                const Value map =
                    load_value(maps + static_cast<std::ptrdiff_t>(j * Radix + q) * kPackedValue, kPackedApart);
                const Value product = multiply_conjugate(value, map);
                products[2 * q] = product.re;
                products[2 * q + 1] = product.im;
            });
        store_sums<Rows, 2 * Radix>(products, image + j * Radix * 2 * Rows, accumulate);
    }
}

template <int Rows>
void sum_coils_dense(const Plan& plan, const float* maps, const float* work, float* image, bool accumulate,
                     float* scratch) {
    const Stage& stage = plan.stages[0];
    const int radix = stage.radix, span = stage.span;
    for (int j = 0; j < span; ++j) {
        const Complex<float>* twiddle = column_twiddles(plan, stage, j);
        dense_dft<true>(
            radix, plan.roots + stage.roots, scratch,
            [&](int q) UGODIT_LAMBDA {
                return twiddled<true>(load_value(work + (q * span + j) * kValue, kApart), twiddle, q);
            },
            [&](int q, Value value) UGODIT_LAMBDA {
                const int visit = j * radix + q;
                const Value map = load_value(maps + static_cast<std::ptrdiff_t>(visit) * kPackedValue, kPackedApart);
                const Value product = multiply_conjugate(value, map);
                const Vec parts[2] = {product.re, product.im};
                store_sums<Rows, 2>(parts, image + visit * 2 * Rows, accumulate);
            });
    }
}

template <int Rows>
void apply_maps_rows(const Plan& plan, const float* maps, const float* image, float* work, float* scratch) {
    switch (plan.stages[0].radix) {
        case 1:
            return apply_maps_radix<Rows, 1>(plan, maps, image, work);
        case 2:
            return apply_maps_radix<Rows, 2>(plan, maps, image, work);
        case 3:
            return apply_maps_radix<Rows, 3>(plan, maps, image, work);
        case 4:
            return apply_maps_radix<Rows, 4>(plan, maps, image, work);
        case 5:
            return apply_maps_radix<Rows, 5>(plan, maps, image, work);
        case 6:
            return apply_maps_radix<Rows, 6>(plan, maps, image, work);
        case 8:
            return apply_maps_radix<Rows, 8>(plan, maps, image, work);
        case 12:
            return apply_maps_radix<Rows, 12>(plan, maps, image, work);
        case 16:
            return apply_maps_radix<Rows, 16>(plan, maps, image, work);
        default:
            return apply_maps_dense<Rows>(plan, maps, image, work, scratch);
    }
}

template <int Rows>
void sum_coils_rows(const Plan& plan, const float* maps, const float* next, const float* work, float* image,
                    bool accumulate, float* scratch) {
    switch (plan.stages[0].radix) {
        case 1:
            return sum_coils_radix<Rows, 1>(plan, maps, next, work, image, accumulate);
        case 2:
            return sum_coils_radix<Rows, 2>(plan, maps, next, work, image, accumulate);
        case 3:
            return sum_coils_radix<Rows, 3>(plan, maps, next, work, image, accumulate);
        case 4:
            return sum_coils_radix<Rows, 4>(plan, maps, next, work, image, accumulate);
        case 5:
            return sum_coils_radix<Rows, 5>(plan, maps, next, work, image, accumulate);
        case 6:
            return sum_coils_radix<Rows, 6>(plan, maps, next, work, image, accumulate);
        case 8:
            return sum_coils_radix<Rows, 8>(plan, maps, next, work, image, accumulate);
        case 12:
            return sum_coils_radix<Rows, 12>(plan, maps, next, work, image, accumulate);
        case 16:
            return sum_coils_radix<Rows, 16>(plan, maps, next, work, image, accumulate);
        default:
            return sum_coils_dense<Rows>(plan, maps, work, image, accumulate, scratch);
    }
}

// ---- stages in between, in place -----------------------------------------------------------------------------------

struct WorkData {
    float* work;
    UGODIT_INLINE Value load(int position) const { return load_value(work + position * kValue, kApart); }
    UGODIT_INLINE void store(int position, Value value) const { store_value(value, work + position * kValue, kApart); }
};

template <bool Inverse, int Radix>
void stage_radix(const Plan& plan, const Stage& stage, int base, WorkData data) {
    for (int j = 0; j < stage.span; ++j) {
        const Complex<float>* twiddle = column_twiddles(plan, stage, j);
        if constexpr (Inverse) {
            fft::assemble<Radix>(data, base + j, stage.span, twiddle);
        } else {
            fft::decimate<Radix>(data, base + j, stage.span, twiddle);
        }
    }
}

template <bool Inverse>
void stage_dense(const Plan& plan, const Stage& stage, int base, WorkData data, float* scratch) {
    for (int j = 0; j < stage.span; ++j) {
        const Complex<float>* twiddle = column_twiddles(plan, stage, j);
        const auto place = [&](int q) UGODIT_LAMBDA { return base + j + q * stage.span; };
        // Inputs are all folded into scratch before the first output, so this is safe in place.
        dense_dft<Inverse>(
            stage.radix, plan.roots + stage.roots, scratch,
            [&](int q) UGODIT_LAMBDA {
                const Value value = data.load(place(q));
                return Inverse ? twiddled<true>(value, twiddle, q) : value;
            },
            [&](int q, Value value)
                UGODIT_LAMBDA { data.store(place(q), Inverse ? value : twiddled<false>(value, twiddle, q)); });
    }
}

template <bool Inverse>
void run_stage(const Plan& plan, const Stage& stage, int base, WorkData data, float* scratch) {
    switch (stage.radix) {
        case 1:
            return;
        case 2:
            return stage_radix<Inverse, 2>(plan, stage, base, data);
        case 3:
            return stage_radix<Inverse, 3>(plan, stage, base, data);
        case 4:
            return stage_radix<Inverse, 4>(plan, stage, base, data);
        case 5:
            return stage_radix<Inverse, 5>(plan, stage, base, data);
        case 6:
            return stage_radix<Inverse, 6>(plan, stage, base, data);
        case 8:
            return stage_radix<Inverse, 8>(plan, stage, base, data);
        case 12:
            return stage_radix<Inverse, 12>(plan, stage, base, data);
        case 16:
            return stage_radix<Inverse, 16>(plan, stage, base, data);
        default:
            return stage_dense<Inverse>(plan, stage, base, data, scratch);
    }
}

// ---- the last stage, with what happens between the transforms
// ---------------------------------------------------------

// What happens at a position: see transform(). kConvolve multiplies by Bluestein's spectrum.
struct Sink {
    const float* weights;
    const float* measured;
    std::ptrdiff_t ahead;
    WorkData data;
    Vec loss;
};

UGODIT_INLINE Value scaled(Value a, float factor) {
    const Vec weight = Vec::broadcast(factor);
    return {weight * a.re, weight * a.im};
}

UGODIT_INLINE Value read_measured(const Sink& sink, int position) {
    const float* here = sink.measured + static_cast<std::ptrdiff_t>(position) * kPackedValue;
    prefetch_value(here + sink.ahead);
    return load_value(here, kPackedApart);
}

struct ResidualSink : Sink {
    static constexpr bool kForward = true, kInverse = true, kMasked = true;
    UGODIT_INLINE Value operator()(int position, Value value) {
        const Value target = read_measured(*this, position);
        const Value residual = value - target;
        const Value result = scaled(residual, weights[position]);
        loss = madd(result.im, residual.im, madd(result.re, residual.re, loss));
        return result;
    }
};

struct NormalSink : Sink {
    static constexpr bool kForward = true, kInverse = true, kMasked = true;
    UGODIT_INLINE Value operator()(int position, Value value) {
        const Value result = scaled(value, weights[position]);
        loss = madd(result.im, value.im, madd(result.re, value.re, loss));
        return result;
    }
};

struct ForwardSink : Sink {
    static constexpr bool kForward = true, kInverse = false, kMasked = true;
    UGODIT_INLINE Value operator()(int position, Value value) {
        return weights[position] != 0.0f ? value : Value{Vec::zero(), Vec::zero()};
    }
};

struct AdjointSink : Sink {
    static constexpr bool kForward = false, kInverse = true, kMasked = true;
    UGODIT_INLINE Value operator()(int position, Value) {
        return scaled(read_measured(*this, position), weights[position]);
    }
};

struct InverseSink : Sink {
    static constexpr bool kForward = false, kInverse = true, kMasked = false;
    UGODIT_INLINE Value operator()(int position, Value) { return data.load(position); }
};

struct ConvolveSink : Sink {
    static constexpr bool kForward = true, kInverse = true, kMasked = false;
    const Complex<float>* spectrum;
    UGODIT_INLINE Value operator()(int position, Value value) { return fft::rotate<false>(value, spectrum[position]); }
};

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
    if (stage.roots >= 0) {
        const bool empty = S::kMasked && mask.counts[base / stage.radix] == 0 && sink.weights[base] == 0.0f;
        return empty ? clear(data, base, stage.radix) : finish_dense(plan, mask, base, data, sink, scratch);
    }
    if (S::kMasked && mask.counts[base / stage.radix] == 0) return clear(data, base, stage.radix);
    switch (stage.radix) {
        case 1:
            return finish_radix<1>(base, data, sink);
        case 2:
            return finish_radix<2>(base, data, sink);
        case 3:
            return finish_radix<3>(base, data, sink);
        case 4:
            return finish_radix<4>(base, data, sink);
        case 5:
            return finish_radix<5>(base, data, sink);
        case 6:
            return finish_radix<6>(base, data, sink);
        case 8:
            return finish_radix<8>(base, data, sink);
        case 12:
            return finish_radix<12>(base, data, sink);
        case 16:
            return finish_radix<16>(base, data, sink);
        default:
            // Bluestein's inner lengths have only small factors, so Convolve never comes here again.
            if constexpr (S::kMasked || !S::kForward) finish_bluestein(plan, base, data, sink, scratch);
    }
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

template <class S>
void run(const Plan& plan, int first_stage, const Mask& mask, const float* measured, std::ptrdiff_t ahead, float* work,
         Vec& loss, float* scratch) {
    S sink{};
    sink.weights = mask.weights;
    sink.measured = measured;
    sink.ahead = ahead;
    sink.data = WorkData{work};
    sink.loss = Vec::zero();
    const int step = first_stage == 0 ? plan.n : plan.stages[0].span;
    for (int base = 0; base < plan.n; base += step) {
        run_block(plan, first_stage, base, mask, sink.data, sink, scratch);
        // Partial sums block by block: fewer roundings of the large total.
        loss = loss + sink.loss;
        sink.loss = Vec::zero();
    }
}

}  // namespace

std::size_t pass_scratch_floats(const fft::Plan& plan) {
    std::size_t dense = 0;
    for (int s = 0; s < plan.stage_count; ++s) {
        const std::size_t floats = static_cast<std::size_t>(plan.stages[s].radix) * kFolded;
        if (plan.stages[s].roots >= 0 && floats > dense) dense = floats;
    }
    const std::size_t line = plan.inner == nullptr ? 0 : static_cast<std::size_t>(plan.inner->n) * kValue;
    return dense + line;
}

void apply_maps(const fft::Plan& plan, int rows, const float* maps, const float* image, float* work, float* scratch) {
    switch (rows) {
        case 1:
            return apply_maps_rows<1>(plan, maps, image, work, scratch);
        case 2:
            return apply_maps_rows<2>(plan, maps, image, work, scratch);
        case 4:
            return apply_maps_rows<4>(plan, maps, image, work, scratch);
#if defined(UGODIT_ISA_AVX512) || defined(UGODIT_ISA_AVX2)
        case 8:
            return apply_maps_rows<8>(plan, maps, image, work, scratch);
#endif
#if defined(UGODIT_ISA_AVX512)
        case 16:
            return apply_maps_rows<16>(plan, maps, image, work, scratch);
#endif
        default:
            __builtin_unreachable();
    }
}

void sum_coils(const fft::Plan& plan, int rows, const float* maps, const float* next, const float* work, float* image,
               bool accumulate, float* scratch) {
    switch (rows) {
        case 1:
            return sum_coils_rows<1>(plan, maps, next, work, image, accumulate, scratch);
        case 2:
            return sum_coils_rows<2>(plan, maps, next, work, image, accumulate, scratch);
        case 4:
            return sum_coils_rows<4>(plan, maps, next, work, image, accumulate, scratch);
#if defined(UGODIT_ISA_AVX512) || defined(UGODIT_ISA_AVX2)
        case 8:
            return sum_coils_rows<8>(plan, maps, next, work, image, accumulate, scratch);
#endif
#if defined(UGODIT_ISA_AVX512)
        case 16:
            return sum_coils_rows<16>(plan, maps, next, work, image, accumulate, scratch);
#endif
        default:
            __builtin_unreachable();
    }
}

void transform(Mode mode, const fft::Plan& plan, int first_stage, const Mask& mask, const float* measured,
               std::ptrdiff_t ahead, float* work, Vec& loss, float* scratch) {
    switch (mode) {
        case Mode::kResidual:
            return run<ResidualSink>(plan, first_stage, mask, measured, ahead, work, loss, scratch);
        case Mode::kNormal:
            return run<NormalSink>(plan, first_stage, mask, measured, ahead, work, loss, scratch);
        case Mode::kForward:
            return run<ForwardSink>(plan, first_stage, mask, measured, ahead, work, loss, scratch);
        case Mode::kAdjoint:
            return run<AdjointSink>(plan, first_stage, mask, measured, ahead, work, loss, scratch);
        case Mode::kInverse:
            return run<InverseSink>(plan, first_stage, mask, measured, ahead, work, loss, scratch);
    }
}

}  // namespace ugodit::UGODIT_ISA
