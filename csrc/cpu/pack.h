// Between complex arrays (item, coil, height, width) and the packed layout of sense.h.
#pragma once

#include "cpu/sense.h"

namespace ugodit {

// Arrays of interleaved complex64, contiguous.
void pack_maps(const Layout& layout, int items, int threads, const float* maps, float* packed);
void pack_kspace(const Layout& layout, int items, int threads, const float* kspace, float* packed);
void unpack_kspace(const Layout& layout, int items, int threads, const float* packed, float* kspace);

}  // namespace ugodit
