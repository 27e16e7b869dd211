// Which instruction set's copy of the kernels runs.
#pragma once

namespace ugodit {

enum class Variant { kBaseline, kAvx2, kAvx512 };

constexpr const char* kVariantNames[] = {"baseline", "avx2", "avx512"};

bool variant_available(Variant variant);
Variant selected_variant();  // the widest available one, unless a test selected another
void select_variant(Variant variant);

}  // namespace ugodit
