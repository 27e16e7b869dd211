// The one constant of the packed layout that sources with and without SIMD share.
#pragma once

namespace ugodit {

constexpr int kLanes = 16;

}  // namespace ugodit
