// ESPIRiT's point-wise step; ugodit/kernels/calibration.py checks every argument and allocates.
#include <stdexcept>

#include "cuda/bindings.h"
#include "cuda/launch.h"

namespace py = pybind11;

namespace ugodit::cuda {
namespace {

// Sizes and options, and how they will be launched.
struct EspiritProblem {
    espirit::Arguments arguments;
    Target target;
    EspiritPlan plan;
};

EspiritProblem espirit_problem(int coils, int rows, int columns, int reach, int sets, float crop, bool soft, int device,
                               std::uintptr_t stream, bool descending, int blocks, int threads, int shared) {
    EspiritProblem problem{};
    espirit::Arguments& arguments = problem.arguments;
    arguments.coils = coils;
    arguments.rows = rows;
    arguments.columns = columns;
    arguments.reach = reach;
    arguments.sets = sets;
    arguments.crop = crop;
    arguments.soft = soft;
    problem.target = {device, pointer<void>(stream), descending};
    problem.plan = espirit_plan(arguments, processor_count(problem.target), shared_limit(problem.target),
                                {blocks, threads, shared});
    if (problem.plan.threads > kEspiritThreads || problem.plan.threads % 2 != 0) {
        throw std::invalid_argument("threads: expected an even number up to 128");
    }
    return problem;
}

void espirit_maps(const EspiritProblem& problem, std::uintptr_t correlations, std::uintptr_t row_phases,
                  std::uintptr_t waves, std::uintptr_t reference, std::uintptr_t workspace, std::uintptr_t maps,
                  std::uintptr_t eigenvalues) {
    EspiritLaunch arguments{problem.arguments, problem.plan.blocks, pointer<float>(workspace),
                            problem.plan.workspace_step};
    arguments.arguments.correlations = pointer<const float>(correlations);
    arguments.arguments.row_phases = pointer<const float>(row_phases);
    arguments.arguments.waves = pointer<const float>(waves);
    arguments.arguments.reference = pointer<const float>(reference);
    arguments.arguments.maps = pointer<float>(maps);
    arguments.arguments.eigenvalues = pointer<float>(eigenvalues);
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
