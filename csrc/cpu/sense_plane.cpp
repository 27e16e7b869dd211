// Masks along both axes: rows, columns and rows again over a plane of one vector of coils, [row][position along W].
#include "cpu/mask.h"
#include "cpu/row_set.h"
#include "cpu/sense_isa.h"

namespace ugodit::UGODIT_ISA {
namespace {

// plane_block counts vectors: part of a block fastest.
UGODIT_INLINE std::size_t lane_offset(const SenseCall& call) {
    return call.plane_block % kParts * Vec::kWidth;
}

UGODIT_INLINE const float* row_maps(const SenseCall& call, int row) {
    const Layout& layout = *call.layout;
    const std::size_t block = static_cast<std::size_t>(row) * layout.blocks + call.plane_block / kParts;
    return call.maps + call.plane_item * call.maps_stride + block * layout.block_floats() + lane_offset(call);
}

UGODIT_INLINE float* plane_row(const SenseCall& call, int row) {
    return call.plane + static_cast<std::size_t>(row) * call.plan->n * kValue;
}

}  // namespace

void plane_forward(const SenseCall& call, int row) {
    const fft::Plan& plan = *call.plan;
    const Layout& layout = *call.layout;
    const std::size_t channels = 2 * static_cast<std::size_t>(layout.height) * layout.width;
    float* image = thread_memory(call);
    float* scratch = image + image_floats(plan, 1);
    read_rows(plan, layout, call.image + call.plane_item * channels, row, 1, image);
    apply_maps(plan, 1, row_maps(call, row), image, plane_row(call, row), scratch);
    Vec loss = Vec::zero();
    transform(Mode::kForward, plan, 1, call.masks[0], nullptr, 0, plane_row(call, row), loss, scratch);
}

void plane_columns(const SenseCall& call, int chunk) {
    const Layout& layout = *call.layout;
    const fft::Plan& plan = *call.column_plan;
    const int width = call.plan->n, first = chunk * kPlaneColumns;
    const int columns = width - first < kPlaneColumns ? width - first : kPlaneColumns;
    float* line = thread_memory(call);
    float* scratch = line + static_cast<std::size_t>(plan.n) * kPlaneColumns * kValue;
    float* weight_table = scratch + pass_scratch_floats(plan);
    float* uniform = weight_table + plan.n;
    int* counts = reinterpret_cast<int*>(uniform + plan.n);
    int* pairs = counts + plan.n;
    // Neighbouring columns together: whole cache lines, and one walk through the pages of the plane.
    if (call.mode != Mode::kAdjoint) {
        for (int h = 0; h < plan.n; ++h) {
            const float* from = plane_row(call, plan.input[h]) + static_cast<std::size_t>(first) * kValue;
            for (int c = 0; c < columns; ++c) {
                store_value(load_value(from + c * kValue, kApart),
                            line + (static_cast<std::size_t>(c) * plan.n + h) * kValue, kApart);
            }
        }
    }
    for (int c = 0; c < columns; ++c) {
        const int position = first + c;
        const float* weights = call.weights + call.plane_item * call.weights_stride + call.plan->output[position];
        const auto weight = [&](int k) { return weights[static_cast<std::size_t>(k) * width]; };
        const Mask mask = fill_mask(plan, weight, weight_table, uniform, counts, pairs);
        const std::size_t block = call.plane_block / kParts;
        const std::size_t packed = (block * width + position) * plan.n * 2 * kLanes + lane_offset(call);
        const float* kspace =
            call.kspace == nullptr ? nullptr : call.kspace + call.plane_item * call.kspace_stride + packed;
        float* column = line + static_cast<std::size_t>(c) * plan.n * kValue;
        Vec loss = Vec::zero();
        transform(call.mode, plan, 0, mask, kspace, 0, column, loss, scratch);
        if (call.mode == Mode::kForward) {
            float* out = call.measured + call.plane_item * layout.kspace_floats() + packed;
            for (int h = 0; h < plan.n; ++h) {
                store_value(load_value(column + h * kValue, kApart), out + static_cast<std::size_t>(h) * kPackedValue,
                            kPackedApart);
            }
        } else {
            call.partial[static_cast<std::size_t>(call.plane_item) * call.partials +
                         static_cast<std::size_t>(call.plane_block) * width + position] = sum_lanes(loss);
        }
    }
    if (call.mode != Mode::kForward) {
        for (int h = 0; h < plan.n; ++h) {
            float* to = plane_row(call, plan.input[h]) + static_cast<std::size_t>(first) * kValue;
            for (int c = 0; c < columns; ++c) {
                store_value(load_value(line + (static_cast<std::size_t>(c) * plan.n + h) * kValue, kApart),
                            to + c * kValue, kApart);
            }
        }
    }
}

void plane_inverse(const SenseCall& call, int row) {
    const fft::Plan& plan = *call.plan;
    const Layout& layout = *call.layout;
    const std::size_t channels = 2 * static_cast<std::size_t>(layout.height) * layout.width;
    float* gradient = call.gradient + call.plane_item * channels;
    float* image = thread_memory(call);
    float* scratch = image + image_floats(plan, 1);
    const bool accumulate = call.plane_block > 0;
    if (accumulate) read_rows(plan, layout, gradient, row, 1, image);
    Vec loss = Vec::zero();
    transform(Mode::kInverse, plan, 1, call.masks[0], nullptr, 0, plane_row(call, row), loss, scratch);
    sum_coils(plan, 1, row_maps(call, row), nullptr, plane_row(call, row), image, accumulate, scratch);
    write_rows(plan, layout, gradient, row, 1, image);
}

}  // namespace ugodit::UGODIT_ISA
