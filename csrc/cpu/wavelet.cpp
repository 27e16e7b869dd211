// Haar shrinkage of whole images: the copy for this processor, strips dealt to threads.
#include "cpu/wavelet.h"

#include "cpu/bindings.h"
#include "cpu/thread_pool.h"
#include "cpu/variant.h"

namespace py = pybind11;

namespace ugodit {
namespace {

void shrink_wavelets(int items, int rows, int columns, int levels, int above, int left, int threads, Address image,
                     Address weights, Address result) {
    const ShrinkCall call{pointer<const float>(image),
                          pointer<const float>(weights),
                          pointer<float>(result),
                          rows,
                          columns,
                          levels,
                          above,
                          left};
    const ShrinkStrip strip = UGODIT_SELECTED(shrink_strip)();
    const int strips = call.strips();
    parallel_for(items * strips, threads, [&](int index) {
        strip(call, index / strips, index % strips, thread_scratch(call.scratch_floats()));
    });
}

}  // namespace

void bind_wavelet(py::module_& module) {
    module.def("shrink_wavelets", &shrink_wavelets, py::call_guard<py::gil_scoped_release>(), py::kw_only(),
               py::arg("items"), py::arg("rows"), py::arg("columns"), py::arg("levels"), py::arg("above"),
               py::arg("left"), py::arg("threads"), py::arg("image"), py::arg("weights"), py::arg("result"));
}

}  // namespace ugodit
