// One call: mask tables, threads, and the sum of the pieces in their fixed order.
#include "cpu/sense.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "cpu/bindings.h"
#include "cpu/mask.h"
#include "cpu/pack.h"
#include "cpu/thread_pool.h"
#include "cpu/variant.h"

namespace ugodit {

namespace baseline {
const SenseKernels& sense_kernels();
}
#if defined(UGODIT_HAS_ISA_VARIANTS)
namespace avx2 {
const SenseKernels& sense_kernels();
}
namespace avx512 {
const SenseKernels& sense_kernels();
}
#endif

namespace {

namespace py = pybind11;

const SenseKernels& kernels_for(Variant variant) {
#if defined(UGODIT_HAS_ISA_VARIANTS)
    if (variant == Variant::kAvx512) return avx512::sense_kernels();
    if (variant == Variant::kAvx2) return avx2::sense_kernels();
#endif
    (void)variant;
    return baseline::sense_kernels();
}

// The tables of one Mask per item.
struct Masks {
    std::vector<float> weights, uniform;
    std::vector<int> counts, pairs;
    std::vector<Mask> masks;

    template <class Weight>
    Masks(const fft::Plan& plan, int items, const Weight& weight)
        : weights(static_cast<std::size_t>(items) * plan.n),
          uniform(static_cast<std::size_t>(items) * mask_counts(plan)),
          counts(static_cast<std::size_t>(items) * mask_counts(plan)),
          pairs(static_cast<std::size_t>(items) * mask_pairs(plan)) {
        for (int item = 0; item < items; ++item) {
            masks.push_back(fill_mask(
                plan, [&](int k) { return weight(item, k); }, weights.data() + static_cast<std::size_t>(item) * plan.n,
                uniform.data() + static_cast<std::size_t>(item) * mask_counts(plan),
                counts.data() + static_cast<std::size_t>(item) * mask_counts(plan),
                pairs.data() + static_cast<std::size_t>(item) * mask_pairs(plan)));
        }
    }
};

void run_plane(SenseCall& call, const SenseKernels& kernels, int threads) {
    const Layout& layout = *call.layout;
    const int parts = kLanes / kernels.vector_width;
    // Kept between calls by the calling thread: a fresh plane would cost a page fault for every page of it.
    static thread_local std::vector<float> plane;
    plane.resize(static_cast<std::size_t>(layout.height) * layout.width * 2 * kernels.vector_width);
    call.plane = plane.data();
    for (call.plane_item = 0; call.plane_item < call.items; ++call.plane_item) {
        for (call.plane_block = 0; call.plane_block < layout.blocks * parts; ++call.plane_block) {
            const auto forward = [&](int row) { kernels.plane_forward(call, row); };
            const auto columns = [&](int chunk) { kernels.plane_columns(call, chunk); };
            const auto inverse = [&](int row) { kernels.plane_inverse(call, row); };
            if (call.mode != Mode::kAdjoint) parallel_for(layout.height, threads, forward);
            parallel_for((layout.width + kPlaneColumns - 1) / kPlaneColumns, threads, columns);
            if (call.mode != Mode::kForward) parallel_for(layout.height, threads, inverse);
        }
    }
}

const float* floats(std::uintptr_t address) {
    return reinterpret_cast<const float*>(address);
}
float* writable(std::uintptr_t address) {
    return reinterpret_cast<float*>(address);
}

using Address = std::uintptr_t;

// Runs a call whose arrays are set; results[item] = total of its pieces.
void run(SenseCall& call, const Layout& layout, const float* weights, bool weights_shared, int threads, bool solve,
         float* results) {
    const SenseKernels& kernels = kernels_for(selected_variant());
    const fft::Plan& plan = fft::plan_for(layout.width);
    call.layout = &layout;
    call.plan = &plan;
    const int parts = kLanes / kernels.vector_width;
    call.partials = layout.both ? layout.blocks * parts * layout.width : layout.groups * parts;
    std::vector<double> partial(static_cast<std::size_t>(call.items) * call.partials, 0.0);
    call.partial = partial.data();
    const int width = layout.width;
    const Masks masks(plan, weights_shared || layout.both ? 1 : call.items, [&](int item, int k) {
        return layout.both ? 1.0f : weights[static_cast<std::size_t>(item) * width + k];
    });
    call.masks = masks.masks.data();
    call.masks_stride = weights_shared ? 0 : 1;
    if (layout.both) {
        call.column_plan = &fft::plan_for(layout.height);
        call.weights = weights;
        call.weights_stride = weights_shared ? 0 : static_cast<std::size_t>(layout.height) * width;
    }
    call.scratch_floats = kernels.scratch_floats(call);
    if (layout.both) {
        run_plane(call, kernels, threads);
    } else {
        // Runs of neighbours, since each task fetches the maps of the next one ahead of time.
        const int tasks = call.items * layout.groups;
        const int run = std::clamp(tasks / (threads * 8), 1, 8);
        const auto chunk = [&](int index) {
            for (int task = index * run; task < std::min(tasks, (index + 1) * run); ++task) {
                (solve ? kernels.solve : kernels.rows)(call, task);
            }
        };
        parallel_for((tasks + run - 1) / run, threads, chunk);
    }
    for (int item = 0; results != nullptr && item < call.items; ++item) {
        double total = 0;
        for (int i = 0; i < call.partials; ++i) total += partial[static_cast<std::size_t>(item) * call.partials + i];
        results[item] = static_cast<float>(solve ? std::sqrt(total) : total);
    }
}

void sense_residual(int items, int coils, int height, int width, bool both, int threads, Address image, Address maps,
                    bool maps_shared, Address kspace, bool kspace_shared, Address weights, bool weights_shared,
                    Address loss, Address gradient) {
    const py::gil_scoped_release release;
    const Layout layout(coils, height, width, both);
    SenseCall call{};
    call.items = items;
    call.mode = kspace == 0 ? Mode::kNormal : image == 0 ? Mode::kAdjoint : Mode::kResidual;
    call.image = floats(image);
    call.maps = floats(maps);
    call.maps_stride = maps_shared ? 0 : layout.maps_floats();
    call.kspace = floats(kspace);
    call.kspace_stride = kspace_shared ? 0 : layout.kspace_floats();
    call.gradient = writable(gradient);
    run(call, layout, floats(weights), weights_shared, threads, false, writable(loss));
}

void sense_forward(int items, int coils, int height, int width, bool both, int threads, Address image, Address maps,
                   bool maps_shared, Address weights, bool weights_shared, Address packed) {
    const py::gil_scoped_release release;
    const Layout layout(coils, height, width, both);
    SenseCall call{};
    call.items = items;
    call.mode = Mode::kForward;
    call.image = floats(image);
    call.maps = floats(maps);
    call.maps_stride = maps_shared ? 0 : layout.maps_floats();
    call.measured = writable(packed);
    run(call, layout, floats(weights), weights_shared, threads, false, nullptr);
}

void sense_solve(int items, int coils, int height, int width, int threads, Address rhs, Address start, Address maps,
                 bool maps_shared, Address weights, bool weights_shared, Address mu, int iterations, double tolerance,
                 Address solution, Address residual_norm) {
    const py::gil_scoped_release release;
    const Layout layout(coils, height, width, false);
    SenseCall call{};
    call.items = items;
    call.mode = Mode::kNormal;
    call.image = floats(rhs);
    call.start = floats(start);
    call.maps = floats(maps);
    call.maps_stride = maps_shared ? 0 : layout.maps_floats();
    call.gradient = writable(solution);
    call.mu = floats(mu);
    call.iterations = iterations;
    call.tolerance = tolerance;
    run(call, layout, floats(weights), weights_shared, threads, true, writable(residual_norm));
}

template <void (*Pack)(const Layout&, int, int, const float*, float*)>
void pack(int items, int coils, int height, int width, bool both, int threads, Address from, Address to) {
    const py::gil_scoped_release release;
    Pack(Layout(coils, height, width, both), items, threads, floats(from), writable(to));
}

py::tuple layout(int coils, int height, int width, bool both) {
    const Layout layout(coils, height, width, both);
    return py::make_tuple(layout.rows, layout.groups, layout.blocks);
}

std::vector<std::string> variants() {
    std::vector<std::string> names;
    for (const Variant variant : {Variant::kBaseline, Variant::kAvx2, Variant::kAvx512}) {
        if (variant_available(variant)) names.emplace_back(kVariantNames[static_cast<int>(variant)]);
    }
    return names;
}

void select(const std::string& name) {
    for (const Variant variant : {Variant::kBaseline, Variant::kAvx2, Variant::kAvx512}) {
        if (name == kVariantNames[static_cast<int>(variant)] && variant_available(variant))
            return select_variant(variant);
    }
    throw py::value_error("variant: expected one of variants(), got " + name);
}

double multiply_adds(int rounds, int threads) {
    const py::gil_scoped_release release;
    const SenseKernels& kernels = kernels_for(selected_variant());
    std::vector<double> operations(threads);
    const auto task = [&](int index) {
        float result;
        operations[index] = kernels.multiply_adds(rounds, &result);
    };
    parallel_for(threads, threads, task);
    return std::accumulate(operations.begin(), operations.end(), 0.0);
}

}  // namespace

void bind_sense(py::module_& module) {
    module.def("sense_residual", &sense_residual);
    module.def("sense_forward", &sense_forward);
    module.def("sense_solve", &sense_solve);
    module.def("pack_maps", &pack<pack_maps>);
    module.def("pack_kspace", &pack<pack_kspace>);
    module.def("unpack_kspace", &pack<unpack_kspace>);
    module.def("layout", &layout);
    module.def("variants", &variants);
    module.def("selected_variant", [] { return kVariantNames[static_cast<int>(selected_variant())]; });
    module.def("select_variant", &select);
    module.def("multiply_adds", &multiply_adds);
}

}  // namespace ugodit
