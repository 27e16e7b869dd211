// The kernels of sense.h on the GPU: one thread block an image row.
#include "cuda/device.h"
#include "cuda/launch.h"

namespace ugodit::cuda {
namespace {

// Two blocks of the largest size on a multiprocessor: up to 128 registers a thread.
constexpr int kLeastBlocks = 2;
// choose_layout() counts on all of a multiprocessor's shared memory; what is read from global memory is read once.
constexpr int kCarveout = cudaSharedmemCarveoutMaxShared;

__global__ void __launch_bounds__(kMostThreads, kLeastBlocks)
    sense_apply(const __grid_constant__ ApplyArguments arguments) {
    apply_body(DeviceBlock{}, arguments);
}

__global__ void __launch_bounds__(kMostThreads, kLeastBlocks)
    sense_solve(const __grid_constant__ SolveArguments arguments) {
    solve_body(DeviceBlock{}, arguments);
}

}  // namespace

int shared_limit(const Target& target) {
    int bytes = 0;
    check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, target.device), "device attribute");
    return bytes;
}

int processor_count(const Target& target) {
    int count = 0;
    check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, target.device), "device attribute");
    return count;
}

void launch(const Target& target, int blocks, const ApplyArguments& arguments) {
    const Layout& layout = arguments.sense.layout;
    start<sense_apply>(target, blocks, layout.threads, layout.shared_bytes, kCarveout, arguments);
}

void launch(const Target& target, int blocks, const SolveArguments& arguments) {
    const Layout& layout = arguments.sense.layout;
    start<sense_solve>(target, blocks, layout.threads, layout.shared_bytes, kCarveout, arguments);
}

}  // namespace ugodit::cuda
