// How one DFT length is evaluated: a chain of in-place passes and the order they leave the data in.
//
// A plan works on `n` *positions*. Position i holds sample input[i] before the forward passes and frequency output[i]
// after them; the inverse passes, run backwards, take frequencies from there and leave samples where they were.
// Nothing is ever reordered: whoever fills, masks or empties the positions looks its index up.
//
// Stage s splits every block of radix * span positions into `radix` blocks of `span`. Forward (decimation in
// frequency): for each column j < span, a DFT over the positions base + q span + j, q < radix, then a twiddle that
// depends on (q, j); the stages after it then work inside each block of `span`. The last stage has span 1. Where radix
// and span are coprime the block is indexed as Good and Thomas did (sample = q span + j radix mod radix span) and needs
// no twiddle.
//
// Plain data, so that a CUDA kernel can use it after its tables have been copied to the device.
#pragma once

#include "fft/complex.h"

namespace ugodit::fft {

constexpr int kMaxStages = 12;
// On the CPU, primes above this go through Bluestein's algorithm; below it a dense DFT with symmetric folding is
// cheaper.
constexpr int kLargestDensePrime = 127;

// The longest transform, and the largest prime that Bluestein's algorithm is set up for: its table takes that number
// squared operations, some seconds for the largest.
constexpr int kLongest = 1 << 20;
constexpr int kLargestPrime = 1 << 15;

// What decides the chain of radices of a length: what the passes cost on the machine that will run them.
struct Machine {
    bool (*has_butterfly)(int radix);
    double (*stage_cost)(int radix, bool last);  // of one DFT of that radix
    double (*twiddle_cost)(int radix);           // of a position, where a stage of that radix needs twiddles
    double pass_cost;                            // of a position: the loads and stores of one more pass
    int largest_dense_prime;
};
extern const Machine kProcessor;

struct Stage {
    int radix;
    int span;
    int twiddle;  // offset into Plan::twiddles of [span][radix - 1] values exp(-2 pi i q j / (radix span)), or -1: none
    int roots;    // offset into Plan::roots where the radix has no butterfly, else -1
};

struct Plan {
    int n;
    int stage_count;
    Stage stages[kMaxStages];
    const int* input;   // [n]
    const int* output;  // [n]
    const int* visit;   // [n] the samples in the order the first pass reads them: column by column, [span][radix]
    const Complex<float>* twiddles;  // forward
    // For a stage without butterfly, radix = 2 J + 1: [J][J] values (cos, sin)(2 pi (k + 1) (j + 1) / radix).
    const Complex<float>* roots;
    // Where the last stage has a butterfly: its [radix] values exp(-2 pi i t / radix).
    const Complex<float>* last_roots;
    // Bluestein's algorithm for the last stage, or nullptr. chirp[k] = exp(-i pi k^2 / radix), k < radix; spectrum: the
    // DFT of the conjugate chirp divided by inner->n, at the inner plan's positions after its forward passes.
    const Plan* inner;
    const Complex<float>* chirp;
    const Complex<float>* spectrum;
};

// The plan for length n >= 1, built on the first call, kept for the life of the process. Host only, thread-safe. Throws
// std::invalid_argument for other lengths than 1 to kLongest, and where a prime factor is above kLargestPrime, two are
// above machine.largest_dense_prime, or there are too many factors.
const Plan& plan_for(int n, const Machine& machine = kProcessor);

}  // namespace ugodit::fft
