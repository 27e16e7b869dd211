// Random values, arrays as the kernels take them, and comparisons.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/arrays.h"
#include "reference.h"

namespace driver {

using Floats = std::vector<float>;

class Random {
  public:
    explicit Random(std::uint64_t seed) : engine_(seed) {}
    int integer(int least, int most) { return std::uniform_int_distribution<int>(least, most)(engine_); }
    bool chance(double share) { return uniform() < share; }
    double uniform() { return std::uniform_real_distribution<double>(0, 1)(engine_); }
    float normal() { return static_cast<float>(gauss_(engine_)); }
    // Small sizes as often as large ones.
    int size(int most) { return static_cast<int>(std::exp(uniform() * std::log(most + 0.999))); }
    Floats normals(std::size_t count) {
        Floats values(count);
        for (float& value : values) value = normal();
        return values;
    }

  private:
    std::mt19937_64 engine_;
    std::normal_distribution<double> gauss_;
};

// Memory that nobody has written shows as NaN.
inline Floats unwritten(std::size_t count) {
    return Floats(count, std::numeric_limits<float>::quiet_NaN());
}

inline ugodit::Array array(const Floats& values) {
    return {reinterpret_cast<std::uintptr_t>(values.data()), static_cast<std::int64_t>(values.size())};
}

inline void require(bool holds, const std::string& what) {
    if (!holds) throw std::runtime_error(what);
}

inline void require_same_bits(const Floats& a, const Floats& b, const std::string& what) {
    const bool same = a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
    require(same, what + ": other bits with another number of threads");
}

// |value - truth| against |truth|; few values may cancel, and lose digits by that.
inline void require_close(const reference::Values& value, const reference::Values& truth, double tolerance,
                          const std::string& what) {
    double error = 0, scale = 0;
    for (std::size_t i = 0; i < truth.size(); ++i) {
        error += std::norm(value[i] - truth[i]);
        scale += std::norm(truth[i]);
    }
    const double allowed = (truth.size() < 64 ? 30 : 1) * tolerance;
    require(std::sqrt(error) <= allowed * std::sqrt(scale) + 1e-30,
            what + ": relative error " + std::to_string(std::sqrt(error / scale)));
}

}  // namespace driver
