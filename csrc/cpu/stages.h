// Stages of a plan over `work`, in place, and what both ends of the chain share.
#pragma once

#include "cpu/dense_pass.h"
#include "fft/passes.h"

namespace ugodit::UGODIT_ISA {

using fft::Plan;
using fft::Stage;

UGODIT_INLINE const Complex<float>* column_twiddles(const Plan& plan, const Stage& stage, int column) {
    return stage.twiddle < 0 ? nullptr : plan.twiddles + stage.twiddle + column * (stage.radix - 1);
}

template <bool Inverse>
UGODIT_INLINE Value twiddled(Value value, const Complex<float>* twiddle, int q) {
    return twiddle == nullptr || q == 0 ? value : fft::rotate<Inverse>(value, twiddle[q - 1]);
}

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

}  // namespace ugodit::UGODIT_ISA
