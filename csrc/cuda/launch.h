// Launchers: sense.cu and calibration.cu run the bodies of sense.h and calibration.h on the GPU, host.cpp runs the very
// same on this processor for tests.
#pragma once

#include "cuda/calibration.h"
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
// The device's multiprocessors.
int processor_count(const Target& target);

// `blocks`: items times rows. Throw std::runtime_error.
void launch(const Target& target, int blocks, const ApplyArguments& arguments);
void launch(const Target& target, int blocks, const SolveArguments& arguments);
void launch(const Target& target, const EspiritPlan& plan, const EspiritLaunch& arguments);

}  // namespace ugodit::cuda
