// First and last pass: a plan's first stage, fused with the product by the maps and with the sum over coils.
#pragma once

#include "cpu/stages.h"

namespace ugodit::UGODIT_ISA {

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
    const auto butterflies = [&](auto radix)
                                 UGODIT_LAMBDA { apply_maps_radix<Rows, radix.value>(plan, maps, image, work); };
    if (!with_butterfly(plan.stages[0].radix, butterflies)) apply_maps_dense<Rows>(plan, maps, image, work, scratch);
}

template <int Rows>
void sum_coils_rows(const Plan& plan, const float* maps, const float* next, const float* work, float* image,
                    bool accumulate, float* scratch) {
    const auto butterflies = [&](auto radix) UGODIT_LAMBDA {
        sum_coils_radix<Rows, radix.value>(plan, maps, next, work, image, accumulate);
    };
    if (!with_butterfly(plan.stages[0].radix, butterflies)) {
        sum_coils_dense<Rows>(plan, maps, work, image, accumulate, scratch);
    }
}

}  // namespace ugodit::UGODIT_ISA
