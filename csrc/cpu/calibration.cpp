// Point-wise ESPIRiT for a whole slice: the copy for this processor, rows dealt to threads.
#include "cuda/calibration.h"

#include <cstdint>
#include <limits>
#include <vector>

#include "cpu/bindings.h"
#include "cpu/espirit.h"
#include "cpu/thread_pool.h"
#include "cpu/variant.h"
#include "cuda/block.h"

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

// The GPU's kernel on the host, for tests: block after block, thread after thread between barriers, either way round.
void espirit_maps_by_blocks(int blocks, int threads, bool descending, int coils, int rows, int columns, int reach,
                            int sets, float crop, bool soft, std::uintptr_t correlations, std::uintptr_t row_phases,
                            std::uintptr_t waves, std::uintptr_t reference, std::uintptr_t maps,
                            std::uintptr_t eigenvalues) {
    cuda::EspiritLaunch launch{};
    launch.arguments = {reinterpret_cast<const float*>(correlations),
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
    const float nan = std::numeric_limits<float>::quiet_NaN();  // nothing may rely on what memory held before
    const long lanes = cuda::EspiritPixel::scratch_lanes(coils, sets);
    std::vector<float> workspace(static_cast<std::size_t>(blocks) * threads * lanes, nan);
    std::vector<float> shared(cuda::espirit_shared_bytes(launch.arguments) / sizeof(float), nan);
    launch.workspace = workspace.data();
    launch.blocks = blocks;
    for (int block = 0; block < blocks; ++block) {
        auto* memory = reinterpret_cast<unsigned char*>(shared.data());
        cuda::espirit_body(cuda::HostBlock{block, threads, memory, descending}, launch);
    }
}

}  // namespace

void bind_calibration(pybind11::module_& module) {
    module.def("espirit_maps", &espirit_maps);
    module.def("espirit_maps_by_blocks", &espirit_maps_by_blocks);
}

}  // namespace ugodit
