#include "cpu/problem.h"

#include <cmath>

#include "cpu/pack.h"

namespace ugodit {
namespace {

SenseCall sense_call(const Problem& problem, Mode mode) {
    SenseCall call{};
    call.items = problem.items;
    call.mode = mode;
    call.maps = values("maps", problem.maps, problem.maps_values(problem.one_map));
    call.maps_stride = problem.one_map ? 0 : problem.layout.maps_floats();
    return call;
}

void run(const Problem& problem, SenseCall& call, float* results, bool solve = false) {
    const float* weights = values("weights", problem.weights, problem.weight_values());
    run_sense(call, problem.layout, weights, problem.one_weight, problem.threads, solve, results);
}

}  // namespace

Layout checked_layout(std::int64_t items, std::int64_t coils, std::int64_t height, std::int64_t width, bool both) {
    const int longest = fft::kLongest;
    const Layout layout(checked_size("coils", coils), checked_size("height", height, 1, both ? longest : kLargest),
                        checked_size("width", width, 1, longest), both);
    checked_size("items", items);
    // Each lane of a block leaves a sum of its own, at worst: for every row, or for every column.
    checked_product("rows of all items", {items, height}, kLargest / kLanes);
    if (both) checked_product("columns of all coils", {items, layout.blocks, width}, kLargest / kLanes);
    checked_product("values of the images", {items, 2, height, width}, kMostValues);
    checked_product("values of the maps", {items, layout.groups, layout.blocks, 2 * kLanes, width}, kMostValues);
    checked_product("values of the k-space", {items, both ? height : layout.groups, layout.blocks, 2 * kLanes, width},
                    kMostValues);
    checked_product("values of all coils", {items, coils, 2, height, width}, kMostValues);
    return layout;
}

Problem::Problem(std::int64_t items, std::int64_t coils, std::int64_t height, std::int64_t width, bool both,
                 std::int64_t threads, const Array& maps, bool one_map, const Array& weights, bool one_weight)
    : items(static_cast<int>(items)),
      layout(checked_layout(items, coils, height, width, both)),
      threads(checked_threads(threads)),
      maps(maps),
      one_map(one_map),
      weights(weights),
      one_weight(one_weight) {}

void sense_residual(const Problem& problem, const Array& image, const Array& kspace, bool one_kspace, const Array& loss,
                    const Array& gradient) {
    const bool measured = kspace != Array{};
    SenseCall call = sense_call(problem, measured ? Mode::kResidual : Mode::kNormal);
    call.image = values("image", image, problem.image_values());
    if (measured) call.kspace = values("kspace", kspace, problem.kspace_values(one_kspace));
    call.kspace_stride = one_kspace ? 0 : problem.layout.kspace_floats();
    call.gradient = values("gradient", gradient, problem.image_values());
    run(problem, call, values("loss", loss, problem.items));
}

void sense_forward(const Problem& problem, const Array& image, const Array& kspace) {
    SenseCall call = sense_call(problem, Mode::kForward);
    call.image = values("image", image, problem.image_values());
    call.measured = values("kspace", kspace, problem.kspace_values());
    run(problem, call, nullptr);
}

void sense_adjoint(const Problem& problem, const Array& kspace, const Array& image) {
    SenseCall call = sense_call(problem, Mode::kAdjoint);
    call.kspace = values("kspace", kspace, problem.kspace_values());
    call.kspace_stride = problem.layout.kspace_floats();
    call.gradient = values("image", image, problem.image_values());
    run(problem, call, nullptr);
}

void sense_solve(const Problem& problem, const Array& rhs, const Array& start, const Array& mu, std::int64_t iterations,
                 double tolerance, const Array& solution, const Array& residual_norm) {
    if (problem.layout.both) throw std::invalid_argument("both: expected false, as rows are solved one by one");
    if (!(tolerance >= 0 && std::isfinite(tolerance))) {
        throw std::invalid_argument("tolerance: expected a finite value of at least 0, got " +
                                    std::to_string(tolerance));
    }
    SenseCall call = sense_call(problem, Mode::kNormal);
    call.image = values("rhs", rhs, problem.image_values());
    call.start = values("start", start, problem.image_values());
    call.gradient = values("solution", solution, problem.image_values());
    call.mu = values("mu", mu, problem.items);
    call.iterations = checked_size("iterations", iterations, 0);
    call.tolerance = tolerance;
    run(problem, call, values("residual_norm", residual_norm, problem.items), true);
}

void pack_maps(const Problem& problem, const Array& maps, const Array& packed) {
    pack_maps(problem.layout, problem.items, problem.threads, values("maps", maps, problem.coil_values()),
              values("packed", packed, problem.maps_values(false)));
}

void pack_kspace(const Problem& problem, const Array& kspace, const Array& packed) {
    pack_kspace(problem.layout, problem.items, problem.threads, values("kspace", kspace, problem.coil_values()),
                values("packed", packed, problem.kspace_values()));
}

void unpack_kspace(const Problem& problem, const Array& packed, const Array& kspace) {
    unpack_kspace(problem.layout, problem.items, problem.threads, values("packed", packed, problem.kspace_values()),
                  values("kspace", kspace, problem.coil_values()));
}

}  // namespace ugodit
