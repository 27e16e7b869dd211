// Point-wise ESPIRiT for a whole slice: the copy for this processor, rows dealt to threads.
#include <cstdint>

#include "cpu/bindings.h"
#include "cpu/espirit.h"
#include "cpu/thread_pool.h"
#include "cpu/variant.h"

namespace ugodit {
namespace {

const EspiritKernels& kernels_for(Variant variant) {
#if defined(UGODIT_HAS_ISA_VARIANTS)
    if (variant == Variant::kAvx512) return avx512::espirit_kernels();
    if (variant == Variant::kAvx2) return avx2::espirit_kernels();
#endif
    (void)variant;
    return baseline::espirit_kernels();
}

void espirit_maps(int coils, int rows, int columns, int reach, int sets, float crop, bool soft, int threads,
                  std::uintptr_t correlations, std::uintptr_t row_phases, std::uintptr_t waves,
                  std::uintptr_t reference, std::uintptr_t maps, std::uintptr_t eigenvalues) {
    const espirit::Arguments arguments{reinterpret_cast<const float*>(correlations),
                                       reinterpret_cast<const float*>(row_phases),
                                       reinterpret_cast<const float*>(waves),
                                       reinterpret_cast<const float*>(reference),
                                       reinterpret_cast<float*>(maps),
                                       reinterpret_cast<float*>(eigenvalues),
                                       coils,
                                       rows,
                                       columns,
                                       reach,
                                       sets,
                                       crop,
                                       soft};
    pybind11::gil_scoped_release release;
    const EspiritKernels& kernels = kernels_for(selected_variant());
    const long floats = kernels.scratch_floats(arguments);
    parallel_for(rows, threads, [&](int h) { kernels.row(arguments, h, thread_scratch(floats)); });
}

}  // namespace

void bind_calibration(pybind11::module_& module) {
    module.def("espirit_maps", &espirit_maps);
}

}  // namespace ugodit
