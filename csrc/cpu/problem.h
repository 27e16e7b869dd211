// The multi-coil operator and its solver as callers see them: sizes and arrays are checked, then the kernels run.
#pragma once

#include "cpu/arrays.h"
#include "cpu/sense.h"

namespace ugodit {

// The layout of these sizes. std::invalid_argument where one is past what the kernels count with.
Layout checked_layout(std::int64_t items, std::int64_t coils, std::int64_t height, std::int64_t width, bool both);

// What every call is given: shapes, threads, sensitivity maps and weights, which packing does without. `one_map`,
// `one_weight`: that array has one item, which serves all.
struct Problem {
    // Throws where a size, a number of tasks or the values of an array are past what the kernels count with.
    Problem(std::int64_t items, std::int64_t coils, std::int64_t height, std::int64_t width, bool both,
            std::int64_t threads, const Array& maps, bool one_map, const Array& weights, bool one_weight);

    int items;
    Layout layout;
    int threads;
    Array maps;
    bool one_map;
    Array weights;
    bool one_weight;

    std::int64_t image_values() const { return std::int64_t{2} * items * layout.height * layout.width; }
    std::int64_t coil_values() const { return image_values() * layout.coils; }  // of unpacked maps or k-space
    std::int64_t maps_values(bool one) const {
        return (one ? 1 : items) * static_cast<std::int64_t>(layout.maps_floats());
    }
    std::int64_t kspace_values(bool one = false) const {
        return (one ? 1 : items) * static_cast<std::int64_t>(layout.kspace_floats());
    }
    std::int64_t weight_values() const {
        return static_cast<std::int64_t>(one_weight ? 1 : items) * layout.width * (layout.both ? layout.height : 1);
    }
};

// Each of them throws std::invalid_argument for an array of another size than the problem's.
// kspace (0, 0): zeros. one_kspace: it has one item, which serves all.
void sense_residual(const Problem& problem, const Array& image, const Array& kspace, bool one_kspace, const Array& loss,
                    const Array& gradient);
void sense_forward(const Problem& problem, const Array& image, const Array& kspace);
void sense_adjoint(const Problem& problem, const Array& kspace, const Array& image);
void sense_solve(const Problem& problem, const Array& rhs, const Array& start, const Array& mu, std::int64_t iterations,
                 double tolerance, const Array& solution, const Array& residual_norm);
void pack_maps(const Problem& problem, const Array& maps, const Array& packed);
void pack_kspace(const Problem& problem, const Array& kspace, const Array& packed);
void unpack_kspace(const Problem& problem, const Array& packed, const Array& kspace);

}  // namespace ugodit
