#include "cpu/pack.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cmath>
#include <complex>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cpu/thread_pool.h"

namespace ugodit {
namespace {

using Complex = std::complex<float>;
constexpr double kPi = 3.14159265358979323846;

// exp(2 pi i c n / N) / sqrt(N), c = N / 2: what the maps carry for one axis.
std::vector<std::complex<double>> map_phases(int n) {
    std::vector<std::complex<double>> phases(n);
    const long long centre = n / 2;
    for (int i = 0; i < n; ++i) phases[i] = std::polar(1 / std::sqrt(n), 2 * kPi * (centre * i % n) / n);
    return phases;
}

// exp(2 pi i c^2 / N) exp(-2 pi i c k / N): what k-space carries.
std::vector<std::complex<double>> kspace_phases(int n) {
    std::vector<std::complex<double>> phases(n);
    const long long centre = n / 2;
    for (int k = 0; k < n; ++k) phases[k] = std::polar(1.0, 2 * kPi * (centre * (centre - k + n) % n) / n);
    return phases;
}

int lane_of(const Layout& layout, int row, int coil) {
    return row % layout.rows * (kLanes / layout.rows) + coil % kLanes;
}

// Asks for 2 MB pages, where the system gives them on request: a pass over a scan's maps touches thousands of 4 KB
// ones.
void use_large_pages(float* memory, std::size_t floats) {
#if defined(MADV_HUGEPAGE)
    constexpr std::uintptr_t kPage = 4096;
    const auto address = reinterpret_cast<std::uintptr_t>(memory);
    const std::uintptr_t begin = (address + kPage - 1) / kPage * kPage;
    const std::uintptr_t end = (address + floats * sizeof(float)) / kPage * kPage;
    if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // advice: may fail
#else
    (void)memory, (void)floats;
#endif
}

}  // namespace

Layout::Layout(int coils, int height, int width, bool both) : coils(coils), height(height), width(width), both(both) {
    rows = 1;
    while (!both && coils <= kLanes / (2 * rows)) rows *= 2;
    blocks = (coils + kLanes - 1) / kLanes;
    groups = (height + rows - 1) / rows;
}

void pack_maps(const Layout& layout, int items, int threads, const float* maps, float* packed) {
    use_large_pages(packed, items * layout.maps_floats());
    const fft::Plan& plan = fft::plan_for(layout.width);
    const auto along_width = map_phases(layout.width);
    const auto along_height = map_phases(layout.both ? layout.height : 0);
    const auto* source = reinterpret_cast<const Complex*>(maps);
    const auto task = [&](int index) {
        const int item = index / layout.groups, group = index % layout.groups;
        float* out = packed + item * layout.maps_floats() + group * layout.group_floats();
        std::memset(out, 0, layout.group_floats() * sizeof(float));
        for (int row = group * layout.rows; row < (group + 1) * layout.rows && row < layout.height; ++row) {
            for (int coil = 0; coil < layout.coils; ++coil) {
                const Complex* line =
                    source +
                    ((static_cast<std::size_t>(item) * layout.coils + coil) * layout.height + row) * layout.width;
                float* lane = out + coil / kLanes * layout.block_floats() + lane_of(layout, row, coil);
                for (int v = 0; v < layout.width; ++v) {
                    const int n = plan.visit[v];
                    std::complex<double> phase = along_width[n];
                    if (layout.both) phase *= along_height[row];
                    const Complex value(phase * std::complex<double>(line[n]));
                    lane[static_cast<std::size_t>(v) * 2 * kLanes] = value.real();
                    lane[static_cast<std::size_t>(v) * 2 * kLanes + kLanes] = value.imag();
                }
            }
        }
    };
    parallel_for(items * layout.groups, threads, task);
}

namespace {

// visit(item, coil, row h, column k, packed offset, phase) for the k-space of a task.
template <class Visit>
void each_sample(const Layout& layout, int items, int threads, const Visit& visit) {
    const fft::Plan& plan = fft::plan_for(layout.width);
    const auto along_width = kspace_phases(layout.width);
    const fft::Plan* column = layout.both ? &fft::plan_for(layout.height) : nullptr;
    const auto along_height = kspace_phases(layout.both ? layout.height : 0);
    std::vector<int> place(layout.both ? layout.height : 0);
    for (int h = 0; layout.both && h < layout.height; ++h) place[column->output[h]] = h;
    const auto task = [&](int index) {
        const int item = index / layout.height, row = index % layout.height;
        const std::size_t base = item * layout.kspace_floats();
        for (int coil = 0; coil < layout.coils; ++coil) {
            const int block = coil / kLanes, lane = lane_of(layout, layout.both ? 0 : row, coil);
            const std::size_t line =
                ((static_cast<std::size_t>(item) * layout.coils + coil) * layout.height + row) * layout.width;
            for (int position = 0; position < layout.width; ++position) {
                const int k = plan.output[position];
                std::size_t offset;
                std::complex<double> phase = along_width[k];
                if (layout.both) {
                    offset = (static_cast<std::size_t>(block) * layout.width + position) * layout.height + place[row];
                    phase *= along_height[row];
                } else {
                    offset =
                        (static_cast<std::size_t>(row / layout.rows) * layout.blocks + block) * layout.width + position;
                }
                visit(line + k, base + offset * 2 * kLanes + lane, phase);
            }
        }
    };
    parallel_for(items * layout.height, threads, task);
}

}  // namespace

void pack_kspace(const Layout& layout, int items, int threads, const float* kspace, float* packed) {
    use_large_pages(packed, items * layout.kspace_floats());
    std::memset(packed, 0, items * layout.kspace_floats() * sizeof(float));
    const auto* source = reinterpret_cast<const Complex*>(kspace);
    each_sample(layout, items, threads, [&](std::size_t sample, std::size_t lane, std::complex<double> phase) {
        const Complex value(phase * std::complex<double>(source[sample]));
        packed[lane] = value.real();
        packed[lane + kLanes] = value.imag();
    });
}

void unpack_kspace(const Layout& layout, int items, int threads, const float* packed, float* kspace) {
    auto* out = reinterpret_cast<Complex*>(kspace);
    each_sample(layout, items, threads, [&](std::size_t sample, std::size_t lane, std::complex<double> phase) {
        out[sample] = Complex(std::conj(phase) * std::complex<double>(packed[lane], packed[lane + kLanes]));
    });
}

}  // namespace ugodit
