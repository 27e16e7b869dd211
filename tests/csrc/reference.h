// The operator, its solver and Haar shrinkage in double precision, written from their definitions: dense sums, no FFT.
#pragma once

#include <complex>
#include <vector>

namespace reference {

using Complex = std::complex<double>;
using Values = std::vector<Complex>;

// One item of a problem: maps (coils, height, width), weights (width) or (height, width).
struct Sense {
    int coils, height, width;
    bool both;
    Values maps;
    std::vector<double> weights;

    double weight(int h, int k) const { return weights[both ? static_cast<std::size_t>(h) * width + k : k]; }
    std::size_t at(int coil, int h, int w) const { return (static_cast<std::size_t>(coil) * height + h) * width + w; }
};

// F S x, (coils, height, width) in centred order.
Values transform(const Sense& sense, const Values& image);
// S^H F^H k.
Values adjoint(const Sense& sense, const Values& kspace);
// weights . k
Values weighted(const Sense& sense, Values kspace);

struct Solved {
    Values solution;
    double residual_energy;
};
// Conjugate gradients on (A^H W A + mu) x = rhs, a system for each row.
Solved solve(const Sense& sense, const Values& rhs, const Values& start, double mu, int iterations, double tolerance);

// See csrc/cpu/wavelet.h: an image (rows, columns).
Values shrink(const Values& image, int rows, int columns, int levels, int above, int left, double weight);

}  // namespace reference
