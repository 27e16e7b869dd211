// The kernels of multi-coil MRI: two bodies that one thread block runs for one image row. apply_body is the operator,
// its adjoint, or the residual's loss and gradient, as its program says; solve_body is a whole conjugate-gradient
// solve. row.h describes the arrays.
#pragma once

#include <cstdint>

#include "cuda/program.h"

namespace ugodit::cuda {

template <class Block>
UGODIT_DEVICE void apply_body(Block block, const ApplyArguments& arguments) {
    const Row<Block> row(block, arguments.sense);
    const Layout& layout = row.sense.layout;
    const bool wants_loss = arguments.row_loss != nullptr;
    Turn turn{layout.weights, layout.slots, nullptr, arguments.data_lines, wants_loss ? layout.parts : -1};
    const float* packed = nullptr;
    if (arguments.packed != nullptr) {
        packed = arguments.packed + row.item * arguments.packed_step;
        // Complex values start at an even number of floats.
        turn.data = reinterpret_cast<const Complex<float>*>(packed + (row.n + row.n % 2)) +
                    static_cast<std::int64_t>(row.row) * row.sense.coils * arguments.data_lines;
    }
    block.each([&](int thread) {
        if (arguments.image != nullptr) load_image(row, thread, arguments.image, layout.image);
        load_weights(row, thread);
        if (packed != nullptr) load_slots(row, thread, packed, arguments.data_lines);
        if (wants_loss) row.template shared<double>(layout.parts)[thread] = 0;
    });
    run_program<false>(row, turn, &arguments);
    const double loss = wants_loss ? block_sum<double>(block, layout.parts, layout.sums) : 0;
    block.each([&](int thread) {
        if (arguments.result != nullptr) store_image(row, thread, layout.result, arguments.result);
        if (wants_loss && thread == 0) arguments.row_loss[block.index()] = loss;
    });
}

UGODIT_DEVICE float dot(Complex<float> a, Complex<float> b) {
    return a.re * b.re + a.im * b.im;
}
UGODIT_DEVICE Complex<float> along(Complex<float> a, float step, Complex<float> b) {
    return {fft::madd(step, b.re, a.re), fft::madd(step, b.im, a.im)};
}

// Conjugate gradients on the row's own system, (S^H F^H weights F S + mu) x = rhs. In shared memory, by position: the
// direction (layout.image), what the system makes of it (layout.result), the solution and the residual. The residual of
// a start that is not zero is one more application of the system, round -1: the code of an application is there once.
template <class Block>
UGODIT_DEVICE void solve_body(Block block, const SolveArguments& arguments) {
    const Row<Block> row(block, arguments.sense);
    const Layout& layout = row.sense.layout;
    const Turn turn{layout.weights, -1, nullptr, 0, -1};
    const float mu = arguments.mu[row.item];
    Complex<float>* const direction = row.template shared<Complex<float>>(layout.image);
    Complex<float>* const applied = row.template shared<Complex<float>>(layout.result);
    Complex<float>* const solution = row.template shared<Complex<float>>(layout.solution);
    Complex<float>* const residual = row.template shared<Complex<float>>(layout.residual);
    // A phase that leaves in every thread's part what f(p) sums to over its positions, and the total.
    const auto total = [&](const auto& f) {
        block.each([&](int thread) {
            float part = 0;
            for (int p = thread; p < row.n; p += block.threads()) part += f(p);
            row.template shared<float>(layout.parts)[thread] = part;
        });
        return block_sum<float>(block, layout.parts, layout.sums);
    };

    block.each([&](int thread) {
        load_image(row, thread, arguments.rhs, layout.residual);
        load_image(row, thread, arguments.start, layout.image);
        load_weights(row, thread);
        if (layout.resident) {
            const int count = row.n * row.sense.coils;
            if (row.sense.half) {
                for (int i = thread; i < count; i += block.threads()) {
                    row.template shared<HalfPair>(layout.maps)[i] = row.template maps<HalfPair>()[i];
                }
            } else {
                for (int i = thread; i < count; i += block.threads()) {
                    row.template shared<Complex<float>>(layout.maps)[i] = row.template maps<Complex<float>>()[i];
                }
            }
        }
    });
    const bool started = total([&](int p) { return dot(direction[p], direction[p]); }) != 0;
    float energy = total([&](int p) {
        solution[p] = direction[p];
        if (!started) direction[p] = residual[p];
        return dot(residual[p], residual[p]);
    });
    const float target = arguments.tolerance * arguments.tolerance * energy;
    energy += 0.0f * mu;  // a mu that is not finite leaves no row as it was, not even zeros

    // Comparisons are false for NaN, and written so that a row with NaN in it goes on and becomes NaN.
    for (int round = started ? -1 : 0; round < arguments.iterations; ++round) {
        if (round >= 0 && energy <= target) break;
        run_program<true>(row, turn, nullptr);
        const float curvature = total([&](int p) {
            applied[p] = along(applied[p], mu, direction[p]);
            return dot(direction[p], applied[p]);
        });
        if (round >= 0 && curvature <= 0) break;
        const float step = round < 0 ? 1.0f : energy / curvature;
        const float renewed = total([&](int p) {
            if (round >= 0) solution[p] = along(solution[p], step, direction[p]);
            residual[p] = along(residual[p], -step, applied[p]);
            return dot(residual[p], residual[p]);
        });
        const float growth = round < 0 ? 0.0f : renewed / energy;
        energy = renewed;
        block.each([&](int thread) {
            for (int p = thread; p < row.n; p += block.threads()) {
                direction[p] = along(residual[p], growth, direction[p]);
            }
        });
    }
    block.each([&](int thread) {
        store_image(row, thread, layout.solution, arguments.solution);
        if (thread == 0) arguments.row_energy[block.index()] = energy;
    });
}

}  // namespace ugodit::cuda
