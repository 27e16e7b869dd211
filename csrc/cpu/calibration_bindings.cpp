// Calibration and wavelets for Python; ugodit/kernels/calibration.py and wavelets.py check their arguments and
// allocate.
#include "cpu/bindings.h"
#include "cpu/calibration.h"

namespace py = pybind11;

namespace ugodit {

void bind_calibration(py::module_& module) {
    py::class_<EspiritProblem>(module, "EspiritProblem")
        .def(py::init(&espirit_problem), py::kw_only(), py::arg("coils"), py::arg("rows"), py::arg("columns"),
             py::arg("reach"), py::arg("sets"), py::arg("crop"), py::arg("soft"), py::arg("threads"));
    module.def("espirit_maps", &espirit_maps, py::call_guard<py::gil_scoped_release>(), py::arg("problem"),
               py::kw_only(), py::arg("correlations"), py::arg("row_phases"), py::arg("waves"), py::arg("reference"),
               py::arg("maps"), py::arg("eigenvalues"));
}

void bind_wavelet(py::module_& module) {
    module.def("shrink_wavelets", &shrink_wavelets, py::call_guard<py::gil_scoped_release>(), py::kw_only(),
               py::arg("items"), py::arg("rows"), py::arg("columns"), py::arg("levels"), py::arg("above"),
               py::arg("left"), py::arg("threads"), py::arg("image"), py::arg("weights"), py::arg("result"));
}

}  // namespace ugodit
