// The kernels of multi-coil MRI: two bodies that one thread block runs for one image row. apply_body is the operator,
// its adjoint, or the residual's loss and gradient, as its program says; solve_body is a whole conjugate-gradient
// solve.
//
// Layouts. Images are the caller's: float [items][2][rows][n], centred. Sensitivity maps are packed by the Python side:
// [items][rows][coils][n] complex values in position order (fft/plan.h), divided by sqrt(n), so that the transforms
// here have no scale. K-space is packed as, for each item, n numbers (the slot of the line at each position, -1 where a
// line holds nothing but zeros) and then complex [rows][coils][lines]: lines that were not measured are not stored.
#pragma once

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#endif

#include <cstdint>

#include "cuda/passes.h"

namespace ugodit::cuda {

// Two halves; arithmetic is done in float.
struct alignas(4) HalfPair {
    std::uint16_t re, im;
};

#if defined(__CUDACC__)
UGODIT_DEVICE float widen(std::uint16_t half) {
    return __half2float(__ushort_as_half(half));
}
UGODIT_DEVICE Complex<float> stream(const HalfPair* p) {
    const std::uint32_t both = __ldcg(reinterpret_cast<const unsigned int*>(p));
    return {widen(static_cast<std::uint16_t>(both & 0xffff)), widen(static_cast<std::uint16_t>(both >> 16))};
}
#else
inline float widen(std::uint16_t half) {
    const std::uint32_t exponent = half >> 10 & 31, fraction = half & 1023;
    float value = static_cast<float>(fraction) / 16777216.0f;  // subnormal: fraction 2^-24
    if (exponent > 0) {
        value = (1.0f + static_cast<float>(fraction) / 1024.0f) * static_cast<float>(1u << exponent) / 32768.0f;
    }
    return half >> 15 ? -value : value;
}
inline Complex<float> stream(const HalfPair* p) {
    return {widen(p->re), widen(p->im)};
}
#endif
UGODIT_DEVICE Complex<float> convert(Complex<float> value) {
    return value;
}
UGODIT_DEVICE Complex<float> convert(HalfPair value) {
    return {widen(value.re), widen(value.im)};
}

// What every kernel takes. A step of 0 between items means that all items share the array.
struct SenseArguments {
    Transform transform;
    Program program;
    Layout layout;
    const Complex<float>* table;
    int coils, rows;
    const void* maps;  // HalfPair where half, else Complex<float>
    bool half;
    const float* weights;                // [items][n]
    std::int64_t map_step, weight_step;  // in elements
};

struct ApplyArguments {
    SenseArguments sense;
    const float* image;   // nullptr for the adjoint
    const float* packed;  // residual: the data, or nullptr for zeros
    std::int64_t packed_step;
    int data_lines;
    double* row_loss;              // residual: [items][rows]
    const Complex<float>* kspace;  // adjoint: [items][coils][rows][n]
    std::int64_t kspace_step;      // ... in elements between items
    Complex<float>* projection;    // forward: [items][coils][rows][n]
    float* result;                 // residual: the gradient; adjoint: the image; forward: nullptr
};

struct SolveArguments {
    SenseArguments sense;
    const float* rhs;
    const float* start;
    const float* mu;  // [items]
    float* solution;
    double* row_energy;  // [items][rows]: |residual|^2
    int iterations;
    float tolerance;
};

// Loads of maps that a thread has under way at a time.
constexpr int kBatch = 8;

// One block's row: which, and its pieces.
template <class Block>
struct Row {
    Block block;
    const SenseArguments& sense;
    int item, row, n;

    UGODIT_DEVICE Row(Block block, const SenseArguments& sense)
        : block(block),
          sense(sense),
          item(block.index() / sense.rows),
          row(block.index() - item * sense.rows),
          n(sense.transform.chain.n) {}

