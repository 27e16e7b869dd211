// Launches ESPIRiT's pixels (calibration.h) on a stream.
#include "cuda/block.h"
#include "cuda/calibration.h"
#include "cuda/calibration_launch.h"

namespace ugodit::cuda {
namespace {

constexpr int kThreads = 128;

__global__ void __launch_bounds__(kThreads) espirit_kernel(EspiritLaunch launch) {
    espirit_body(DeviceBlock{}, launch);
}

}  // namespace

cudaError_t espirit_plan(const espirit::Arguments& arguments, EspiritPlan& plan) {
    int device = 0, processors = 0;
    if (const cudaError_t error = cudaGetDevice(&device)) return error;
    if (const cudaError_t error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device))
        return error;
    plan.shared_bytes = espirit_shared_bytes(arguments);
    if (const cudaError_t error =
            cudaFuncSetAttribute(espirit_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, plan.shared_bytes))
        return error;
    plan.blocks = 4 * processors < arguments.rows ? 4 * processors : arguments.rows;
    plan.workspace_floats =
        static_cast<long>(plan.blocks) * kThreads * EspiritPixel::scratch_lanes(arguments.coils, arguments.sets);
    return cudaSuccess;
}

cudaError_t espirit_launch(const espirit::Arguments& arguments, const EspiritPlan& plan, float* workspace,
                           cudaStream_t stream) {
    espirit_kernel<<<plan.blocks, kThreads, plan.shared_bytes, stream>>>({arguments, workspace, plan.blocks});
    return cudaGetLastError();
}

}  // namespace ugodit::cuda
