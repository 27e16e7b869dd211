// One butterfly of one pass of a plan, for whoever loops over blocks and columns: a SIMD loop or a CUDA thread.
//
// `Data` has `Complex<T> load(int position) const` and `void store(int position, Complex<T>) const`.
#pragma once

#include "fft/butterfly.h"
#include "fft/plan.h"

namespace ugodit::fft {

// Forward, decimation in frequency: DFT of the column, then its twiddles. `twiddle` points at the column's radix - 1
// values, or is nullptr where there are none.
template <int Radix, class Data>
UGODIT_HD void decimate(const Data& data, int first, int span, const Complex<float>* twiddle) {
    if (twiddle == nullptr) {
        butterfly<Radix, false>([&](int q) UGODIT_LAMBDA { return data.load(first + q * span); },
                                [&](int q, auto value) UGODIT_LAMBDA { data.store(first + q * span, value); });
    } else {
        butterfly<Radix, false>([&](int q) UGODIT_LAMBDA { return data.load(first + q * span); },
                                [&](int q, auto value) UGODIT_LAMBDA {
                                    data.store(first + q * span, q == 0 ? value : rotate<false>(value, twiddle[q - 1]));
                                });
    }
}

// Inverse, decimation in time: the mirror image of decimate().
template <int Radix, class Data>
UGODIT_HD void assemble(const Data& data, int first, int span, const Complex<float>* twiddle) {
    if (twiddle == nullptr) {
        butterfly<Radix, true>([&](int q) UGODIT_LAMBDA { return data.load(first + q * span); },
                               [&](int q, auto value) UGODIT_LAMBDA { data.store(first + q * span, value); });
    } else {
        butterfly<Radix, true>(
            [&](int q) UGODIT_LAMBDA {
                const auto value = data.load(first + q * span);
                return q == 0 ? value : rotate<true>(value, twiddle[q - 1]);
            },
            [&](int q, auto value) UGODIT_LAMBDA { data.store(first + q * span, value); });
    }
}

// Output k of a DFT whose radix has no butterfly, straight from its inputs at first + q span: for a thread that owns
// one output and writes it after a barrier, since the others still read the inputs. `roots` as in Plan.
template <bool Inverse, class T, class Data>
UGODIT_HD Complex<T> dense_output(const Data& data, int first, int span, int radix, int k,
                                  const Complex<float>* roots) {
    const int half = (radix - 1) / 2;
    Complex<T> even = data.load(first);
    if (k == 0) {
        for (int q = 1; q < radix; ++q) even = even + data.load(first + q * span);
        return even;
    }
    const bool mirrored = k > half;
    const Complex<float>* row = roots + ((mirrored ? radix - k : k) - 1) * half;
    Complex<T> odd{Broadcast<T>::of(0.0f), Broadcast<T>::of(0.0f)};
    for (int q = 1; q <= half; ++q) {
        const Complex<T> a = data.load(first + q * span), b = data.load(first + (radix - q) * span);
        const T cosine = Broadcast<T>::of(row[q - 1].re), sine = Broadcast<T>::of(row[q - 1].im);
        even = {madd(cosine, a.re + b.re, even.re), madd(cosine, a.im + b.im, even.im)};
        odd = {madd(sine, a.re - b.re, odd.re), madd(sine, a.im - b.im, odd.im)};
    }
    odd = quarter_turn<Inverse>(odd);
    return mirrored ? even - odd : even + odd;
}

}  // namespace ugodit::fft
