// ESPIRiT's pixels (calibration.h) on the GPU.
#include "cuda/calibration.h"
#include "cuda/device.h"
#include "cuda/launch.h"

namespace ugodit::cuda {
namespace {

template <bool Shared>
__global__ void __launch_bounds__(kEspiritThreads, kEspiritBlocks)
    espirit_kernel(const __grid_constant__ EspiritLaunch arguments) {
    espirit_body<Shared>(DeviceBlock{}, arguments);
}

}  // namespace

void launch(const Target& target, const EspiritPlan& plan, const EspiritLaunch& arguments) {
    constexpr int kCarveout = -1;  // the threads' matrices want the first-level cache
    if (plan.shared) {
        start<espirit_kernel<true>>(target, plan.blocks, plan.threads, plan.shared_bytes, kCarveout, arguments);
    } else {
        start<espirit_kernel<false>>(target, plan.blocks, plan.threads, plan.shared_bytes, kCarveout, arguments);
    }
}

}  // namespace ugodit::cuda
