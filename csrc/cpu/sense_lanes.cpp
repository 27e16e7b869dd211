#include "cpu/sense_lanes.h"

#include "cpu/last_stage.h"
#include "cpu/map_passes.h"

namespace ugodit::UGODIT_ISA {
namespace {

template <class S>
void run(const Plan& plan, int first_stage, const Mask& mask, const float* measured, std::ptrdiff_t ahead, float* work,
         Vec& loss, float* scratch) {
    S sink{};
    sink.weights = mask.weights;
    sink.measured = measured;
    sink.ahead = ahead;
    sink.data = WorkData{work};
    sink.loss = Vec::zero();
    const int step = first_stage == 0 ? plan.n : plan.stages[0].span;
    for (int base = 0; base < plan.n; base += step) {
        run_block(plan, first_stage, base, mask, sink.data, sink, scratch);
        // Partial sums block by block: fewer roundings of the large total.
        loss = loss + sink.loss;
        sink.loss = Vec::zero();
    }
}

}  // namespace

std::size_t pass_scratch_floats(const fft::Plan& plan) {
    std::size_t dense = 0;
    for (int s = 0; s < plan.stage_count; ++s) {
        const std::size_t floats = static_cast<std::size_t>(plan.stages[s].radix) * kFolded;
        if (plan.stages[s].roots >= 0 && floats > dense) dense = floats;
    }
    const std::size_t line = plan.inner == nullptr ? 0 : static_cast<std::size_t>(plan.inner->n) * kValue;
    return dense + line;
}

void apply_maps(const fft::Plan& plan, int rows, const float* maps, const float* image, float* work, float* scratch) {
    switch (rows) {
        case 1:
            return apply_maps_rows<1>(plan, maps, image, work, scratch);
        case 2:
            return apply_maps_rows<2>(plan, maps, image, work, scratch);
        case 4:
            return apply_maps_rows<4>(plan, maps, image, work, scratch);
#if defined(UGODIT_ISA_AVX512) || defined(UGODIT_ISA_AVX2)
        case 8:
            return apply_maps_rows<8>(plan, maps, image, work, scratch);
#endif
#if defined(UGODIT_ISA_AVX512)
        case 16:
            return apply_maps_rows<16>(plan, maps, image, work, scratch);
#endif
        default:
            __builtin_unreachable();
    }
}

void sum_coils(const fft::Plan& plan, int rows, const float* maps, const float* next, const float* work, float* image,
               bool accumulate, float* scratch) {
    switch (rows) {
        case 1:
            return sum_coils_rows<1>(plan, maps, next, work, image, accumulate, scratch);
        case 2:
            return sum_coils_rows<2>(plan, maps, next, work, image, accumulate, scratch);
        case 4:
            return sum_coils_rows<4>(plan, maps, next, work, image, accumulate, scratch);
#if defined(UGODIT_ISA_AVX512) || defined(UGODIT_ISA_AVX2)
        case 8:
            return sum_coils_rows<8>(plan, maps, next, work, image, accumulate, scratch);
#endif
#if defined(UGODIT_ISA_AVX512)
        case 16:
            return sum_coils_rows<16>(plan, maps, next, work, image, accumulate, scratch);
#endif
        default:
            __builtin_unreachable();
    }
}

void transform(Mode mode, const fft::Plan& plan, int first_stage, const Mask& mask, const float* measured,
               std::ptrdiff_t ahead, float* work, Vec& loss, float* scratch) {
    switch (mode) {
        case Mode::kResidual:
            return run<ResidualSink>(plan, first_stage, mask, measured, ahead, work, loss, scratch);
        case Mode::kNormal:
            return run<NormalSink>(plan, first_stage, mask, measured, ahead, work, loss, scratch);
        case Mode::kForward:
            return run<ForwardSink>(plan, first_stage, mask, measured, ahead, work, loss, scratch);
        case Mode::kAdjoint:
            return run<AdjointSink>(plan, first_stage, mask, measured, ahead, work, loss, scratch);
        case Mode::kInverse:
            return run<InverseSink>(plan, first_stage, mask, measured, ahead, work, loss, scratch);
    }
}

}  // namespace ugodit::UGODIT_ISA
