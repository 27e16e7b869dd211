#include "cpu/variant.h"

#include <atomic>
#include <initializer_list>

namespace ugodit {
namespace {

Variant widest() {
    for (const Variant variant : {Variant::kAvx512, Variant::kAvx2}) {
        if (variant_available(variant)) return variant;
    }
    return Variant::kBaseline;
}

std::atomic<Variant>& selection() {
    static std::atomic<Variant> variant{widest()};
    return variant;
}

}  // namespace

bool variant_available(Variant variant) {
#if defined(UGODIT_HAS_ISA_VARIANTS)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    return variant == Variant::kBaseline || (variant == Variant::kAvx2 ? avx2 : avx512);
#else
    return variant == Variant::kBaseline;
#endif
}

Variant selected_variant() {
    return selection().load(std::memory_order_relaxed);
}

void select_variant(Variant variant) {
    selection().store(variant, std::memory_order_relaxed);
}

}  // namespace ugodit
