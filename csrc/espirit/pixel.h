// One pixel of ESPIRiT, or one a SIMD lane (values.h): its maps are the dominant eigenvectors of its operator, with
// their phase turned to the reference. Further sets of maps repeat it after deflation.
#pragma once

#include "espirit/eigenpair.h"
#include "espirit/operator.h"

namespace ugodit::espirit {

template <class Target>
struct Pixel : Eigenpair<Target> {
    using typename Values<Target>::Lanes;
    using typename Values<Target>::Mask;
    using typename Values<Target>::Complex;
    using typename Values<Target>::Complexes;
    using typename Values<Target>::Scratch;
    using Values<Target>::larger;
    using Values<Target>::times;
    using Values<Target>::add_conj_product;
    using Eigenpair<Target>::deflate;
    using Eigenpair<Target>::tridiagonalise;
    using Eigenpair<Target>::largest_eigenvalue;
    using Eigenpair<Target>::inverse_iteration;
    using Eigenpair<Target>::back_transform;

    // BART's ecalib: a step at `crop`, or with soft weights a smooth one from crop - (1 - crop) to 1 in
    // sqrt(eigenvalue).
    UGODIT_DEVICE static Lanes crop_weight(Lanes value, float crop, bool soft) {
        if (!soft) return Target::select(value > Target::all(crop), Target::all(1), Lanes{});
        const Lanes x = (Target::root(larger(value, Lanes{})) - crop) / (1.0f - crop);
        const Lanes smooth = 0.5f + x / (1.0f + x * x);
        return Target::select(x < Target::all(-1), Lanes{}, Target::select(x > Target::all(1), Target::all(1), smooth));
    }

    // What turns the phase of x to the reference and weighs it by the crop.
    UGODIT_DEVICE static Complex turn(const Arguments& a, Complexes x, Lanes value) {
        Complex inner = {};
        for (int c = 0; c < a.coils; ++c)
            add_conj_product(inner, {Target::all(a.reference[2 * c]), Target::all(a.reference[2 * c + 1])}, x[c]);
        const Lanes size = Target::root(inner.re * inner.re + inner.im * inner.im);
        const Mask live = size > Target::all(1e-12f);  // orthogonal to the reference: any phase will do
        const Lanes weight = crop_weight(value, a.crop, a.soft);
        const Lanes scale = weight / Target::select(live, size, Target::all(1));
        return {Target::select(live, inner.re * scale, weight), Target::select(live, -inner.im * scale, Lanes{})};
    }

    // Stores what belongs to `count` pixels of row h from column w on, one a lane.
    struct Writer {
        const Arguments& a;
        long first, plane;
        int count;

        UGODIT_DEVICE Writer(const Arguments& a, int h, int w, int count)
            : a(a),
              first(static_cast<long>(h) * a.columns + w),
              plane(static_cast<long>(a.rows) * a.columns),
              count(count) {}
        UGODIT_DEVICE void eigenvalue(int set, Lanes value) const {
            float* out = a.eigenvalues + set * plane + first;
            for (int i = 0; i < count; ++i) out[i] = Target::lane(value, i);
        }
        UGODIT_DEVICE void map(int set, int coil, Complex value) const {
            float* out = a.maps + 2 * ((static_cast<long>(set) * a.coils + coil) * plane + first);
            for (int i = 0; i < count; ++i) {
                out[2 * i] = Target::lane(value.re, i);
                out[2 * i + 1] = Target::lane(value.im, i);
            }
        }
    };

    // All sets of maps of a pixel. evaluate(matrix) fills the operator's lower triangle.
    template <class Evaluate>
    UGODIT_DEVICE static void solve(const Arguments& a, Scratch& s, const Evaluate& evaluate, const Writer& write) {
        for (int set = 0; set < a.sets; ++set) {
            evaluate(s.matrix);
            for (int known = 0; known < set; ++known)
                deflate(s.matrix, a.coils, s.found + known * a.coils, s.value[known]);
            tridiagonalise(s.matrix, a.coils, s);
            const Lanes value = largest_eigenvalue(s, a.coils);
            s.value[set] = value;
            inverse_iteration(s, a.coils, value);
            const Complexes x = s.found + set * a.coils;
            back_transform(s.matrix, a.coils, s, x);
            const Complex factor = turn(a, x, value);
            write.eigenvalue(set, value);
            for (int c = 0; c < a.coils; ++c) write.map(set, c, times(x[c], factor));
        }
    }
};

}  // namespace ugodit::espirit
