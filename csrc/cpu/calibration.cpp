// Point-wise ESPIRiT for a whole slice: the copy for this processor, rows dealt to threads.
#include "cpu/bindings.h"
#include "cpu/espirit.h"
#include "cpu/thread_pool.h"
#include "cpu/variant.h"

namespace py = pybind11;

namespace ugodit {
namespace {

// Sizes and options; the arrays come with the call.
struct EspiritProblem {
    espirit::Arguments arguments;
    int threads;
};

EspiritProblem espirit_problem(int coils, int rows, int columns, int reach, int sets, float crop, bool soft,
                               int threads) {
    EspiritProblem problem{};
    espirit::Arguments& arguments = problem.arguments;
    arguments.coils = coils;
    arguments.rows = rows;
    arguments.columns = columns;
    arguments.reach = reach;
    arguments.sets = sets;
    arguments.crop = crop;
    arguments.soft = soft;
    problem.threads = threads;
    return problem;
}

void espirit_maps(const EspiritProblem& problem, Address correlations, Address row_phases, Address waves,
                  Address reference, Address maps, Address eigenvalues) {
    espirit::Arguments arguments = problem.arguments;
    arguments.correlations = pointer<const float>(correlations);
    arguments.row_phases = pointer<const float>(row_phases);
    arguments.waves = pointer<const float>(waves);
    arguments.reference = pointer<const float>(reference);
    arguments.maps = pointer<float>(maps);
    arguments.eigenvalues = pointer<float>(eigenvalues);
    const EspiritKernels& kernels = UGODIT_SELECTED(espirit_kernels)();
    const long floats = kernels.scratch_floats(arguments);
    parallel_for(arguments.rows, problem.threads, [&](int h) { kernels.row(arguments, h, thread_scratch(floats)); });
}

}  // namespace

void bind_calibration(py::module_& module) {
    py::class_<EspiritProblem>(module, "EspiritProblem")
        .def(py::init(&espirit_problem), py::kw_only(), py::arg("coils"), py::arg("rows"), py::arg("columns"),
             py::arg("reach"), py::arg("sets"), py::arg("crop"), py::arg("soft"), py::arg("threads"));
    module.def("espirit_maps", &espirit_maps, py::call_guard<py::gil_scoped_release>(), py::arg("problem"),
               py::kw_only(), py::arg("correlations"), py::arg("row_phases"), py::arg("waves"), py::arg("reference"),
               py::arg("maps"), py::arg("eigenvalues"));
}

}  // namespace ugodit
