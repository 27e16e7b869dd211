// The copies of ESPIRiT's pixels for each instruction set.
#pragma once

#include "cpu/variant.h"
#include "espirit/arguments.h"

namespace ugodit {

struct EspiritKernels {
    long (*scratch_floats)(const espirit::Arguments&);              // that one thread needs, 64-byte aligned
    void (*row)(const espirit::Arguments&, int h, float* scratch);  // fills row h of the maps and eigenvalues
};

UGODIT_DECLARE_VARIANTS(const EspiritKernels& espirit_kernels())

}  // namespace ugodit
