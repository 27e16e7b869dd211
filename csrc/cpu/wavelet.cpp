// Haar shrinkage of whole images: the copy for this processor, strips dealt to threads.
#include "cpu/wavelet.h"

#include <cstdint>

#include "cpu/bindings.h"
#include "cpu/thread_pool.h"
#include "cpu/variant.h"

namespace ugodit {
namespace {

ShrinkStrip strip_for(Variant variant) {
#if defined(UGODIT_HAS_ISA_VARIANTS)
    if (variant == Variant::kAvx512) return avx512::shrink_strip();
    if (variant == Variant::kAvx2) return avx2::shrink_strip();
#endif
    (void)variant;
    return baseline::shrink_strip();
}

void shrink_wavelets(int items, int rows, int columns, int levels, int above, int left, int threads,
                     std::uintptr_t image, std::uintptr_t weights, std::uintptr_t result) {
    const ShrinkCall call{reinterpret_cast<const float*>(image),
                          reinterpret_cast<const float*>(weights),
                          reinterpret_cast<float*>(result),
                          rows,
                          columns,
                          levels,
                          above,
                          left};
    pybind11::gil_scoped_release release;
    const ShrinkStrip strip = strip_for(selected_variant());
    const int strips = call.strips();
    parallel_for(items * strips, threads, [&](int index) {
        strip(call, index / strips, index % strips, thread_scratch(call.scratch_floats()));
    });
}

}  // namespace

void bind_wavelet(pybind11::module_& module) {
    module.def("shrink_wavelets", &shrink_wavelets);
}

}  // namespace ugodit
