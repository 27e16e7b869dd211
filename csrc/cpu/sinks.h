// What happens at every position between the transforms, see transform().
#pragma once

#include "cpu/stages.h"

namespace ugodit::UGODIT_ISA {

// ConvolveSink multiplies by Bluestein's spectrum.
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

// The residual times its weight; its share of the loss is added.
UGODIT_INLINE Value weighted(Value residual, Vec weight, Vec& loss) {
    const Value result{weight * residual.re, weight * residual.im};
    loss = madd(result.im, residual.im, madd(result.re, residual.re, loss));
    return result;
}

struct ResidualSink : Sink {
    static constexpr bool kForward = true, kInverse = true, kMasked = true;
    UGODIT_INLINE Value operator()(int position, Value value) {
        return weighted(value - read_measured(*this, position), Vec::broadcast(weights[position]), loss);
    }
};

struct NormalSink : Sink {
    static constexpr bool kForward = true, kInverse = true, kMasked = true;
    UGODIT_INLINE Value operator()(int position, Value value) {
        return weighted(value, Vec::broadcast(weights[position]), loss);
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

}  // namespace ugodit::UGODIT_ISA
