// The multi-coil operator, its solver and their packed arrays for Python; ugodit/kernels/_cpu_ops.py checks its
// arguments and allocates.
#include "cpu/bindings.h"
#include "cpu/problem.h"

namespace py = pybind11;

namespace ugodit {
namespace {

py::tuple layout(std::int64_t coils, std::int64_t height, std::int64_t width, bool both) {
    const Layout layout = checked_layout(1, coils, height, width, both);
    return py::make_tuple(layout.rows, layout.groups, layout.blocks);
}

// Of the overloads that problem.h and pack.h declare.
using Pack = void (*)(const Problem&, const Array&, const Array&);

}  // namespace

void bind_sense(py::module_& module) {
    py::class_<Problem>(module, "Problem")
        .def(py::init<std::int64_t, std::int64_t, std::int64_t, std::int64_t, bool, std::int64_t, const Array&, bool,
                      const Array&, bool>(),
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
    module.def("pack_maps", static_cast<Pack>(&pack_maps), released, py::arg("problem"), py::kw_only(), py::arg("maps"),
               py::arg("packed"));
    module.def("pack_kspace", static_cast<Pack>(&pack_kspace), released, py::arg("problem"), py::kw_only(),
               py::arg("kspace"), py::arg("packed"));
    module.def("unpack_kspace", static_cast<Pack>(&unpack_kspace), released, py::arg("problem"), py::kw_only(),
               py::arg("packed"), py::arg("kspace"));
    module.def("layout", &layout, py::kw_only(), py::arg("coils"), py::arg("height"), py::arg("width"),
               py::arg("both"));
}

}  // namespace ugodit
