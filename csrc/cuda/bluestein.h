// The steps of Bluestein's algorithm that are not passes of its inner transform.
#pragma once

#include "cuda/block.h"
#include "cuda/transform.h"
#include "fft/complex.h"

namespace ugodit::cuda {

// Bluestein's algorithm on every block of `prime` positions: a product with a chirp, a circular convolution by the
// inner transform, the chirp again. An inverse transform is the forward one of the conjugate, conjugated.
template <class Block>
struct Bluestein {
    Block block;
    const Transform& transform;
    const Complex<float>* table;
    int copies, outer_offset, inner_offset;  // copies: lines in flight times blocks of a line

    UGODIT_DEVICE Complex<float>& outer(int copy, int sample) const {
        const int per_line = transform.chain.n / transform.prime, line = copy / per_line;
        const Padding padding = transform.chain.padding;
        return block.template shared<Complex<float>>(
            outer_offset)[line * padding.stride + padding.at((copy - line * per_line) * transform.prime + sample)];
    }
    UGODIT_DEVICE Complex<float>& inner(int copy, int position) const {
        const Padding padding = transform.inner.padding;
        return block.template shared<Complex<float>>(inner_offset)[copy * padding.stride + padding.at(position)];
    }
    UGODIT_DEVICE int sample_at(int position) const {
        return reinterpret_cast<const int*>(table)[transform.inner_sample + position];
    }

    template <bool Inverse>
    UGODIT_DEVICE void enter() const {
        block.each([&](int thread) {
            for (int i = thread; i < transform.inner.n; i += block.threads()) {
                const int sample = sample_at(i);
                for (int copy = 0; copy < copies; ++copy) {
                    Complex<float> value{0.0f, 0.0f};
                    if (sample < transform.prime) {
                        value = outer(copy, sample);
                        if (Inverse) value = fft::conjugate(value);
                        value = fft::multiply(value, table[transform.chirp + sample]);
                    }
                    inner(copy, i) = value;
                }
            }
        });
    }

    UGODIT_DEVICE void convolve() const {
        block.each([&](int thread) {
            for (int i = thread; i < transform.inner.n; i += block.threads()) {
                const Complex<float> factor = table[transform.spectrum + i];
                for (int copy = 0; copy < copies; ++copy) inner(copy, i) = fft::multiply(inner(copy, i), factor);
            }
        });
    }

    template <bool Inverse>
    UGODIT_DEVICE void leave() const {
        block.each([&](int thread) {
            for (int i = thread; i < transform.inner.n; i += block.threads()) {
                const int sample = sample_at(i);
                if (sample >= transform.prime) continue;
                for (int copy = 0; copy < copies; ++copy) {
                    const Complex<float> value = fft::multiply(inner(copy, i), table[transform.chirp + sample]);
                    outer(copy, sample) = Inverse ? fft::conjugate(value) : value;
                }
            }
        });
    }
};

}  // namespace ugodit::cuda
