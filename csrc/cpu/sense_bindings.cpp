// The multi-coil operator, its solver and their packed arrays for Python; ugodit/kernels/_cpu_ops.py checks every
// argument and allocates.
#include <stdexcept>

#include "cpu/bindings.h"
#include "cpu/pack.h"
#include "cpu/sense.h"

namespace py = pybind11;

namespace ugodit {
namespace {

// What every call is given: shapes, threads, sensitivity maps and weights, which packing does without. `one_map`,
// `one_weight`: that array has one item, which serves all.
struct Problem {
    int items, coils, height, width;
    bool both;  // masked along both axes
    int threads;
    Address maps;
    bool one_map;
    Address weights;
    bool one_weight;

    Layout layout() const { return Layout(coils, height, width, both); }
};

SenseCall sense_call(const Problem& problem, const Layout& layout, Mode mode) {
    if (problem.maps == 0 || problem.weights == 0) throw std::invalid_argument("problem: expected maps and weights");
    SenseCall call{};
    call.items = problem.items;
    call.mode = mode;
    call.maps = pointer<const float>(problem.maps);
    call.maps_stride = problem.one_map ? 0 : layout.maps_floats();
    return call;
}

void run(const Problem& problem, const Layout& layout, SenseCall& call, Address results, bool solve = false) {
    run_sense(call, layout, pointer<const float>(problem.weights), problem.one_weight, problem.threads, solve,
              pointer<float>(results));
}

void sense_residual(const Problem& problem, Address image, Address kspace, bool one_kspace, Address loss,
                    Address gradient) {
    const Layout layout = problem.layout();
    SenseCall call = sense_call(problem, layout, kspace == 0 ? Mode::kNormal : Mode::kResidual);
    call.image = pointer<const float>(image);
    call.kspace = pointer<const float>(kspace);
    call.kspace_stride = one_kspace ? 0 : layout.kspace_floats();
    call.gradient = pointer<float>(gradient);
    run(problem, layout, call, loss);
}

void sense_forward(const Problem& problem, Address image, Address kspace) {
    const Layout layout = problem.layout();
    SenseCall call = sense_call(problem, layout, Mode::kForward);
    call.image = pointer<const float>(image);
    call.measured = pointer<float>(kspace);
    run(problem, layout, call, 0);
}

void sense_adjoint(const Problem& problem, Address kspace, Address image) {
    const Layout layout = problem.layout();
    SenseCall call = sense_call(problem, layout, Mode::kAdjoint);
    call.kspace = pointer<const float>(kspace);
    call.kspace_stride = layout.kspace_floats();
    call.gradient = pointer<float>(image);
    run(problem, layout, call, 0);
}

void sense_solve(const Problem& problem, Address rhs, Address start, Address mu, int iterations, double tolerance,
                 Address solution, Address residual_norm) {
    if (problem.both) throw std::invalid_argument("both: expected false, as rows are solved one by one");
    const Layout layout = problem.layout();
    SenseCall call = sense_call(problem, layout, Mode::kNormal);
    call.image = pointer<const float>(rhs);
    call.start = pointer<const float>(start);
    call.gradient = pointer<float>(solution);
    call.mu = pointer<const float>(mu);
    call.iterations = iterations;
    call.tolerance = tolerance;
    run(problem, layout, call, residual_norm, true);
}

template <void (*Pack)(const Layout&, int, int, const float*, float*)>
void pack(const Problem& problem, Address source, Address target) {
    Pack(problem.layout(), problem.items, problem.threads, pointer<const float>(source), pointer<float>(target));
}

py::tuple layout(int coils, int height, int width, bool both) {
    const Layout layout(coils, height, width, both);
    return py::make_tuple(layout.rows, layout.groups, layout.blocks);
}

}  // namespace

void bind_sense(py::module_& module) {
    py::class_<Problem>(module, "Problem")
        .def(py::init([](int items, int coils, int height, int width, bool both, int threads, Address maps,
                         bool one_map, Address weights, bool one_weight) {
                 return Problem{items, coils, height, width, both, threads, maps, one_map, weights, one_weight};
             }),
             py::kw_only(), py::arg("items"), py::arg("coils"), py::arg("height"), py::arg("width"), py::arg("both"),
             py::arg("threads"), py::arg("maps") = 0, py::arg("one_map") = false, py::arg("weights") = 0,
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
    module.def("pack_maps", &pack<pack_maps>, released, py::arg("problem"), py::kw_only(), py::arg("maps"),
               py::arg("packed"));
    module.def("pack_kspace", &pack<pack_kspace>, released, py::arg("problem"), py::kw_only(), py::arg("kspace"),
               py::arg("packed"));
    module.def("unpack_kspace", &pack<unpack_kspace>, released, py::arg("problem"), py::kw_only(), py::arg("packed"),
               py::arg("kspace"));
    module.def("layout", &layout, py::kw_only(), py::arg("coils"), py::arg("height"), py::arg("width"),
               py::arg("both"));
}

}  // namespace ugodit
