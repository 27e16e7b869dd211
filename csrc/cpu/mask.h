// Weights of one row or column, in the order of its plan, and the lists that let the last pass skip what they exclude.
#pragma once

#include "cpu/sense.h"

namespace ugodit {

UGODIT_INLINE int last_radix(const fft::Plan& plan) {
    return plan.stages[plan.stage_count - 1].radix;
}

// Entries of Mask::counts, Mask::uniform and Mask::pairs for a plan.
UGODIT_INLINE int mask_counts(const fft::Plan& plan) {
    return plan.n / last_radix(plan);
}
UGODIT_INLINE int mask_pairs(const fft::Plan& plan) {
    return plan.stages[plan.stage_count - 1].roots < 0 ? 0 : mask_counts(plan) * ((last_radix(plan) - 1) / 2);
}

// weight(k): the weight of centred frequency k.
template <class Weight>
UGODIT_INLINE Mask fill_mask(const fft::Plan& plan, const Weight& weight, float* weights, float* uniform, int* counts,
                             int* pairs) {
    const int radix = last_radix(plan), half = (radix - 1) / 2;
    const bool dense = plan.stages[plan.stage_count - 1].roots >= 0;
    for (int position = 0; position < plan.n; ++position) weights[position] = weight(plan.output[position]);
    for (int block = 0; block < plan.n / radix; ++block) {
        const float* here = weights + block * radix;
        uniform[block] = here[0];
        for (int k = 1; k < radix; ++k) {
            if (here[k] != here[0]) uniform[block] = 0.0f;
        }
        int count = 0;
        if (dense) {
            for (int k = 1; k <= half; ++k) {
                if (here[k] != 0.0f || here[radix - k] != 0.0f) pairs[block * half + count++] = k;
            }
        } else {
            for (int k = 0; k < radix; ++k) count += here[k] != 0.0f;
        }
        counts[block] = count;
    }
    return {weights, uniform, counts, pairs};
}

}  // namespace ugodit
