// Masks along the width: every row group is a task of its own, from image to gradient, while its data are in cache.
#include "cpu/row_set.h"
#include "cpu/sense_isa.h"

namespace ugodit::UGODIT_ISA {

std::size_t rows_scratch_floats(const SenseCall& call) {
    const fft::Plan& plan = *call.plan;
    std::size_t floats = static_cast<std::size_t>(plan.n) * kValue + pass_scratch_floats(plan) +
                         4 * image_floats(plan, RowSets(*call.layout).rows);  // a solve's four vectors
    if (call.column_plan != nullptr) {
        const fft::Plan& column = *call.column_plan;
        // Columns, their passes, and a Mask's four tables of at most n entries each.
        floats += static_cast<std::size_t>(column.n) * (kPlaneColumns * kValue + 4) + pass_scratch_floats(column);
    }
    return floats + 64;
}

void sense_rows(const SenseCall& call, int task) {
    const Layout& layout = *call.layout;
    const fft::Plan& plan = *call.plan;
    const int item = task / layout.groups, group = task % layout.groups;
    const RowSets sets(layout);
    const bool forward = call.mode != Mode::kAdjoint, inverse = call.mode != Mode::kForward;
    const std::size_t channels = 2 * static_cast<std::size_t>(layout.height) * layout.width;
    const std::size_t packed = static_cast<std::size_t>(group) * layout.blocks * layout.block_floats();
    const float* maps = call.maps + item * call.maps_stride + packed;
    const float* kspace = call.kspace == nullptr ? nullptr : call.kspace + item * call.kspace_stride + packed;
    const Mask& mask = call.masks[item * call.masks_stride];
    // The next task's maps lie behind this one's, but for the last row group of an item.
    const std::size_t row_floats = layout.blocks * layout.block_floats();
    const float* next = group + 1 < layout.groups ? maps + row_floats : nullptr;
    float* image = thread_memory(call);
    float* gradient = image + image_floats(plan, sets.rows);
    float* work = gradient + image_floats(plan, sets.rows);
    float* scratch = work + static_cast<std::size_t>(plan.n) * kValue;
    for (int set = 0; set < sets.sets; ++set) {
        const int first = group * layout.rows + set * sets.rows;
        if (forward) read_rows(plan, layout, call.image + item * channels, first, sets.rows, image);
        double total = 0;
        for (int vector = 0; vector < layout.blocks * sets.parts; ++vector) {
            const int block = vector / sets.parts, part = set * sets.parts + vector % sets.parts;
            const std::size_t offset = block * layout.block_floats() + part * Vec::kWidth;
            Vec loss = Vec::zero();
            if (forward) apply_maps(plan, sets.rows, maps + offset, image, work, scratch);
            transform(call.mode, plan, 1, mask, kspace == nullptr ? nullptr : kspace + offset,
                      next == nullptr ? 0 : row_floats, work, loss, scratch);
            if (inverse) {
                sum_coils(plan, sets.rows, maps + offset, next == nullptr ? nullptr : next + offset, work, gradient,
                          vector > 0, scratch);
                total += sum_lanes(loss);
            } else {
                float* out = call.measured + item * layout.kspace_floats() + packed + offset;
                for (int position = 0; position < plan.n; ++position) {
                    store_value(load_value(work + position * kValue, kApart),
                                out + static_cast<std::ptrdiff_t>(position) * kPackedValue, kPackedApart);
                }
            }
        }
        if (inverse) {
            write_rows(plan, layout, call.gradient + item * channels, first, sets.rows, gradient);
            call.partial[static_cast<std::size_t>(item) * call.partials + group * sets.sets + set] = total;
        }
    }
}

const SenseKernels& sense_kernels() {
    static constexpr SenseKernels kernels{Vec::kWidth,   rows_scratch_floats, sense_rows,   solve_rows,
                                          plane_forward, plane_columns,       plane_inverse};
    return kernels;
}

}  // namespace ugodit::UGODIT_ISA
