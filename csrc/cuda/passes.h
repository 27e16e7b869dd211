// The DFT of many lines in shared memory by one thread block: every thread owns a column of a pass at a time.
//
// Passes work in place, so that a pass is one trip through shared memory and one barrier. Where the last stage has a
// small butterfly, its forward and its inverse pass are one: the thread transforms, compares with the data, weighs, and
// transforms back what only it touches.
#pragma once

#include "cuda/block.h"
#include "cuda/radices.h"
#include "cuda/transform.h"
#include "fft/complex.h"

namespace ugodit::cuda {

#if defined(__CUDACC__)
// Data read once: cached where all multiprocessors share it, not in the few KB beside shared memory.
UGODIT_DEVICE Complex<float> stream(const Complex<float>* p) {
    const float2 value = __ldcg(reinterpret_cast<const float2*>(p));
    return {value.x, value.y};
}
// The same value, as far as the compiler knows another one: addresses computed from it are computed again rather than
// kept in a register each while a butterfly is at work.
UGODIT_DEVICE int afresh(int value) {
    asm("" : "+r"(value));
    return value;
}
#else
inline Complex<float> stream(const Complex<float>* p) {
    return *p;
}
inline int afresh(int value) {
    return value;
}
#endif

// From shared memory. For the largest radices by halves: moving pairs at once would ask for registers in pairs.
template <int Radix>
UGODIT_DEVICE Complex<float> fetch(const Complex<float>* p) {
    if constexpr (Radix > kLargestWrittenOut) {
        const volatile float* halves = reinterpret_cast<const volatile float*>(p);
        const float re = halves[0], im = halves[1];
        return {re, im};
    } else {
        return *p;
    }
}

// One pass over `lines` lines at an offset in shared memory.
struct Pass {
    DeviceStage stage;
    Padding padding;
    const Complex<float>* twiddles;  // nullptr: none
    const Complex<float>* roots;
    int lines, offset;
};

// The column with this number: its line, and its first position in it.
struct Column {
    int line, first, within;  // within: of its block, 0 <= within < span
};
UGODIT_DEVICE Column column_of(const DeviceStage& stage, int number) {
    const int line = stage.columns.divide(number);
    const int column = number - line * stage.columns.divisor;
    const int block = stage.spans.divide(column);
    const int within = column - block * stage.span;
    return {line, block * stage.radix * stage.span + within, within};
}

template <int Radix, bool Inverse, class Block>
UGODIT_DEVICE void radix_pass(Block block, const Pass& pass) {
    block.each([&](int thread) {
        const int count = pass.lines * pass.stage.columns.divisor;
        for (int number = thread; number < count; number += block.threads()) {
            const Column column = column_of(pass.stage, number);
            Complex<float>* line =
                block.template shared<Complex<float>>(pass.offset) + column.line * pass.padding.stride;
            const Complex<float>* twiddle = pass.twiddles + column.within;
            const int span = afresh(pass.stage.span), span_out = afresh(span), target = afresh(column.first);
            butterfly<Radix, Inverse>(
                [&](int q) {
                    const Complex<float> value = fetch<Radix>(line + pass.padding.at(column.first + q * span));
                    if (Radix > kLargestSmall || !Inverse || q == 0 || pass.twiddles == nullptr) return value;
                    return fft::rotate<true>(value, twiddle[(q - 1) * span]);
                },
                [&](int q, Complex<float> value) {
                    if (Radix <= kLargestSmall && !Inverse && q != 0 && pass.twiddles != nullptr) {
                        value = fft::rotate<false>(value, twiddle[(q - 1) * span_out]);
                    }
                    line[pass.padding.at(target + q * span_out)] = value;
                });
        }
    });
}

// The twiddles of a stage whose passes do not apply them.
template <bool Inverse, class Block>
UGODIT_DEVICE void twiddle_pass(Block block, const Pass& pass) {
    block.each([&](int thread) {
        const int n = pass.stage.columns.divisor * pass.stage.radix;
        for (int position = thread; position < n; position += block.threads()) {
            const int number = pass.stage.spans.divide(position), q = number % pass.stage.radix;
            if (q == 0) continue;
            const Complex<float> twiddle =
                pass.twiddles[(q - 1) * pass.stage.span + position - number * pass.stage.span];
            for (int line = 0; line < pass.lines; ++line) {
                Complex<float>& value = block.template shared<Complex<float>>(
                    pass.offset)[line * pass.padding.stride + pass.padding.at(position)];
                value = fft::rotate<Inverse>(value, twiddle);
            }
        }
    });
}

// A prime without butterfly, out of place, from the lines at pass.offset to those at `target`. A thread computes
// outputs k and radix - k together from the folded inputs; neighbours read the same inputs and neighbouring roots. Such
// a prime divides a width up to 1024 once, so that there are no twiddles.
template <bool Inverse, class Block>
UGODIT_DEVICE void dense_pass(Block block, const Pass& pass, int target) {
    block.each([&](int thread) {
        const int radix = pass.stage.radix, span = pass.stage.span, half = (radix - 1) / 2;
        const int count = pass.lines * pass.stage.columns.divisor * (half + 1);
        for (int unit = thread; unit < count; unit += block.threads()) {
            const int number = unit / (half + 1), k = unit - number * (half + 1);
            const Column column = column_of(pass.stage, number);
            const int shift = column.line * pass.padding.stride;
            const Complex<float>* from = block.template shared<Complex<float>>(pass.offset) + shift;
            Complex<float>* to = block.template shared<Complex<float>>(target) + shift;
            const Complex<float>* root = pass.roots + k - 1;
            Complex<float> even = from[pass.padding.at(column.first)], odd{0.0f, 0.0f};
            for (int q = 1; q <= half; ++q) {
                const Complex<float> a = from[pass.padding.at(column.first + q * span)];
                const Complex<float> b = from[pass.padding.at(column.first + (radix - q) * span)];
                if (k == 0) {
                    even = even + (a + b);
                    continue;
                }
                // Symmetric in k and q: read along k.
                const Complex<float> value = root[(q - 1) * half];
                even = {fft::madd(value.re, a.re + b.re, even.re), fft::madd(value.re, a.im + b.im, even.im)};
                odd = {fft::madd(value.im, a.re - b.re, odd.re), fft::madd(value.im, a.im - b.im, odd.im)};
            }
            odd = fft::quarter_turn<Inverse>(odd);
            to[pass.padding.at(column.first + k * span)] = even + odd;
            if (k > 0) to[pass.padding.at(column.first + (radix - k) * span)] = even - odd;
        }
    });
}

// What to do with the measured space. All in shared memory but the data: [lines][data_lines] of this row's coils.
struct Turn {
    int weights;                 // float [n] by position
    int slots;                   // int [n] by position: a line's place in the data, or -1: zeros, or weight zero
    const Complex<float>* data;  // nullptr: zeros
    int data_lines;
    int parts;  // double [threads]: every thread adds its share of the loss; -1: no loss is wanted
};

template <class Block>
UGODIT_DEVICE Complex<float> datum(Block block, const Turn& turn, int line, int position) {
    if (turn.data == nullptr) return {0.0f, 0.0f};
    const int slot = block.template shared<int>(turn.slots)[position];
    if (slot < 0) return {0.0f, 0.0f};
    return stream(turn.data + line * turn.data_lines + slot);
}

// weight (value - datum), and its share of the loss.
template <class Block>
UGODIT_DEVICE Complex<float> weigh(Block block, const Turn& turn, int position, Complex<float> value,
                                   Complex<float> datum, float& loss) {
    const float weight = block.template shared<float>(turn.weights)[position];
    const Complex<float> rest = value - datum;
    const Complex<float> weighed{weight * rest.re, weight * rest.im};
    loss = fft::madd(weighed.re, rest.re, fft::madd(weighed.im, rest.im, loss));
    return weighed;
}

template <int Radix, class Block>
UGODIT_DEVICE void radix_turn(Block block, const Pass& pass, const Turn& turn) {
    block.each([&](int thread) {
        const int count = pass.lines * pass.stage.columns.divisor;
        double total = 0;
        for (int number = thread; number < count; number += block.threads()) {
            const int index = pass.stage.columns.divide(number);
            const int first = (number - index * pass.stage.columns.divisor) * Radix;
            Complex<float>* line = block.template shared<Complex<float>>(pass.offset) + index * pass.padding.stride;
            const int target = afresh(first);
            // The data first, all under way at once: they come from far away.
            Complex<float> data[Radix], column[Radix];
            UGODIT_UNROLL
            for (int q = 0; q < Radix; ++q) data[q] = datum(block, turn, index, first + q);
            float loss = 0;
            butterfly<Radix, false>(
                [&](int q) { return line[pass.padding.at(first + q)]; },
                [&](int q, Complex<float> value) { column[q] = weigh(block, turn, first + q, value, data[q], loss); });
            butterfly<Radix, true>([&](int q) { return column[q]; },
                                   [&](int q, Complex<float> value) { line[pass.padding.at(target + q)] = value; });
            total += loss;
        }
        if (turn.parts >= 0) block.template shared<double>(turn.parts)[thread] += total;
    });
}

// The turn alone, for widths whose last stage is too large for that.
template <class Block>
UGODIT_DEVICE void weigh_lines(Block block, Padding padding, int n, int lines, int offset, const Turn& turn) {
    block.each([&](int thread) {
        double total = 0;
        for (int position = thread; position < n; position += block.threads()) {
            for (int line = 0; line < lines; ++line) {
                Complex<float>& value =
                    block.template shared<Complex<float>>(offset)[line * padding.stride + padding.at(position)];
                float loss = 0;
                value = weigh(block, turn, position, value, datum(block, turn, line, position), loss);
                total += loss;
            }
        }
        if (turn.parts >= 0) block.template shared<double>(turn.parts)[thread] += total;
    });
}

}  // namespace ugodit::cuda
