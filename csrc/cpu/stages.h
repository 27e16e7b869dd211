// Stages of a plan over `work`, in place, and what both ends of the chain share.
#pragma once

#include "cpu/dense_pass.h"
#include "fft/butterfly.h"
#include "fft/plan.h"

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

template <int Value>
struct Constant {
    static constexpr int value = Value;
};

// Calls visit(Constant<radix>) if the radix has a butterfly, and says whether it has.
template <class Visit>
UGODIT_INLINE bool with_butterfly(int radix, const Visit& visit) {
    switch (radix) {
        case 1:
            return visit(Constant<1>{}), true;
        case 2:
            return visit(Constant<2>{}), true;
        case 3:
            return visit(Constant<3>{}), true;
        case 4:
            return visit(Constant<4>{}), true;
        case 5:
            return visit(Constant<5>{}), true;
        case 6:
            return visit(Constant<6>{}), true;
        case 8:
            return visit(Constant<8>{}), true;
        case 12:
            return visit(Constant<12>{}), true;
        case 16:
            return visit(Constant<16>{}), true;
        default:
            return false;
    }
}

struct WorkData {
    float* work;
    UGODIT_INLINE Value load(int position) const { return load_value(work + position * kValue, kApart); }
    UGODIT_INLINE void store(int position, Value value) const { store_value(value, work + position * kValue, kApart); }
};

// Forward, decimation in frequency: DFT of the column, then its twiddles. `twiddle` points at the column's radix - 1
// values, or is nullptr where there are none.
template <int Radix>
UGODIT_INLINE void decimate(WorkData data, int first, int span, const Complex<float>* twiddle) {
    if (twiddle == nullptr) {
        fft::butterfly<Radix, false>([&](int q) UGODIT_LAMBDA { return data.load(first + q * span); },
                                     [&](int q, Value value) UGODIT_LAMBDA { data.store(first + q * span, value); });
    } else {
        fft::butterfly<Radix, false>([&](int q) UGODIT_LAMBDA { return data.load(first + q * span); },
                                     [&](int q, Value value) UGODIT_LAMBDA {
                                         data.store(first + q * span, twiddled<false>(value, twiddle, q));
                                     });
    }
}

// Inverse, decimation in time: the mirror image of decimate().
template <int Radix>
UGODIT_INLINE void assemble(WorkData data, int first, int span, const Complex<float>* twiddle) {
    if (twiddle == nullptr) {
        fft::butterfly<Radix, true>([&](int q) UGODIT_LAMBDA { return data.load(first + q * span); },
                                    [&](int q, Value value) UGODIT_LAMBDA { data.store(first + q * span, value); });
    } else {
        fft::butterfly<Radix, true>(
            [&](int q) UGODIT_LAMBDA { return twiddled<true>(data.load(first + q * span), twiddle, q); },
            [&](int q, Value value) UGODIT_LAMBDA { data.store(first + q * span, value); });
    }
}

template <bool Inverse, int Radix>
void stage_radix(const Plan& plan, const Stage& stage, int base, WorkData data) {
    for (int j = 0; j < stage.span; ++j) {
        const Complex<float>* twiddle = column_twiddles(plan, stage, j);
        if constexpr (Inverse) {
            assemble<Radix>(data, base + j, stage.span, twiddle);
        } else {
            decimate<Radix>(data, base + j, stage.span, twiddle);
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
    const auto butterflies = [&](auto radix) UGODIT_LAMBDA {
        if constexpr (radix.value > 1) stage_radix<Inverse, radix.value>(plan, stage, base, data);
    };
    if (!with_butterfly(stage.radix, butterflies)) stage_dense<Inverse>(plan, stage, base, data, scratch);
}

}  // namespace ugodit::UGODIT_ISA
