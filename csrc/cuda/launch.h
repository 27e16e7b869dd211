// Launchers: sense.cu runs the bodies of sense.h on the GPU, host.cpp runs the very same on this processor for tests.
#pragma once

#include "cuda/sense.h"

namespace ugodit::cuda {

// Where to run. `descending` and `device` matter to one of the two only.
struct Target {
    int device = 0;
    void* stream = nullptr;
    bool descending = false;
};

// The bytes of shared memory that a block on this device may have.
int shared_limit(const Target& target);

// `blocks`: items times rows. Throw std::runtime_error.
void launch(const Target& target, int blocks, const ApplyArguments& arguments);
void launch(const Target& target, int blocks, const SolveArguments& arguments);

}  // namespace ugodit::cuda
