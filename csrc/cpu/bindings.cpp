// ugodit._cpu: the compiled CPU kernels. They take raw pointers and link no libtorch; ugodit/kernels checks every
// argument before it calls them.
#include "cpu/bindings.h"

PYBIND11_MODULE(_cpu, module) {
    module.doc() = "Compiled CPU kernels of ugodit. Private: call them through ugodit.kernels.";
    ugodit::bind_sense(module);
    ugodit::bind_calibration(module);
    ugodit::bind_wavelet(module);
    ugodit::bind_variants(module);
}
