// The kernels of sense.h on the GPU: one thread block an image row.
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "cuda/launch.h"

namespace ugodit::cuda {
namespace {

constexpr int kMostThreads = 256;
// Two blocks of the largest size on a multiprocessor: up to 128 registers a thread.
constexpr int kLeastBlocks = 2;

__global__ void __launch_bounds__(kMostThreads, kLeastBlocks)
    sense_apply(const __grid_constant__ ApplyArguments arguments) {
    apply_body(DeviceBlock{}, arguments);
}

__global__ void __launch_bounds__(kMostThreads, kLeastBlocks)
    sense_solve(const __grid_constant__ SolveArguments arguments) {
    solve_body(DeviceBlock{}, arguments);
}

void check(cudaError_t error, const char* what) {
    if (error == cudaSuccess) return;
    throw std::runtime_error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(error));
}

// Makes a device current for as long as it lives.
class DeviceGuard {
  public:
    explicit DeviceGuard(int device) {
        check(cudaGetDevice(&before_), "cudaGetDevice");
        if (device != before_) check(cudaSetDevice(device), "cudaSetDevice");
        changed_ = device != before_;
    }
    ~DeviceGuard() {
        if (changed_) cudaSetDevice(before_);
    }
    DeviceGuard(const DeviceGuard&) = delete;
    DeviceGuard& operator=(const DeviceGuard&) = delete;

  private:
    int before_ = 0;
    bool changed_ = false;
};

template <class Arguments>
void start(const Target& target, int blocks, void (*kernel)(Arguments), const Arguments& arguments) {
    constexpr int kWithoutAsking = 48 * 1024;
    if (blocks == 0) return;
    const DeviceGuard guard(target.device);
    const Layout& layout = arguments.sense.layout;
    if (layout.shared_bytes > kWithoutAsking) {
        check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, layout.shared_bytes),
              "shared memory");
    }
    kernel<<<blocks, layout.threads, layout.shared_bytes, static_cast<cudaStream_t>(target.stream)>>>(arguments);
    check(cudaGetLastError(), "kernel launch");
}

}  // namespace

int shared_limit(const Target& target) {
    int bytes = 0;
    check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, target.device), "device attribute");
    return bytes;
}

void launch(const Target& target, int blocks, const ApplyArguments& arguments) {
    start(target, blocks, sense_apply, arguments);
}

void launch(const Target& target, int blocks, const SolveArguments& arguments) {
    start(target, blocks, sense_solve, arguments);
}

}  // namespace ugodit::cuda
