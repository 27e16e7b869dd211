// What the launchers in *.cu files share: errors, the current device, shared memory.
#pragma once

#include <cuda_runtime.h>

#include <mutex>
#include <stdexcept>
#include <string>

#include "cuda/launch.h"

namespace ugodit::cuda {

inline void check(cudaError_t error, const char* what) {
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

// Lets the kernel have all the shared memory that a block of the current device may have. What a launch asks for
// differs, but the permission is the same for all, so threads that launch at once cannot take it from each other.
// `carveout`: the share of the multiprocessor's memory that should be shared memory, or -1 for the driver's choice.
template <auto Kernel>
void allow_shared_memory(int device, int carveout) {
    constexpr int kDevices = 64;
    static std::once_flag done[kDevices];
    const auto allow = [device, carveout] {
        check(cudaFuncSetAttribute(Kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_limit({device})),
              "shared memory");
        if (carveout >= 0) {
            check(cudaFuncSetAttribute(Kernel, cudaFuncAttributePreferredSharedMemoryCarveout, carveout), "carve-out");
        }
    };
    if (device < kDevices) {
        std::call_once(done[device], allow);
    } else {
        allow();
    }
}

// Queues `blocks` blocks of the kernel on the target's stream.
template <auto Kernel, class Arguments>
void start(const Target& target, int blocks, int threads, int shared_bytes, int carveout, const Arguments& arguments) {
    if (blocks == 0) return;
    const DeviceGuard guard(target.device);
    allow_shared_memory<Kernel>(target.device, carveout);
    Kernel<<<blocks, threads, shared_bytes, static_cast<cudaStream_t>(target.stream)>>>(arguments);
    check(cudaGetLastError(), "kernel launch");
}

}  // namespace ugodit::cuda
