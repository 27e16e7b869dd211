// Shrinkage of Haar wavelets, and its copies for each instruction set.
#pragma once

#include <cstddef>

#include "cpu/variant.h"

namespace ugodit {

// Images (items, 2, rows, columns), real and imaginary part; weights (items): the thresholds of orthonormal details.
// The grid of 2^levels x 2^levels blocks begins above and left of the image by `above` rows and `left` columns.
struct ShrinkCall {
    const float* image;
    const float* weights;
    float* result;
    int rows, columns;
    int levels, above, left;

    int block() const { return 1 << levels; }
    int strips() const { return (rows + above + block() - 1) / block(); }  // rows of blocks
    int padded() const { return (columns + left + block() - 1) / block() * block(); }
    // Floats of scratch that one strip needs: its coefficients at every level, and the coarser images in between.
    std::size_t scratch_floats() const { return std::size_t{4} * 2 * block() * padded(); }
};

using ShrinkStrip = void (*)(const ShrinkCall& call, int item, int strip, float* scratch);

UGODIT_DECLARE_VARIANTS(ShrinkStrip shrink_strip())

}  // namespace ugodit
