// Point-wise ESPIRiT for a whole slice: picks the variant for this processor and deals the rows to threads.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "cpu/bindings.h"
#include "cpu/espirit.h"

namespace ugodit {
namespace {

const EspiritVariant& variant(const std::string& name) {
#if defined(UGODIT_X86)
    const bool avx512 = __builtin_cpu_supports("avx512f");
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx512 && (name == "best" || name == "avx512")) return espirit_avx512;
    if (avx2 && (name == "best" || name == "avx2")) return espirit_avx2;
#endif
    if (name == "best" || name == "baseline") return espirit_baseline;
    throw std::invalid_argument("variant: expected best, or one that this processor has, got " + name);
}

struct Free {
    void operator()(float* memory) const { std::free(memory); }
};

void espirit(const EspiritArguments& arguments, int threads, const EspiritVariant& variant) {
    const std::size_t bytes = (variant.scratch(arguments) * sizeof(float) + 63) / 64 * 64;
    std::vector<std::unique_ptr<float, Free>> scratch;
    for (int t = 0; t < threads; ++t) {
        scratch.emplace_back(static_cast<float*>(std::aligned_alloc(64, bytes)));
        if (!scratch.back()) throw std::bad_alloc();
    }
    std::atomic<int> next{0};
    auto work = [&](int t) {
        for (int h = next++; h < arguments.rows; h = next++) variant.row(arguments, h, scratch[t].get());
    };
    std::vector<std::thread> others;
    for (int t = 1; t < threads; ++t) others.emplace_back(work, t);
    work(0);
    for (auto& other : others) other.join();
}

void bound_espirit(std::uintptr_t correlations, std::uintptr_t row_phases, std::uintptr_t waves,
                   std::uintptr_t reference, std::uintptr_t maps, std::uintptr_t eigenvalues, int coils, int rows,
                   int columns, int reach, int sets, float crop, bool soft, int threads, const std::string& name) {
    const EspiritVariant& chosen = variant(name);
    pybind11::gil_scoped_release release;
    espirit({reinterpret_cast<const float*>(correlations), reinterpret_cast<const float*>(row_phases),
             reinterpret_cast<const float*>(waves), reinterpret_cast<const float*>(reference),
             reinterpret_cast<float*>(maps), reinterpret_cast<float*>(eigenvalues), coils, rows, columns, reach, sets,
             crop, soft},
            threads, chosen);
}

}  // namespace

void bind_calibration(pybind11::module_& module) {
    using pybind11::arg;
    module.def("espirit_maps", bound_espirit, arg("correlations"), arg("row_phases"), arg("waves"), arg("reference"),
               arg("maps"), arg("eigenvalues"), arg("coils"), arg("rows"), arg("columns"), arg("reach"), arg("sets"),
               arg("crop"), arg("soft"), arg("threads"), arg("variant"),
               "Point-wise eigenvectors of ESPIRiT's image-space operator; see csrc/cpu/espirit.h for the layouts.");
}

}  // namespace ugodit
