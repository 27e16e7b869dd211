// ESPIRiT's maps and shrinkage of wavelets as callers see them: sizes and arrays are checked, then the kernels run.
// Apart from espirit.h and wavelet.h, which the sources of each instruction set include.
#pragma once

#include "cpu/arrays.h"
#include "espirit/arguments.h"

namespace ugodit {

// ESPIRiT's sizes and options; the arrays (espirit/arguments.h) come with the call.
struct EspiritProblem {
    espirit::Arguments arguments;
    int threads;
};

// Both throw std::invalid_argument, for sizes that are past what the kernels count with and arrays of another size.
EspiritProblem espirit_problem(std::int64_t coils, std::int64_t rows, std::int64_t columns, std::int64_t reach,
                               std::int64_t sets, float crop, bool soft, std::int64_t threads);
void espirit_maps(const EspiritProblem& problem, const Array& correlations, const Array& row_phases, const Array& waves,
                  const Array& reference, const Array& maps, const Array& eigenvalues);

// The images, weights and blocks of a ShrinkCall (wavelet.h), strips dealt to threads. std::invalid_argument for sizes
// that are past what the kernels count with, and arrays of another size.
void shrink_wavelets(std::int64_t items, std::int64_t rows, std::int64_t columns, std::int64_t levels,
                     std::int64_t above, std::int64_t left, std::int64_t threads, const Array& image,
                     const Array& weights, const Array& result);

}  // namespace ugodit
