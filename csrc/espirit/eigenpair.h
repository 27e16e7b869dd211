// The dominant eigenpair of a Hermitian matrix.
//
// The operator is reduced to a real tridiagonal matrix by Householder reflections (Golub and Van Loan, Matrix
// Computations, 8.3), whose largest eigenvalue Laguerre's iteration approaches from above, and whose eigenvector comes
// from inverse iteration with a shift just above it, where elimination needs no pivoting. That costs what ten power
// iterations would, has no convergence test to fail where eigenvalues lie close together, and no start to depend on.
#pragma once

#include "espirit/values.h"

namespace ugodit::espirit {

template <class Target>
struct Eigenpair : Values<Target> {
    using typename Values<Target>::Lanes;
    using typename Values<Target>::Mask;
    using typename Values<Target>::Complex;
    using typename Values<Target>::Complexes;
    using typename Values<Target>::Reals;
    using typename Values<Target>::Scratch;
    using Values<Target>::larger;
    using Values<Target>::times;
    using Values<Target>::add_product;
    using Values<Target>::add_conj_product;
    using Values<Target>::column;

    // matrix -= value x x^H
    UGODIT_DEVICE static void deflate(Complexes matrix, int coils, Complexes x, Lanes value) {
        for (int j = 0; j < coils; ++j) {
            Complexes a = column(matrix, coils, j);
            const Complex factor = {-value * x[j].re, value * x[j].im};
            for (int i = j; i < coils; ++i) add_product(a[i], x[i], factor);
        }
    }

    // One reflection: column k below the diagonal becomes (off, 0, ..., 0) with a real `off`; the reflector replaces
    // it.
    UGODIT_DEVICE static void reflect(Complexes matrix, int coils, int k, Scratch& s) {
        Complexes x = column(matrix, coils, k);
        Lanes energy = {};
        for (int i = k + 1; i < coils; ++i) energy += x[i].re * x[i].re + x[i].im * x[i].im;
        const Mask live = energy > Target::all(1e-30f);  // a column this small is zero beside eigenvalues of order one
        const Lanes length = Target::root(Target::select(live, energy, Target::all(1)));
        const Complex first = x[k + 1];
        const Lanes beta = Target::select(first.re > Lanes{}, -length, length);
        s.off[k] = Target::select(live, beta, Lanes{});
        const Complex tau = {(beta - first.re) / beta, -first.im / beta};
        s.scale[k] = {Target::select(live, tau.re, Lanes{}), Target::select(live, tau.im, Lanes{})};
        const Lanes re = first.re - beta, inverse = 1.0f / (re * re + first.im * first.im);
        const Complex reciprocal = {Target::select(live, re * inverse, Lanes{}),
                                    Target::select(live, -first.im * inverse, Lanes{})};
        x[k + 1] = {Target::all(1), Lanes{}};
        for (int i = k + 2; i < coils; ++i) x[i] = times(x[i], reciprocal);
    }

    // The reflection of a column acts on the trailing block as A - v w^H - w v^H. The next column gets it at once, for
    // the next reflector; the others together with that reflector's product, so that a step passes over the matrix
    // once.
    UGODIT_DEVICE static void update_column(Complexes a, int coils, int j, Complexes v, Complexes w) {
        const Complex minus_v = {-v[j].re, v[j].im}, minus_w = {-w[j].re, w[j].im};
        for (int i = j; i < coils; ++i) {
            add_product(a[i], v[i], minus_w);
            add_product(a[i], w[i], minus_v);
        }
    }

    // Applies the last reflection (v, w) to the columns after k, and returns next_w of the reflector in column k.
    UGODIT_DEVICE static void update(Complexes matrix, int coils, int k, Complexes v, Complexes w, Complex tau,
                                     Complexes next_w) {
        Complexes next_v = column(matrix, coils, k);
        for (int i = k + 1; i < coils; ++i) next_w[i] = Complex{};
        for (int j = k + 1; j < coils; ++j) {
            Complexes a = column(matrix, coils, j);
            if (k > 0) {
                const Complex minus_v = {-v[j].re, v[j].im}, minus_w = {-w[j].re, w[j].im};
                add_product(a[j], v[j], minus_w);
                add_product(a[j], w[j], minus_v);
            }
            const Complex x = next_v[j];
            Complex sum = {next_w[j].re + a[j].re * x.re, next_w[j].im + a[j].re * x.im};
            if (k > 0) {
                const Complex minus_v = {-v[j].re, v[j].im}, minus_w = {-w[j].re, w[j].im};
                for (int i = j + 1; i < coils; ++i) {
                    Complex element = a[i];
                    add_product(element, v[i], minus_w);
                    add_product(element, w[i], minus_v);
                    a[i] = element;
                    add_product(next_w[i], element, x);
                    add_conj_product(sum, element, next_v[i]);
                }
            } else {
                for (int i = j + 1; i < coils; ++i) {
                    add_product(next_w[i], a[i], x);
                    add_conj_product(sum, a[i], next_v[i]);
                }
            }
            next_w[j] = sum;
        }
        // w = p - tau (p^H v) / 2 v with p = tau A v
        Complex inner = {};
        for (int i = k + 1; i < coils; ++i) {
            next_w[i] = times(tau, next_w[i]);
            add_conj_product(inner, next_w[i], next_v[i]);
        }
        const Complex half = times({-0.5f * tau.re, -0.5f * tau.im}, inner);
        for (int i = k + 1; i < coils; ++i) add_product(next_w[i], half, next_v[i]);
    }

