// The multi-coil operator, its solver and their packed arrays for Python; ugodit/kernels/_cpu_ops.py checks its
// arguments and allocates; sizes of problems and arrays are checked here.
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "cpu/bindings.h"
#include "cpu/pack.h"
#include "cpu/sense.h"

namespace py = pybind11;

namespace ugodit {
namespace {

// What every call is given: shapes, threads, sensitivity maps and weights, which packing does without. `one_map`,
// `one_weight`: that array has one item, which serves all.
struct Problem {
    int items;
    Layout layout;
    int threads;
    Array maps;
    bool one_map;
    Array weights;
    bool one_weight;

    std::int64_t image_values() const { return std::int64_t{2} * items * layout.height * layout.width; }
    std::int64_t coil_values() const { return image_values() * layout.coils; }  // of unpacked maps or k-space
    std::int64_t maps_values(bool one) const {
        return (one ? 1 : items) * static_cast<std::int64_t>(layout.maps_floats());
    }
    std::int64_t kspace_values(bool one = false) const {
        return (one ? 1 : items) * static_cast<std::int64_t>(layout.kspace_floats());
    }
    std::int64_t weight_values() const {
        return static_cast<std::int64_t>(one_weight ? 1 : items) * layout.width * (layout.both ? layout.height : 1);
    }
};

// std::invalid_argument where a size, a number of tasks or an array is past what the kernels count with.
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

void pack_maps_of(const Problem& problem, const Array& maps, const Array& packed) {
    pack_maps(problem.layout, problem.items, problem.threads, values("maps", maps, problem.coil_values()),
              values("packed", packed, problem.maps_values(false)));
}

void pack_kspace_of(const Problem& problem, const Array& kspace, const Array& packed) {
    pack_kspace(problem.layout, problem.items, problem.threads, values("kspace", kspace, problem.coil_values()),
                values("packed", packed, problem.kspace_values()));
}

void unpack_kspace_of(const Problem& problem, const Array& packed, const Array& kspace) {
    unpack_kspace(problem.layout, problem.items, problem.threads, values("packed", packed, problem.kspace_values()),
                  values("kspace", kspace, problem.coil_values()));
}

py::tuple layout(std::int64_t coils, std::int64_t height, std::int64_t width, bool both) {
    const Layout layout = checked_layout(1, coils, height, width, both);
    return py::make_tuple(layout.rows, layout.groups, layout.blocks);
}

}  // namespace

void bind_sense(py::module_& module) {
    py::class_<Problem>(module, "Problem")
        .def(py::init([](std::int64_t items, std::int64_t coils, std::int64_t height, std::int64_t width, bool both,
                         std::int64_t threads, const Array& maps, bool one_map, const Array& weights, bool one_weight) {
                 const Layout layout = checked_layout(items, coils, height, width, both);
                 return Problem{
                     static_cast<int>(items), layout, checked_threads(threads), maps, one_map, weights, one_weight};
             }),
             py::kw_only(), py::arg("items"), py::arg("coils"), py::arg("height"), py::arg("width"), py::arg("both"),
             py::arg("threads"), py::arg("maps") = Array{}, py::arg("one_map") = false, py::arg("weights") = Array{},
             py::arg("one_weight") = false);
    const py::call_guard<py::gil_scoped_release> released;
    module.def("sense_residual", &sense_residual, released, py::arg("problem"), py::kw_only(), py::arg("image"),
               py::arg("kspace"), py::arg("one_kspace"), py::arg("loss"), py::arg("gradient"));
    module.def("sense_forward", &sense_forward, released, py::arg("problem"), py::kw_only(), py::arg("image"),
               py::arg("kspace"));
    module.def("sense_adjoint", &sense_adjoint, released, py::arg("problem"), py::kw_only(), py::arg("kspace"),
               py::arg("image"));
    module.def("sense_solve", &sense_solve, released, py::arg("problem"), py::kw_only(), py::arg("rhs"),
               py::arg("start"), py::arg("mu"), py::arg("iterations"), py::arg("tolerance"), py::arg("solution"),
               py::arg("residual_norm"));
    module.def("pack_maps", &pack_maps_of, released, py::arg("problem"), py::kw_only(), py::arg("maps"),
               py::arg("packed"));
    module.def("pack_kspace", &pack_kspace_of, released, py::arg("problem"), py::kw_only(), py::arg("kspace"),
               py::arg("packed"));
    module.def("unpack_kspace", &unpack_kspace_of, released, py::arg("problem"), py::kw_only(), py::arg("packed"),
               py::arg("kspace"));
    module.def("layout", &layout, py::kw_only(), py::arg("coils"), py::arg("height"), py::arg("width"),
               py::arg("both"));
}

}  // namespace ugodit
