// Which instruction set's copy of the kernels runs.
#pragma once

namespace ugodit {

enum class Variant { kBaseline, kAvx2, kAvx512 };

constexpr const char* kVariantNames[] = {"baseline", "avx2", "avx512"};

bool variant_available(Variant variant);
Variant selected_variant();  // the widest available one, unless a test selected another
void select_variant(Variant variant);

// Declares what the sources of ugodit_add_isa_variants (CMakeLists.txt) define in each instruction set's namespace.
#define UGODIT_DECLARE_VARIANTS(declaration) \
    namespace baseline {                     \
    declaration;                             \
    }                                        \
    namespace avx2 {                         \
    declaration;                             \
    }                                        \
    namespace avx512 {                       \
    declaration;                             \
    }

// The selected instruction set's copy of such a function.
#if defined(UGODIT_HAS_ISA_VARIANTS)
template <class Function>
Function of_selected_variant(Function baseline, Function avx2, Function avx512) {
    switch (selected_variant()) {
        case Variant::kAvx512:
            return avx512;
        case Variant::kAvx2:
            return avx2;
        default:
            return baseline;
    }
}
#define UGODIT_SELECTED(function) of_selected_variant(&baseline::function, &avx2::function, &avx512::function)
#else
#define UGODIT_SELECTED(function) (&baseline::function)
#endif

}  // namespace ugodit
