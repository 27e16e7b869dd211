// Between an image row and its coils: the product by the maps, the sum over coils, and k-space as it comes and goes.
#pragma once

#include <cstdint>

#include "cuda/half.h"
#include "cuda/passes.h"
#include "cuda/row.h"

namespace ugodit::cuda {

// Loads of maps that a thread has under way at a time.
constexpr int kBatch = 8;

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

}  // namespace ugodit::cuda
