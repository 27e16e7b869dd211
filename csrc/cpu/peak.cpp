// How many multiply-adds a second the selected instruction set can do: the roof that benchmarks/bench_sense.py reports
// fractions of.
#include "cpu/simd.h"

namespace ugodit::UGODIT_ISA {

// Does `rounds` rounds of multiply-adds that do not wait for each other; returns how many float operations that was.
double multiply_adds(int rounds, float* result) {
    constexpr int kChains = 12;  // enough to hide the latency of two units, and few enough for 16 registers
    Vec sums[kChains];
    for (int i = 0; i < kChains; ++i) sums[i] = Vec::broadcast(1.0f + i);
    const Vec a = Vec::broadcast(0.999f), b = Vec::broadcast(0.001f);
    for (int round = 0; round < rounds; ++round) {
        UGODIT_UNROLL
        for (int i = 0; i < kChains; ++i) sums[i] = madd(a, sums[i], b);
    }
    Vec total = Vec::zero();
    for (int i = 0; i < kChains; ++i) total = total + sums[i];
    float lanes[Vec::kWidth];
    total.store(lanes);
    *result = lanes[0];
    return 2.0 * kChains * Vec::kWidth * rounds;
}

}  // namespace ugodit::UGODIT_ISA
