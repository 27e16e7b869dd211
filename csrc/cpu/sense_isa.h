// The functions that sense_rows.cpp, sense_solve.cpp and sense_plane.cpp define once for each instruction set.
#pragma once

#include "cpu/sense.h"

namespace ugodit::UGODIT_ISA {

std::size_t rows_scratch_floats(const SenseCall& call);
void sense_rows(const SenseCall& call, int task);
void solve_rows(const SenseCall& call, int task);
void plane_forward(const SenseCall& call, int row);
void plane_columns(const SenseCall& call, int chunk);
void plane_inverse(const SenseCall& call, int row);
const SenseKernels& sense_kernels();

}  // namespace ugodit::UGODIT_ISA
