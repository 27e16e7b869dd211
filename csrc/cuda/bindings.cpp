// ugodit._cuda, and the same functions on the host as ugodit._cuda_host (UGODIT_MODULE). They take raw pointers and
// link no libtorch; ugodit/kernels/_cuda_ops.py checks its arguments, allocates, and describes the layouts; sizes of
// problems and launches are checked here.
#include "cuda/bindings.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "cuda/launch.h"

namespace py = pybind11;

namespace ugodit::cuda {
namespace {

// What every kernel is given: shapes, sensitivity maps and weights. A leading size of 1 serves all items.
struct Problem {
    int items, coils, rows, width;
    std::uintptr_t table, maps;
    bool half, one_map;
    std::uintptr_t weights;
    bool one_weight;
    Target target;
    Wish wish;
};

SenseArguments sense_arguments(Kernel kernel, const Problem& problem) {
    const Transform& transform = transform_for(problem.width).transform;
    SenseArguments sense{};
    sense.transform = transform;
    sense.program = program_for(kernel, transform);
    sense.layout = choose_layout(kernel, transform, problem.coils,
                                 static_cast<int>(problem.half ? sizeof(HalfPair) : sizeof(Complex<float>)),
                                 shared_limit(problem.target), problem.wish);
    sense.table = array<const Complex<float>>("table", problem.table);
    sense.coils = problem.coils;
    sense.rows = problem.rows;
    sense.maps = array<const float>("maps", problem.maps);
    sense.half = problem.half;
    sense.weights = array<const float>("weights", problem.weights);
    const std::int64_t map_step = static_cast<std::int64_t>(problem.coils) * problem.rows * problem.width;
    sense.map_step = problem.one_map ? 0 : map_step;
    sense.weight_step = problem.one_weight ? 0 : problem.width;
    return sense;
}

// std::invalid_argument where a size, the number of blocks or an array is past what the kernels count with.
void check_sizes(std::int64_t items, std::int64_t coils, std::int64_t rows, std::int64_t width) {
    checked_size("width", width, 1, kLargestWidth);
    checked_size("coils", coils);
    checked_size("rows", rows);
    checked_size("items", items);
    checked_product("rows of all items", {items, rows});
    checked_product("map values of a row", {coils, width});
    checked_product("values of all coils", {items, coils, 2, rows, width}, kMostValues);
}

// One a row of an item.
int blocks_of(const Problem& problem) {
    return problem.items * problem.rows;
}

void sense_residual(const Problem& problem, std::uintptr_t image, std::uintptr_t packed, std::int64_t packed_step,
                    std::int64_t data_lines, std::uintptr_t row_loss, std::uintptr_t gradient) {
    ApplyArguments arguments{};
    arguments.sense = sense_arguments(Kernel::residual, problem);
    arguments.image = array<const float>("image", image);
    arguments.packed = packed == 0 ? nullptr : array<const float>("kspace", packed);
    arguments.packed_step = packed_step;
    arguments.data_lines = checked_size("data_lines", data_lines, 0, problem.width);
    arguments.row_loss = array<double>("row_loss", row_loss);
    arguments.result = array<float>("gradient", gradient);
    launch(problem.target, blocks_of(problem), arguments);
}

void sense_forward(const Problem& problem, std::uintptr_t image, std::uintptr_t kspace) {
    ApplyArguments arguments{};
    arguments.sense = sense_arguments(Kernel::forward, problem);
    arguments.image = array<const float>("image", image);
    arguments.projection = array<Complex<float>>("kspace", kspace);
    launch(problem.target, blocks_of(problem), arguments);
}

void sense_adjoint(const Problem& problem, std::uintptr_t kspace, std::uintptr_t image) {
    ApplyArguments arguments{};
    arguments.sense = sense_arguments(Kernel::adjoint, problem);
    arguments.kspace = array<const Complex<float>>("kspace", kspace);
    arguments.kspace_step = static_cast<std::int64_t>(problem.coils) * problem.rows * problem.width;
    arguments.result = array<float>("image", image);
    launch(problem.target, blocks_of(problem), arguments);
}

void sense_solve(const Problem& problem, std::uintptr_t rhs, std::uintptr_t start, std::uintptr_t mu,
                 std::int64_t iterations, float tolerance, std::uintptr_t solution, std::uintptr_t row_energy) {
    SolveArguments arguments{};
    arguments.sense = sense_arguments(Kernel::solve, problem);
    arguments.rhs = array<const float>("rhs", rhs);
    arguments.start = array<const float>("start", start);
    arguments.mu = array<const float>("mu", mu);
    arguments.solution = array<float>("solution", solution);
    arguments.row_energy = array<double>("row_energy", row_energy);
    arguments.iterations = checked_size("iterations", iterations, 0);
    arguments.tolerance = tolerance;
    launch(problem.target, blocks_of(problem), arguments);
}

// The kernels' table for a width as bytes, and the centred sample and frequency at every position.
py::tuple tables(int width) {
    const TransformTables& tables = transform_for(width);
    const py::bytes bytes(reinterpret_cast<const char*>(tables.table.data()),
                          tables.table.size() * sizeof(std::uint32_t));
    return py::make_tuple(bytes, tables.sample, tables.frequency);
}

// How a kernel would be launched: for tests, tuning and the record of resources.
py::dict describe(const std::string& kernel, int width, int coils, bool half, int shared_bytes, int flight, int threads,
                  int resident) {
    check_sizes(1, coils, 1, width);
    Kernel kind = Kernel::residual;
    if (kernel == "sense_forward") kind = Kernel::forward;
    if (kernel == "sense_adjoint") kind = Kernel::adjoint;
    if (kernel == "sense_solve") kind = Kernel::solve;
    const Transform& transform = transform_for(width).transform;
    const Layout layout =
        choose_layout(kind, transform, coils, half ? 4 : 8, shared_bytes, Wish{flight, threads, resident});
    py::list radices;
    for (int s = 0; s < transform.chain.stage_count; ++s) radices.append(transform.chain.stages[s].radix);
    py::dict description;
    description["radices"] = radices;
    description["bluestein"] = transform.prime > 0;
    description["flight"] = layout.flight;
    description["threads"] = layout.threads;
    description["resident"] = layout.resident;
    description["shared_bytes"] = layout.shared_bytes;
    return description;
}

}  // namespace
}  // namespace ugodit::cuda

