// Butterflies that pay on a GPU beside those of fft/butterfly.h: a thread has up to 255 registers, and every pass saved
// saves a trip through shared memory and a barrier. Odd primes up to 31 with their cosines as literals in the code, and
// products of two coprime factors without twiddles.
#pragma once

#include <utility>

#include "fft/butterfly.h"

namespace ugodit::cuda {

using fft::Complex;

// cos(2 pi k / n) and sin(2 pi k / n) while compiling: a Taylor series on [-pi, pi], exact to double precision.
constexpr double series(double start, double square, int first) {
    double term = start, sum = start;
    for (int i = first; i < first + 40; i += 2) {
        term *= -square / (i * (i + 1.0));
        sum += term;
    }
    return sum;
}
constexpr double angle_of(int k, int n) {
    return 2 * 3.14159265358979323846 * (2 * k > n ? k - n : k) / n;
}
template <int K, int N>
constexpr float kCosine = static_cast<float>(series(1.0, angle_of(K, N) * angle_of(K, N), 1));
template <int K, int N>
constexpr float kSine = static_cast<float>(series(angle_of(K, N), angle_of(K, N) * angle_of(K, N), 2));

// Outputs K and Prime - K from the folded inputs: sums[q] = a_(q+1) + a_(P-q-1), differences[q] = a_(q+1) - a_(P-q-1).
template <int Prime, int K, bool Inverse, class Out, int... Q>
UGODIT_HD void prime_pair(Complex<float> first, const Complex<float>* sums, const Complex<float>* differences,
                          const Out& out, std::integer_sequence<int, Q...>) {
    Complex<float> even = first, odd{0.0f, 0.0f};
    ((even.re = fft::madd(kCosine<K*(Q + 1) % Prime, Prime>, sums[Q].re, even.re),
      even.im = fft::madd(kCosine<K*(Q + 1) % Prime, Prime>, sums[Q].im, even.im),
      odd.re = fft::madd(kSine<K*(Q + 1) % Prime, Prime>, differences[Q].re, odd.re),
      odd.im = fft::madd(kSine<K*(Q + 1) % Prime, Prime>, differences[Q].im, odd.im)),
     ...);
    odd = fft::quarter_turn<Inverse>(odd);
    out(K, even + odd);
    out(Prime - K, even - odd);
}

// cos and sin of 2 pi (k + 1) (q + 1) / Prime, row after row.
template <int Prime>
struct PrimeRoots {
    static constexpr int kHalf = (Prime - 1) / 2;
    float value[kHalf][kHalf][2];
};
template <int Prime>
constexpr PrimeRoots<Prime> prime_roots() {
    PrimeRoots<Prime> roots{};
    for (int k = 1; k <= roots.kHalf; ++k) {
        for (int q = 1; q <= roots.kHalf; ++q) {
            const double angle = angle_of(k * q % Prime, Prime);
            roots.value[k - 1][q - 1][0] = static_cast<float>(series(1.0, angle * angle, 1));
            roots.value[k - 1][q - 1][1] = static_cast<float>(series(angle, angle * angle, 2));
        }
    }
    return roots;
}
#if defined(__CUDACC__)
template <int Prime>
__constant__ PrimeRoots<Prime> kPrimeRoots = prime_roots<Prime>();
#else
template <int Prime>
constexpr PrimeRoots<Prime> kPrimeRoots = prime_roots<Prime>();
#endif

// Literals up to here. Written out, the pairs of a larger prime are interleaved by the compiler until registers run
// out; a loop keeps them in turn.
constexpr int kLargestWrittenOut = 23;

template <int Prime, bool Inverse, class In, class Out, int... Q>
UGODIT_HD void prime_butterfly(const In& in, const Out& out, std::integer_sequence<int, Q...> half) {
    const Complex<float> first = in(0);
    Complex<float> sums[sizeof...(Q)], differences[sizeof...(Q)];
    (
        [&] {
            const Complex<float> a = in(Q + 1), b = in(Prime - 1 - Q);
            sums[Q] = a + b;
            differences[Q] = a - b;
        }(),
        ...);
    Complex<float> total = first;
    ((total = total + sums[Q]), ...);
    out(0, total);
    if constexpr (Prime <= kLargestWrittenOut) {
        (prime_pair<Prime, Q + 1, Inverse>(first, sums, differences, out, half), ...);
    } else {
#if defined(__CUDACC__)
#pragma unroll 1
#endif
        for (int k = 0; k < static_cast<int>(sizeof...(Q)); ++k) {
            const float (*root)[2] = kPrimeRoots<Prime>.value[k];
            Complex<float> even = first, odd{0.0f, 0.0f};
            ((even.re = fft::madd(root[Q][0], sums[Q].re, even.re),
              even.im = fft::madd(root[Q][0], sums[Q].im, even.im),
              odd.re = fft::madd(root[Q][1], differences[Q].re, odd.re),
              odd.im = fft::madd(root[Q][1], differences[Q].im, odd.im)),
             ...);
            odd = fft::quarter_turn<Inverse>(odd);
            out(k + 1, even + odd);
            out(Prime - 1 - k, even - odd);
        }
    }
}

template <int Radix, bool Inverse, class In, class Out>
UGODIT_HD void butterfly(const In& in, const Out& out);

// Radix A B with coprime A and B (Good 1958, Thomas 1963): sample (a B + b A) mod A B, frequency k where k mod A and
// k mod B are the two short transforms' frequencies.
template <int A, int B, bool Inverse, class In, class Out>
UGODIT_HD void product_butterfly(const In& in, const Out& out) {
    Complex<float> value[B][A];
    UGODIT_UNROLL
    for (int b = 0; b < B; ++b) {
        butterfly<A, Inverse>([&](int a) { return in((a * B + b * A) % (A * B)); },
                              [&](int a, Complex<float> v) { value[b][a] = v; });
    }
    UGODIT_UNROLL
    for (int a = 0; a < A; ++a) {
        butterfly<B, Inverse>([&](int b) { return value[b][a]; },
                              [&](int b, Complex<float> v) {
                                  int k = a;
                                  UGODIT_UNROLL
                                  for (int turn = 0; turn < B; ++turn) {
                                      if (k % B != b) k += A;
                                  }
                                  out(k, v);
                              });
    }
}

// As fft::butterfly: natural order on both sides, all reads before the first write.
template <int Radix, bool Inverse, class In, class Out>
UGODIT_HD void butterfly(const In& in, const Out& out) {
    if constexpr (Radix == 10) {
        product_butterfly<5, 2, Inverse>(in, out);
    } else if constexpr (Radix == 14) {
        product_butterfly<7, 2, Inverse>(in, out);
    } else if constexpr (Radix == 15) {
        product_butterfly<5, 3, Inverse>(in, out);
    } else if constexpr (Radix == 20) {
        product_butterfly<5, 4, Inverse>(in, out);
    } else if constexpr (Radix == 24) {
        product_butterfly<8, 3, Inverse>(in, out);
    } else if constexpr (Radix > 6 && Radix % 2 == 1) {
        prime_butterfly<Radix, Inverse>(in, out, std::make_integer_sequence<int, (Radix - 1) / 2>{});
    } else {
        fft::butterfly<Radix, Inverse>(in, out);
    }
}

// apply(R) for every radix that has a butterfly here.
#define UGODIT_SMALL_RADICES(apply)                                                                                  \
    apply(2) apply(3) apply(4) apply(5) apply(6) apply(7) apply(8) apply(10) apply(11) apply(12) apply(13) apply(14) \
        apply(15) apply(16)
#define UGODIT_RADICES(apply) \
    UGODIT_SMALL_RADICES(apply) apply(17) apply(19) apply(20) apply(23) apply(24) apply(29) apply(31)

// Up to here a thread has the registers to keep what it transformed and transform it back, and to apply twiddles on the
// way. Larger radices leave both to steps of their own; hardly a width needs them to.
constexpr int kLargestSmall = 16;

inline bool has_device_butterfly(int radix) {
    switch (radix) {
#define UGODIT_CASE(R) case R:
        UGODIT_RADICES(UGODIT_CASE)
#undef UGODIT_CASE
        case 1:
            return true;
        default:
            return false;
    }
}

}  // namespace ugodit::cuda
