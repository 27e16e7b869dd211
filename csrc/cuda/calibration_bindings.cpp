// ESPIRiT's point-wise step; ugodit/kernels/calibration.py checks every argument and allocates.
#include <cstdint>
#include <stdexcept>

#include "cuda/bindings.h"
#include "cuda/launch.h"
#include "espirit/checked.h"

namespace py = pybind11;

namespace ugodit::cuda {
namespace {

// Sizes and options, and how they will be launched.
struct EspiritProblem {
    espirit::Arguments arguments;
    Target target;
    EspiritPlan plan;
};

EspiritProblem espirit_problem(std::int64_t coils, std::int64_t rows, std::int64_t columns, std::int64_t reach,
                               std::int64_t sets, float crop, bool soft, int device, std::uintptr_t stream,
                               bool descending, int blocks, int threads, int shared) {
    EspiritProblem problem{};
    problem.arguments = espirit::checked_arguments(coils, rows, columns, reach, sets, crop, soft);
    problem.target = {device, pointer<void>(stream), descending};
    problem.plan = espirit_plan(problem.arguments, processor_count(problem.target), shared_limit(problem.target),
                                {blocks, threads, shared});
    if (problem.plan.threads > kEspiritThreads || problem.plan.threads % 2 != 0) {
        throw std::invalid_argument("threads: expected an even number up to 128");
    }
    if (problem.plan.shared_bytes > shared_limit(problem.target)) {
        throw std::invalid_argument("shared: expected 0, as the coefficients of a row do not fit in shared memory");
    }
    return problem;
}

void espirit_maps(const EspiritProblem& problem, std::uintptr_t correlations, std::uintptr_t row_phases,
                  std::uintptr_t waves, std::uintptr_t reference, std::uintptr_t workspace, std::uintptr_t maps,
                  std::uintptr_t eigenvalues) {
    EspiritLaunch arguments{problem.arguments, problem.plan.blocks, array<float>("workspace", workspace),
                            problem.plan.workspace_step};
    arguments.arguments.correlations = array<const float>("correlations", correlations);
    arguments.arguments.row_phases = array<const float>("row_phases", row_phases);
    arguments.arguments.waves = pointer<const float>(waves);
    arguments.arguments.reference = array<const float>("reference", reference);
    arguments.arguments.maps = array<float>("maps", maps);
    arguments.arguments.eigenvalues = array<float>("eigenvalues", eigenvalues);
    launch(problem.target, problem.plan, arguments);
}

}  // namespace

void bind_calibration(py::module_& module) {
    py::class_<EspiritProblem>(module, "EspiritProblem")
        .def(py::init(&espirit_problem), py::kw_only(), py::arg("coils"), py::arg("rows"), py::arg("columns"),
             py::arg("reach"), py::arg("sets"), py::arg("crop"), py::arg("soft"), py::arg("device"), py::arg("stream"),
             py::arg("descending") = false, py::arg("blocks") = -1, py::arg("threads") = -1, py::arg("shared") = -1)
        .def_property_readonly("blocks", [](const EspiritProblem& problem) { return problem.plan.blocks; })
        .def_property_readonly("threads", [](const EspiritProblem& problem) { return problem.plan.threads; })
        .def_property_readonly("shared_bytes", [](const EspiritProblem& problem) { return problem.plan.shared_bytes; })
        .def_property_readonly("workspace_floats",
                               [](const EspiritProblem& problem) { return problem.plan.workspace_floats; });
    module.def("espirit_maps", espirit_maps, py::call_guard<py::gil_scoped_release>(), py::arg("problem"),
               py::kw_only(), py::arg("correlations"), py::arg("row_phases"), py::arg("waves"), py::arg("reference"),
               py::arg("workspace"), py::arg("maps"), py::arg("eigenvalues"));
}

}  // namespace ugodit::cuda