    template <class T>
    UGODIT_DEVICE T* shared(int offset) const {
        return block.template shared<T>(offset);
    }
    UGODIT_DEVICE const int* sample_position() const {
        return reinterpret_cast<const int*>(sense.table) + sense.transform.sample_position;
    }
    UGODIT_DEVICE const int* frequency_position() const {
        return reinterpret_cast<const int*>(sense.table) + sense.transform.frequency_position;
    }
    UGODIT_DEVICE const float* weights() const { return sense.weights + item * sense.weight_step; }
    template <class Stored>
    UGODIT_DEVICE const Stored* maps() const {
        return static_cast<const Stored*>(sense.maps) + item * sense.map_step +
               static_cast<std::int64_t>(row) * sense.coils * n;
    }
    // Of the real channel of this row in an image; the imaginary channel is image_step() further.
    UGODIT_DEVICE std::int64_t image_offset() const {
        return (2 * static_cast<std::int64_t>(item) * sense.rows + row) * n;
    }
    UGODIT_DEVICE std::int64_t image_step() const { return static_cast<std::int64_t>(sense.rows) * n; }
    // Of this row in one item's unpacked k-space.
    UGODIT_DEVICE std::int64_t kspace_offset(int coil) const {
        return (static_cast<std::int64_t>(coil) * sense.rows + row) * n;
    }
};

// Inside a phase: a row of an image into position order.
template <class Block>
UGODIT_DEVICE void load_image(const Row<Block>& row, int thread, const float* image, int offset) {
    const float* real = image + row.image_offset();
    const float* imaginary = real + row.image_step();
    for (int x = thread; x < row.n; x += row.block.threads()) {
        row.template shared<Complex<float>>(offset)[row.sample_position()[x]] = {real[x], imaginary[x]};
    }
}

// Inside a phase: position order back into a row of an image.
template <class Block>
UGODIT_DEVICE void store_image(const Row<Block>& row, int thread, int offset, float* image) {
    float* real = image + row.image_offset();
    float* imaginary = real + row.image_step();
    for (int x = thread; x < row.n; x += row.block.threads()) {
        const Complex<float> value = row.template shared<Complex<float>>(offset)[row.sample_position()[x]];
        real[x] = value.re;
        imaginary[x] = value.im;
    }
}

template <class Block>
UGODIT_DEVICE void load_weights(const Row<Block>& row, int thread) {
    for (int k = thread; k < row.n; k += row.block.threads()) {
        row.template shared<float>(row.sense.layout.weights)[row.frequency_position()[k]] = row.weights()[k];
    }
}

// Where the weight is zero the data are not wanted: they may hold anything.
template <class Block>
UGODIT_DEVICE void load_slots(const Row<Block>& row, int thread, const float* slots) {
    for (int k = thread; k < row.n; k += row.block.threads()) {
        const int position = row.frequency_position()[k];
        const int slot = row.weights()[k] == 0.0f ? -1 : static_cast<int>(slots[position]);
        row.template shared<int>(row.sense.layout.slots)[position] = slot;
    }
}

// The coils in flight. A dense pass moves them from `lines` to `spare`, and the two change roles.
struct Flight {
    int first_coil, count, lines, spare;
};

// `maps(i)` is element i of the row's [coils][n].
template <class Block, class Maps>
UGODIT_DEVICE void expand(const Row<Block>& row, const Flight& flight, const Maps& maps) {
    row.block.each([&](int thread) {
        const Padding padding = row.sense.transform.chain.padding;
        for (int p = thread; p < row.n; p += row.block.threads()) {
            const Complex<float> value = row.template shared<Complex<float>>(row.sense.layout.image)[p];
            Complex<float>* line = row.template shared<Complex<float>>(flight.lines) + padding.at(p);
            for (int first = 0; first < flight.count; first += kBatch) {
                Complex<float> map[kBatch];
                UGODIT_UNROLL
                for (int i = 0; i < kBatch; ++i) {
                    if (first + i < flight.count) map[i] = maps((flight.first_coil + first + i) * row.n + p);
                }
                UGODIT_UNROLL
                for (int i = 0; i < kBatch; ++i) {
                    if (first + i < flight.count) line[(first + i) * padding.stride] = fft::multiply(map[i], value);
                }
            }
        }
    });
}

// Coil is added after coil, whatever their grouping.
template <class Block, class Maps>
UGODIT_DEVICE void combine(const Row<Block>& row, const Flight& flight, const Maps& maps) {
    row.block.each([&](int thread) {
        const Padding padding = row.sense.transform.chain.padding;
        for (int p = thread; p < row.n; p += row.block.threads()) {
            Complex<float>& result = row.template shared<Complex<float>>(row.sense.layout.result)[p];
            const Complex<float>* line = row.template shared<Complex<float>>(flight.lines) + padding.at(p);
            Complex<float> sum{0.0f, 0.0f};
            if (flight.first_coil > 0) sum = result;
            for (int first = 0; first < flight.count; first += kBatch) {
                Complex<float> map[kBatch];
                UGODIT_UNROLL
                for (int i = 0; i < kBatch; ++i) {
                    if (first + i < flight.count) map[i] = maps((flight.first_coil + first + i) * row.n + p);
                }
                UGODIT_UNROLL
                for (int i = 0; i < kBatch; ++i) {
                    if (first + i < flight.count) {
                        const Complex<float> value = line[(first + i) * padding.stride];
                        sum.re = fft::madd(map[i].re, value.re, fft::madd(map[i].im, value.im, sum.re));
                        sum.im = fft::madd(map[i].re, value.im, fft::nmadd(map[i].im, value.re, sum.im));
                    }
                }
            }
            result = sum;
        }
    });
}

// use(maps) with the reader that fits where and how the maps are stored.
template <bool MayReside, class Block, class Use>
UGODIT_DEVICE void with_maps(const Row<Block>& row, const Use& use) {
    if (MayReside && row.sense.layout.resident) {
        if (row.sense.half) {
            const HalfPair* maps = row.template shared<HalfPair>(row.sense.layout.maps);
            use([&](int i) { return convert(maps[i]); });
        } else {
            const Complex<float>* maps = row.template shared<Complex<float>>(row.sense.layout.maps);
            use([&](int i) { return maps[i]; });
        }
    } else if (row.sense.half) {
        const HalfPair* maps = row.template maps<HalfPair>();
        use([&](int i) { return stream(maps + i); });
    } else {
        const Complex<float>* maps = row.template maps<Complex<float>>();
        use([&](int i) { return stream(maps + i); });
    }
}

template <class Block>
UGODIT_DEVICE void store_kspace(const Row<Block>& row, const Flight& flight, Complex<float>* kspace) {
    row.block.each([&](int thread) {
        const Padding padding = row.sense.transform.chain.padding;
        const std::int64_t item = static_cast<std::int64_t>(row.item) * row.sense.coils * row.image_step();
        for (int k = thread; k < row.n; k += row.block.threads()) {
            const int position = row.frequency_position()[k];
            const bool measured = row.template shared<float>(row.sense.layout.weights)[position] != 0.0f;
            const Complex<float>* line = row.template shared<Complex<float>>(flight.lines) + padding.at(position);
            for (int i = 0; i < flight.count; ++i) {
                Complex<float> value{0.0f, 0.0f};
                if (measured) value = line[i * padding.stride];
                kspace[item + row.kspace_offset(flight.first_coil + i) + k] = value;
            }
        }
    });
}

template <class Block>
UGODIT_DEVICE void load_kspace(const Row<Block>& row, const Flight& flight, const Complex<float>* kspace) {
    row.block.each([&](int thread) {
        const Padding padding = row.sense.transform.chain.padding;
        for (int k = thread; k < row.n; k += row.block.threads()) {
            const int position = row.frequency_position()[k];
            const float weight = row.template shared<float>(row.sense.layout.weights)[position];
            Complex<float>* line = row.template shared<Complex<float>>(flight.lines) + padding.at(position);
            for (int i = 0; i < flight.count; ++i) {
                Complex<float> value{0.0f, 0.0f};
                if (weight != 0.0f) value = stream(kspace + row.kspace_offset(flight.first_coil + i) + k);
                line[i * padding.stride] = {weight * value.re, weight * value.im};
            }
        }
    });
}

template <class Block>
UGODIT_DEVICE void radix_step(const Row<Block>& row, const Step& step, const Flight& flight, const Turn& turn) {
    const SenseArguments& sense = row.sense;
    const Block block = row.block;
    const bool inner = step.inner != 0;
    const Chain& chain = inner ? sense.transform.inner : sense.transform.chain;
    const DeviceStage& stage = chain.stages[step.stage];
    const int copies = inner ? flight.count * (row.n / sense.transform.prime) : flight.count;
    const Pass pass{stage,
                    chain.padding,
                    stage.twiddle < 0 ? nullptr : sense.table + stage.twiddle,
                    stage.roots < 0 ? nullptr : sense.table + stage.roots,
                    copies,
                    inner ? sense.layout.inner : flight.lines};
    const int radix = stage.radix;
    if (step.action == Action::forward_pass) {
#define UGODIT_PASS(R) \
    if (radix == R) radix_pass<R, false>(block, pass);
        UGODIT_RADICES(UGODIT_PASS)
    } else if (step.action == Action::inverse_pass) {
#undef UGODIT_PASS
#define UGODIT_PASS(R) \
    if (radix == R) radix_pass<R, true>(block, pass);
        UGODIT_RADICES(UGODIT_PASS)
#undef UGODIT_PASS
    } else if (step.action == Action::turn) {
#define UGODIT_PASS(R) \
    if (radix == R) radix_turn<R>(block, pass, turn);
        UGODIT_SMALL_RADICES(UGODIT_PASS)
#undef UGODIT_PASS
    } else if (step.action == Action::forward_twiddle) {
        twiddle_pass<false>(block, pass);
    } else if (step.action == Action::inverse_twiddle) {
        twiddle_pass<true>(block, pass);
    } else if (step.action == Action::forward_dense) {
        dense_pass<false>(block, pass, flight.spare);
    } else {
        dense_pass<true>(block, pass, flight.spare);
    }
}

// The whole program for all coils. `turn.data` is the row's first coil. Solve marks the kernel that applies the normal
// operator only, and may have its maps in shared memory.
template <bool Solve, class Block>
UGODIT_DEVICE void run_program(const Row<Block>& row, Turn turn, const ApplyArguments* arguments) {
    const SenseArguments& sense = row.sense;
    const Layout& layout = sense.layout;
    for (int coil = 0; coil < sense.coils; coil += layout.flight) {
        const int rest = sense.coils - coil;
        Flight flight{coil, rest < layout.flight ? rest : layout.flight, layout.lines, layout.spare};
        for (int i = 0; i < sense.program.count; ++i) {
            const Step& step = sense.program.steps[i];
            const Bluestein<Block> bluestein{
                row.block,    sense.transform,
                sense.table,  sense.transform.prime > 0 ? flight.count * (row.n / sense.transform.prime) : 0,
                flight.lines, layout.inner};
            switch (step.action) {
                case Action::expand:
                    with_maps<Solve>(row, [&](const auto& maps) { expand(row, flight, maps); });
                    break;
                case Action::combine:
                    with_maps<Solve>(row, [&](const auto& maps) { combine(row, flight, maps); });
                    break;
                case Action::weigh:
                    weigh_lines(row.block, sense.transform.chain.padding, row.n, flight.count, flight.lines, turn);
                    break;
                case Action::enter_forward:
                    bluestein.template enter<false>();
                    break;
                case Action::enter_inverse:
                    bluestein.template enter<true>();
                    break;
                case Action::convolve:
                    bluestein.convolve();
                    break;
                case Action::leave_forward:
                    bluestein.template leave<false>();
                    break;
                case Action::leave_inverse:
                    bluestein.template leave<true>();
                    break;
                case Action::store_kspace:
                    if (!Solve) store_kspace(row, flight, arguments->projection);
                    break;
                case Action::load_kspace:
                    if (!Solve) load_kspace(row, flight, arguments->kspace + row.item * arguments->kspace_step);
                    break;
                default:
                    radix_step(row, step, flight, turn);
                    break;
            }
            if (step.action == Action::forward_dense || step.action == Action::inverse_dense) {
                const int moved = flight.spare;
                flight.spare = flight.lines;
                flight.lines = moved;
            }
        }
        if (turn.data != nullptr) turn.data += static_cast<std::int64_t>(flight.count) * turn.data_lines;
    }
}

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
        if (packed != nullptr) load_slots(row, thread, packed);
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
    const bool started = total([&](int p) { return dot(direction[p], direction[p]); }) > 0;
    float energy = total([&](int p) {
        solution[p] = direction[p];
        if (!started) direction[p] = residual[p];
        return dot(residual[p], residual[p]);
    });
    const float target = arguments.tolerance * arguments.tolerance * energy;

    for (int round = started ? -1 : 0; round < arguments.iterations; ++round) {
        if (round >= 0 && !(energy > target)) break;
        run_program<true>(row, turn, nullptr);
        const float curvature = total([&](int p) {
            applied[p] = along(applied[p], mu, direction[p]);
            return dot(direction[p], applied[p]);
        });
        if (round >= 0 && !(curvature > 0)) break;
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
