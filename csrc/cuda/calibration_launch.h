// What the bindings call: plan, allocate the workspace, launch.
#pragma once

#include <cuda_runtime_api.h>

#include "espirit/arguments.h"

namespace ugodit::cuda {

struct EspiritPlan {
    int blocks, shared_bytes;
    long workspace_floats;  // of device memory, to be kept until the launch has run
};

cudaError_t espirit_plan(const espirit::Arguments& arguments, EspiritPlan& plan);
cudaError_t espirit_launch(const espirit::Arguments& arguments, const EspiritPlan& plan, float* workspace,
                           cudaStream_t stream);

}  // namespace ugodit::cuda
