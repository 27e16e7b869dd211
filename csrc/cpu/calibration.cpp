// Point-wise ESPIRiT for a whole slice: the copy for this processor, rows dealt to threads.
#include "cpu/calibration.h"

#include "cpu/espirit.h"
#include "cpu/thread_pool.h"
#include "cpu/variant.h"
#include "espirit/checked.h"

namespace ugodit {

EspiritProblem espirit_problem(std::int64_t coils, std::int64_t rows, std::int64_t columns, std::int64_t reach,
                               std::int64_t sets, float crop, bool soft, std::int64_t threads) {
    return {espirit::checked_arguments(coils, rows, columns, reach, sets, crop, soft), checked_threads(threads)};
}

void espirit_maps(const EspiritProblem& problem, const Array& correlations, const Array& row_phases, const Array& waves,
                  const Array& reference, const Array& maps, const Array& eigenvalues) {
    espirit::Arguments arguments = problem.arguments;
    const std::int64_t terms = arguments.terms();
    const std::int64_t pixels = static_cast<std::int64_t>(arguments.rows) * arguments.columns;
    arguments.correlations = values("correlations", correlations, 2 * terms * terms * arguments.pairs());
    arguments.row_phases = values("row_phases", row_phases, 2 * terms * arguments.rows);
    arguments.waves = values("waves", waves, std::int64_t{2} * arguments.reach * arguments.columns);
    arguments.reference = values("reference", reference, 2 * arguments.coils);
    arguments.maps = values("maps", maps, 2 * pixels * arguments.sets * arguments.coils);
    arguments.eigenvalues = values("eigenvalues", eigenvalues, pixels * arguments.sets);
    const EspiritKernels& kernels = UGODIT_SELECTED(espirit_kernels)();
    const long floats = kernels.scratch_floats(arguments);
    parallel_for(arguments.rows, problem.threads, [&](int h) { kernels.row(arguments, h, thread_scratch(floats)); });
}

}  // namespace ugodit
