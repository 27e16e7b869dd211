// The instruction sets: which there are, which one is selected, and how fast it can be at best.
#include <pybind11/stl.h>

#include <numeric>
#include <string>
#include <vector>

#include "cpu/bindings.h"
#include "cpu/thread_pool.h"
#include "cpu/variant.h"

namespace py = pybind11;

namespace ugodit {

UGODIT_DECLARE_VARIANTS(double multiply_adds(int rounds, float* result))

namespace {

constexpr Variant kVariants[] = {Variant::kBaseline, Variant::kAvx2, Variant::kAvx512};

std::vector<std::string> variants() {
    std::vector<std::string> names;
    for (const Variant variant : kVariants) {
        if (variant_available(variant)) names.emplace_back(kVariantNames[static_cast<int>(variant)]);
    }
    return names;
}

void select(const std::string& name) {
    for (const Variant variant : kVariants) {
        if (name == kVariantNames[static_cast<int>(variant)] && variant_available(variant))
            return select_variant(variant);
    }
    throw py::value_error("variant: expected one of variants(), got " + name);
}

double total_multiply_adds(std::int64_t rounds, std::int64_t workers) {
    const int count = checked_size("rounds", rounds, 0), threads = checked_threads(workers);
    const auto multiply_adds = UGODIT_SELECTED(multiply_adds);
    std::vector<double> operations(threads);
    const auto task = [&](int index) {
        float result;
        operations[index] = multiply_adds(count, &result);
    };
    parallel_for(threads, threads, task);
    return std::accumulate(operations.begin(), operations.end(), 0.0);
}

}  // namespace

void bind_variants(py::module_& module) {
    module.def("variants", &variants);
    module.def("selected_variant", [] { return kVariantNames[static_cast<int>(selected_variant())]; });
    module.def("select_variant", &select);
    module.def("multiply_adds", &total_multiply_adds, py::call_guard<py::gil_scoped_release>());
}

}  // namespace ugodit
