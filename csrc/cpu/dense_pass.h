// DFTs of odd prime length R = 2 J + 1 without a butterfly, as small matrix products. With even(j) = x(j) + x(R - j)
// and odd(j) = x(j) - x(R - j),
//     X(k), X(R - k) = x(0) + sum_j cos(2 pi j k / R) even(j)  -+  i sum_j sin(2 pi j k / R) odd(j):
// a pair of outputs costs 4 J multiply-adds, and pairs that nobody needs are left out, as are pairs of inputs known to
// be zero: with a mask that is most of the work.
#pragma once

#include "cpu/sense_lanes.h"

namespace ugodit::UGODIT_ISA {

using fft::Complex;

#if defined(UGODIT_ISA_AVX512)
constexpr int kPairs = 6;  // pairs of outputs at once: 4 accumulators each, 4 inputs, within 32 registers
#else
constexpr int kPairs = 2;
#endif

// [pair][4][kWidth]: even re, im, odd re, im
constexpr int kFolded = 4 * kApart;

UGODIT_INLINE void store_folded(float* folded, Value a, Value b) {
    store_value(a + b, folded, kApart);
    store_value(a - b, folded + kValue, kApart);
}

// A pair of inputs, folded.
struct Folded {
    Value even, odd;
};

UGODIT_INLINE Folded load_folded(const float* folded, int j) {
    const float* input = folded + j * kFolded;
    return {load_value(input, kApart), load_value(input + kValue, kApart)};
}

// The products for Count pairs of outputs: emit(i, even sum, odd sum turned by -i or +i).
// Coefficient of input pair j for output i: rows[i][index(j)].
template <int Count, bool Inverse, class Input, class Index, class Emit>
UGODIT_INLINE void dense_pairs(const Input& input, int inputs, const Complex<float>* const* rows, const Index& index,
                               const Emit& emit) {
    Vec sums[Count][4];
    UGODIT_UNROLL
    for (int i = 0; i < Count; ++i) {
        UGODIT_UNROLL
        for (int part = 0; part < 4; ++part) sums[i][part] = Vec::zero();
    }
    for (int j = 0; j < inputs; ++j) {
        const Folded here = input(j);
        const int column = index(j);
        UGODIT_UNROLL
        for (int i = 0; i < Count; ++i) {
            const Vec cosine = Vec::broadcast(rows[i][column].re), sine = Vec::broadcast(rows[i][column].im);
            sums[i][0] = madd(cosine, here.even.re, sums[i][0]);
            sums[i][1] = madd(cosine, here.even.im, sums[i][1]);
            sums[i][2] = madd(sine, here.odd.re, sums[i][2]);
            sums[i][3] = madd(sine, here.odd.im, sums[i][3]);
        }
    }
    UGODIT_UNROLL
    for (int i = 0; i < Count; ++i) {
        emit(i, Value{sums[i][0], sums[i][1]}, fft::quarter_turn<Inverse>(Value{sums[i][2], sums[i][3]}));
    }
}

// All pairs of outputs out(i), i < outputs, kPairs at a time: emit(out(i), even, turned odd), out(i) being k - 1.
template <bool Inverse, class Input, class Index, class Output, class Emit>
UGODIT_INLINE void dense_product(const Input& input, int inputs, const Complex<float>* roots, int half,
                                 const Index& index, int outputs, const Output& output, const Emit& emit) {
    for (int done = 0; done < outputs;) {
        // Chunks of nearly equal size: a last chunk of one pair would wait for its own additions.
        const int left = outputs - done, chunks = (left + kPairs - 1) / kPairs, count = (left + chunks - 1) / chunks;
        const Complex<float>* rows[kPairs];
        for (int i = 0; i < count; ++i) rows[i] = roots + static_cast<std::ptrdiff_t>(output(done + i)) * half;
        const auto emit_one = [&](int i, Value even, Value odd)
                                  UGODIT_LAMBDA { emit(done + i, output(done + i), even, odd); };
        switch (count) {
            case 1:
                dense_pairs<1, Inverse>(input, inputs, rows, index, emit_one);
                break;
            case 2:
                dense_pairs<2, Inverse>(input, inputs, rows, index, emit_one);
                break;
#if defined(UGODIT_ISA_AVX512)
            case 3:
                dense_pairs<3, Inverse>(input, inputs, rows, index, emit_one);
                break;
            case 4:
                dense_pairs<4, Inverse>(input, inputs, rows, index, emit_one);
                break;
            case 5:
                dense_pairs<5, Inverse>(input, inputs, rows, index, emit_one);
                break;
            case 6:
                dense_pairs<6, Inverse>(input, inputs, rows, index, emit_one);
                break;
#endif
            default:
                __builtin_unreachable();
        }
        done += count;
    }
}

// A whole DFT: load(q) gives the inputs, store(k, value) takes the outputs; every input is read before the first
// output.
template <bool Inverse, class Load, class Store>
UGODIT_INLINE void dense_dft(int radix, const Complex<float>* roots, float* folded, const Load& load,
                             const Store& store) {
    const int half = (radix - 1) / 2;
    const Value first = load(0);
    Value sum = first;
    for (int j = 1; j <= half; ++j) {
        const Value a = load(j), b = load(radix - j);
        store_folded(folded + (j - 1) * kFolded, a, b);
        sum = sum + (a + b);
    }
    store(0, sum);
    dense_product<Inverse>([&](int j) UGODIT_LAMBDA { return load_folded(folded, j); }, half, roots, half,
                           [](int j) UGODIT_LAMBDA { return j; }, half, [](int i) UGODIT_LAMBDA { return i; },
                           [&](int, int k, Value even, Value odd) UGODIT_LAMBDA {
                               const Value middle = first + even;
                               store(k + 1, middle + odd);
                               store(radix - k - 1, middle - odd);
                           });
}

}  // namespace ugodit::UGODIT_ISA
