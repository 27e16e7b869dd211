// The copies of ESPIRiT's pixels for each instruction set.
#pragma once

#include "espirit/arguments.h"

namespace ugodit {

struct EspiritKernels {
    long (*scratch_floats)(const espirit::Arguments&);              // that one thread needs, 64-byte aligned
    void (*row)(const espirit::Arguments&, int h, float* scratch);  // fills row h of the maps and eigenvalues
};

namespace baseline {
const EspiritKernels& espirit_kernels();
}
#if defined(UGODIT_HAS_ISA_VARIANTS)
namespace avx2 {
const EspiritKernels& espirit_kernels();
}
namespace avx512 {
const EspiritKernels& espirit_kernels();
}
#endif

}  // namespace ugodit