PYBIND11_MODULE(UGODIT_MODULE, module) {
    using namespace ugodit::cuda;
    module.doc() = "Compiled CUDA kernels of ugodit. Private: call them through ugodit.kernels.";
    py::class_<Problem>(module, "Problem")
        .def(py::init([](std::int64_t items, std::int64_t coils, std::int64_t rows, std::int64_t width,
                         std::uintptr_t table, std::uintptr_t maps, bool half, bool one_map, std::uintptr_t weights,
                         bool one_weight, int device, std::uintptr_t stream, bool descending, int flight, int threads,
                         int resident) {
                 check_sizes(items, coils, rows, width);
                 return Problem{static_cast<int>(items),
                                static_cast<int>(coils),
                                static_cast<int>(rows),
                                static_cast<int>(width),
                                table,
                                maps,
                                half,
                                one_map,
                                weights,
                                one_weight,
                                Target{device, pointer<void>(stream), descending},
                                Wish{flight, threads, resident}};
             }),
             py::kw_only(), py::arg("items"), py::arg("coils"), py::arg("rows"), py::arg("width"), py::arg("table"),
             py::arg("maps"), py::arg("half"), py::arg("one_map"), py::arg("weights"), py::arg("one_weight"),
             py::arg("device"), py::arg("stream"), py::arg("descending") = false, py::arg("flight") = -1,
             py::arg("threads") = -1, py::arg("resident") = -1);
    const py::call_guard<py::gil_scoped_release> released;
    module.def("sense_residual", sense_residual, released);
    module.def("sense_forward", sense_forward, released);
    module.def("sense_adjoint", sense_adjoint, released);
    module.def("sense_solve", sense_solve, released);
    module.def("tables", tables);
    module.def("describe", describe, py::arg("kernel"), py::arg("width"), py::arg("coils"), py::arg("half") = false,
               py::arg("shared_bytes") = 227 * 1024, py::arg("flight") = -1, py::arg("threads") = -1,
               py::arg("resident") = -1);
    module.attr("LARGEST_WIDTH") = kLargestWidth;
    bind_calibration(module);
}
