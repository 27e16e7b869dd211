// One call: mask tables, threads, and the sum of the pieces in their fixed order.
#include "cpu/sense.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu/mask.h"
#include "cpu/thread_pool.h"
#include "cpu/variant.h"

namespace ugodit {

UGODIT_DECLARE_VARIANTS(const SenseKernels& sense_kernels())

namespace {

// The tables of one Mask per item.
struct Masks {
    std::vector<float> weights, uniform;
    std::vector<int> counts, pairs;
    std::vector<Mask> masks;

    template <class Weight>
    Masks(const fft::Plan& plan, int items, const Weight& weight)
        : weights(static_cast<std::size_t>(items) * plan.n),
          uniform(static_cast<std::size_t>(items) * mask_counts(plan)),
          counts(static_cast<std::size_t>(items) * mask_counts(plan)),
          pairs(static_cast<std::size_t>(items) * mask_pairs(plan)) {
        for (int item = 0; item < items; ++item) {
            masks.push_back(fill_mask(
                plan, [&](int k) { return weight(item, k); }, weights.data() + static_cast<std::size_t>(item) * plan.n,
                uniform.data() + static_cast<std::size_t>(item) * mask_counts(plan),
                counts.data() + static_cast<std::size_t>(item) * mask_counts(plan),
                pairs.data() + static_cast<std::size_t>(item) * mask_pairs(plan)));
        }
    }
};

void run_plane(SenseCall& call, const SenseKernels& kernels, int threads) {
    const Layout& layout = *call.layout;
    const int parts = kLanes / kernels.vector_width;
    // Kept between calls by the calling thread: a fresh plane would cost a page fault for every page of it.
    static thread_local std::vector<float> plane;
    plane.resize(static_cast<std::size_t>(layout.height) * layout.width * 2 * kernels.vector_width);
    call.plane = plane.data();
    for (call.plane_item = 0; call.plane_item < call.items; ++call.plane_item) {
        for (call.plane_block = 0; call.plane_block < layout.blocks * parts; ++call.plane_block) {
            const auto forward = [&](int row) { kernels.plane_forward(call, row); };
            const auto columns = [&](int chunk) { kernels.plane_columns(call, chunk); };
            const auto inverse = [&](int row) { kernels.plane_inverse(call, row); };
            if (call.mode != Mode::kAdjoint) parallel_for(layout.height, threads, forward);
            parallel_for((layout.width + kPlaneColumns - 1) / kPlaneColumns, threads, columns);
            if (call.mode != Mode::kForward) parallel_for(layout.height, threads, inverse);
        }
    }
}

}  // namespace

void run_sense(SenseCall& call, const Layout& layout, const float* weights, bool one_weight, int threads, bool solve,
               float* results) {
    const SenseKernels& kernels = UGODIT_SELECTED(sense_kernels)();
    const fft::Plan& plan = fft::plan_for(layout.width);
    call.layout = &layout;
    call.plan = &plan;
    const int parts = kLanes / kernels.vector_width;
    call.partials = layout.both ? layout.blocks * parts * layout.width : layout.groups * parts;
    std::vector<double> partial(static_cast<std::size_t>(call.items) * call.partials, 0.0);
    call.partial = partial.data();
    const int width = layout.width;
    const Masks masks(plan, one_weight || layout.both ? 1 : call.items, [&](int item, int k) {
        return layout.both ? 1.0f : weights[static_cast<std::size_t>(item) * width + k];
    });
    call.masks = masks.masks.data();
    call.masks_stride = one_weight ? 0 : 1;
    if (layout.both) {
        call.column_plan = &fft::plan_for(layout.height);
        call.weights = weights;
        call.weights_stride = one_weight ? 0 : static_cast<std::size_t>(layout.height) * width;
    }
    call.scratch_floats = kernels.scratch_floats(call);
    if (layout.both) {
        run_plane(call, kernels, threads);
    } else {
        // Runs of neighbours, since each task fetches the maps of the next one ahead of time.
        const int tasks = call.items * layout.groups;
        const int run = std::clamp(tasks / (threads * 8), 1, 8);
        const auto chunk = [&](int index) {
            for (int task = index * run; task < std::min(tasks, (index + 1) * run); ++task) {
                (solve ? kernels.solve : kernels.rows)(call, task);
            }
        };
        parallel_for((tasks + run - 1) / run, threads, chunk);
    }
    for (int item = 0; results != nullptr && item < call.items; ++item) {
        double total = 0;
        for (int i = 0; i < call.partials; ++i) total += partial[static_cast<std::size_t>(item) * call.partials + i];
        results[item] = static_cast<float>(solve ? std::sqrt(total) : total);
    }
}

}  // namespace ugodit