    UGODIT_DEVICE static void tridiagonalise(Complexes matrix, int coils, Scratch& s) {
        Complexes v = matrix;
        Complexes w = s.work[0], next_w = s.work[1];
        for (int k = 0; k < coils; ++k) {
            Complexes a = column(matrix, coils, k);
            if (k > 0) update_column(a, coils, k, v, w);
            s.diagonal[k] = a[k].re;
            if (k + 1 == coils) break;
            reflect(matrix, coils, k, s);
            update(matrix, coils, k, v, w, s.scale[k], next_w);
            v = a;
            const Complexes swap = w;
            w = next_w;
            next_w = swap;
        }
    }

    // A number just above the tridiagonal matrix's largest eigenvalue, near enough for inverse iteration.
    UGODIT_DEVICE static Lanes largest_eigenvalue(Scratch& s, int coils) {
        Lanes bound = {};
        for (int i = 0; i < coils; ++i) {
            Lanes disc = s.diagonal[i];
            if (i > 0) disc += Target::absolute(s.off[i - 1]);
            if (i + 1 < coils) disc += Target::absolute(s.off[i]);
            bound = larger(bound, disc);
        }
        const Lanes resolution = bound * 2e-7f + 1e-30f;
        Lanes shift = bound * 1.000001f + 1e-30f;
        Mask active = Target::everywhere();
        const float n = (float)coils;
        for (int iteration = 0; iteration < 20 && Target::any(active); ++iteration) {
            // The characteristic polynomial's pivots q and their first two derivatives, all positive above the root.
            Lanes q = shift - s.diagonal[0], dq = Target::all(1), ddq = {};
            Mask above = q > Lanes{};
            Lanes r = 1.0f / q, slope = dq * r, curvature = slope * slope;
            for (int i = 1; i < coils; ++i) {
                const Lanes e = s.off[i - 1] * s.off[i - 1] * r, growth = dq * r;
                ddq = e * r * (ddq - 2.0f * dq * growth);
                dq = 1.0f + e * growth;
                q = shift - s.diagonal[i] - e;
                above &= q > Lanes{};
                r = 1.0f / q;
                const Lanes ratio = dq * r;
                slope += ratio;
                curvature += ratio * ratio - ddq * r;
            }
            const Lanes spread = (n - 1.0f) * (n * curvature - slope * slope);
            const Lanes step = n / (slope + Target::root(larger(spread, Lanes{})));
            active &= above;
            const Lanes next = shift - step;
            active &= next > Lanes{};
            shift = Target::select(active, next, shift);
            active &= step > resolution;
        }
        return shift;
    }

    // The tridiagonal matrix's eigenvector (real, unit length) for its largest eigenvalue, given that to rounding.
    UGODIT_DEVICE static void inverse_iteration(Scratch& s, int coils, Lanes value) {
        // Above the largest eigenvalue all pivots of shift - T are positive and at least the distance to it, here well
        // above rounding (6e-8 an operation); each pass takes the other components down by that distance over the gap.
        const Lanes floor = value * 1e-6f + 1e-30f, shift = value + 2.0f * floor;
        Lanes q = {};
        for (int i = 0; i < coils; ++i) {
            q = shift - s.diagonal[i] - (i ? s.off[i - 1] * s.off[i - 1] * q : Lanes{});
            q = 1.0f / larger(q, floor);
            s.pivot[i] = q;
            s.solution[i] = Target::all(i % 2 ? 0.75f : 1.0f);
        }
        for (int pass = 0; pass < 4; ++pass) {
            const Reals z = s.solution;
            for (int i = 1; i < coils; ++i) z[i] += s.off[i - 1] * s.pivot[i - 1] * z[i - 1];
            Lanes energy = {};
            for (int i = coils - 1; i >= 0; --i) {
                Lanes right = z[i] * floor;  // the factor keeps the numbers from overflowing
                if (i + 1 < coils) right += s.off[i] * z[i + 1];
                z[i] = right * s.pivot[i];
                energy += z[i] * z[i];
            }
            const Lanes scale = 1.0f / Target::root(larger(energy, Target::all(1e-36f)));
            for (int i = 0; i < coils; ++i) z[i] *= scale;
        }
    }

    // s.solution in the basis of the coils, to x.
    UGODIT_DEVICE static void back_transform(Complexes matrix, int coils, Scratch& s, Complexes x) {
        for (int i = 0; i < coils; ++i) x[i] = {s.solution[i], Lanes{}};
        for (int k = coils - 2; k >= 0; --k) {
            Complexes v = column(matrix, coils, k);
            Complex inner = {};
            for (int i = k + 1; i < coils; ++i) add_conj_product(inner, v[i], x[i]);
            const Complex factor = times({-s.scale[k].re, -s.scale[k].im}, inner);
            for (int i = k + 1; i < coils; ++i) add_product(x[i], v[i], factor);
        }
    }
};

}  // namespace ugodit::espirit
