// How many coils, threads and bytes of shared memory a block gets.
#include <algorithm>
#include <stdexcept>
#include <string>

#include "cuda/transform.h"

namespace ugodit::cuda {
namespace {

constexpr int kAlignment = 16;
// What CUDA takes of a multiprocessor's shared memory for every block; one block may have all but that.
constexpr int kReserved = 1024;

int place(int& end, int bytes) {
    const int offset = end;
    end += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return offset;
}

// Everything but the number of threads is settled by `flight` and `resident`.
Layout lay_out(Kernel kernel, const Transform& transform, int coils, int map_bytes, int flight, bool resident,
               int threads) {
    constexpr int kComplex = sizeof(Complex<float>);
    const int n = transform.chain.n, line = kComplex * transform.chain.padding.stride;
    Layout layout{};
    layout.threads = threads;
    layout.flight = flight;
    layout.resident = resident;
    int end = 0;
    layout.lines = place(end, flight * line);
    if (transform.dense) layout.spare = place(end, flight * line);
    if (transform.prime > 0) {
        layout.inner = place(end, flight * (n / transform.prime) * kComplex * transform.inner.padding.stride);
    }
    layout.weights = place(end, static_cast<int>(sizeof(float)) * n);
    if (kernel != Kernel::adjoint) layout.image = place(end, kComplex * n);
    if (kernel != Kernel::forward) layout.result = place(end, kComplex * n);
    if (kernel == Kernel::residual) layout.slots = place(end, static_cast<int>(sizeof(int)) * n);
    if (kernel == Kernel::residual || kernel == Kernel::solve) {
        layout.parts = place(end, static_cast<int>(sizeof(double)) * threads);
        layout.sums = place(end, static_cast<int>(sizeof(double)) * kFoldWidth);
    }
    if (kernel == Kernel::solve) {
        layout.solution = place(end, kComplex * n);
        layout.residual = place(end, kComplex * n);
        if (resident) layout.maps = place(end, coils * n * map_bytes);
    }
    layout.shared_bytes = end;
    return layout;
}

// Threads: enough that the blocks which fit on a multiprocessor hold 16 warps, and then the number that leaves the
// fewest threads idle in the last round of a pass.
int choose_threads(const Transform& transform, int flight, int shared_bytes, int shared_limit) {
    const int blocks = std::max(1, (shared_limit + kReserved) / (shared_bytes + kReserved));
    const int least = std::min(256, (512 + blocks - 1) / blocks);
    int best = 0;
    double best_use = 0;
    for (const int threads : {32, 64, 96, 128, 160, 192, 224, 256}) {
        if (threads < least) continue;
        double wanted = 0, given = 0;
        for (int s = 0; s < transform.chain.stage_count; ++s) {
            const int columns = flight * transform.chain.stages[s].columns.divisor;
            wanted += static_cast<double>(columns) * transform.chain.stages[s].radix;
            given += static_cast<double>((columns + threads - 1) / threads * threads) * transform.chain.stages[s].radix;
        }
        const double use = given == 0 ? 1 : wanted / given;
        if (best == 0 || use > best_use + 0.01) {
            best = threads;
            best_use = use;
        }
    }
    return best;
}

}  // namespace

Layout choose_layout(Kernel kernel, const Transform& transform, int coils, int map_bytes, int shared_limit, Wish wish) {
    const auto bytes = [&](int flight, bool resident) {
        return lay_out(kernel, transform, coils, map_bytes, flight, resident, kMostThreads).shared_bytes;
    };
    // Equal groups of coils, as few as the bytes allow.
    const auto most_coils = [&](int limit, bool resident) {
        for (int groups = 1; groups <= coils; ++groups) {
            const int flight = (coils + groups - 1) / groups;
            if (bytes(flight, resident) <= limit) return flight;
        }
        return 0;
    };
    // Four blocks on a multiprocessor hide each other's waits; a solve that keeps its maps beside it gets two.
    const int half = (shared_limit + kReserved) / 2 - kReserved, quarter = (shared_limit + kReserved) / 4 - kReserved;
    bool resident = kernel == Kernel::solve && wish.resident != 0;
    int flight = wish.flight;
    if (resident && wish.resident < 0) resident = most_coils(half, true) >= std::min(coils, 4);
    if (flight < 0) flight = most_coils(resident ? half : quarter, resident);
    if (flight == 0) flight = most_coils(shared_limit, resident);
    if (flight <= 0 || flight > coils || bytes(flight, resident) > shared_limit) {
        throw std::invalid_argument("a row does not fit in " + std::to_string(shared_limit) +
                                    " bytes of shared memory");
    }
    const int threads =
        wish.threads > 0 ? wish.threads : choose_threads(transform, flight, bytes(flight, resident), shared_limit);
    if (threads < 32 || threads > kMostThreads || threads % 32 != 0) {
        throw std::invalid_argument("threads: expected a multiple of 32 from 32 to 256, got " +
                                    std::to_string(threads));
    }
    return lay_out(kernel, transform, coils, map_bytes, flight, resident, threads);
}

}  // namespace ugodit::cuda
