// The point-wise step of ESPIRiT: one pixel a SIMD lane. Included once by each espirit_<isa>.cpp, which defines
// UGODIT_ISA (the variant's name) and UGODIT_LANES. Nothing here may instantiate a template or inline function that
// another source file could also emit: the linker would keep one copy, compiled for any instruction set.
//
// Each pixel's operator is reduced to a real tridiagonal matrix by Householder reflections (Golub and Van Loan,
// Matrix Computations, 8.3), whose largest eigenvalue Laguerre's iteration approaches from above, and whose
// eigenvector comes from inverse iteration with a shift just above it, where elimination needs no pivoting. That costs
// what ten power iterations would, has no convergence test to fail where eigenvalues lie close together, and no start
// to depend on. Further sets of maps repeat it after deflation.
#pragma once

#include "cpu/espirit.h"

namespace ugodit {
namespace {

constexpr int kLanes = UGODIT_LANES;
typedef float Lanes __attribute__((vector_size(4 * UGODIT_LANES)));
typedef int Mask __attribute__((vector_size(4 * UGODIT_LANES)));

struct Complex {
    Lanes re, im;
};

inline Lanes all(float x) {
    return x - Lanes{};
}
inline Lanes select(Mask m, Lanes a, Lanes b) {
    return (Lanes)((m & (Mask)a) | (~m & (Mask)b));
}
inline Lanes larger(Lanes a, Lanes b) {
    return select(a > b, a, b);
}
inline Lanes absolute(Lanes a) {
    return (Lanes)((Mask)a & 0x7fffffff);
}
inline Lanes root(Lanes a) {
    for (int i = 0; i < kLanes; ++i) a[i] = __builtin_sqrtf(a[i]);
    return a;
}
inline bool any(Mask m) {
    int found = 0;
    for (int i = 0; i < kLanes; ++i) found |= m[i];
    return found != 0;
}
inline Complex times(Complex a, Complex b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
inline void add_product(Complex& sum, Complex a, Complex b) {
    sum.re += a.re * b.re;
    sum.re -= a.im * b.im;
    sum.im += a.re * b.im;
    sum.im += a.im * b.re;
}
inline void add_conj_product(Complex& sum, Complex a, Complex b) {  // conj(a) b
    sum.re += a.re * b.re;
    sum.re += a.im * b.im;
    sum.im += a.re * b.im;
    sum.im -= a.im * b.re;
}

// Column j of a packed lower triangle, to be indexed with rows i >= j.
inline Complex* column(Complex* triangle, int coils, int j) {
    return triangle + j * coils - j * (j + 1) / 2;
}

struct Scratch {
    Complex* matrix;                           // packed lower triangle; holds the reflectors after the reduction
    Complex *vector, *work;                    // (C) each
    Complex* scale;                            // (C): the reflectors' tau
    Complex* found;                            // (sets, C) eigenvectors of this group of pixels
    Lanes *diagonal, *off, *pivot, *solution;  // (C) each
    float* coefficients;                       // (2 R + 1, pairs, 2): the operator along this image row
};

long scratch_floats(const EspiritArguments& a) {
    const long pairs = (long)a.coils * (a.coils + 1) / 2;
    return kLanes * (2 * pairs + (long)a.coils * (6 + 2 * a.sets + 4)) + (2L * a.reach + 1) * pairs * 2;
}

Scratch carve(const EspiritArguments& a, float* memory) {
    const long pairs = (long)a.coils * (a.coils + 1) / 2, coils = a.coils;
    Scratch s;
    s.matrix = (Complex*)memory;
    s.vector = s.matrix + pairs;
    s.work = s.vector + coils;
    s.scale = s.work + coils;
    s.found = s.scale + coils;
    s.diagonal = (Lanes*)(s.found + coils * a.sets);
    s.off = s.diagonal + coils;
    s.pivot = s.off + coils;
    s.solution = s.pivot + coils;
    s.coefficients = (float*)(s.solution + coils);
    return s;
}

// coefficients[v] = sum_u correlations[u][v] row_phases[h][u]; then, for v > R, the sum and the difference of the
// terms at v and -v, so that a pixel needs one real cosine and one real sine a term.
void transform_row(const EspiritArguments& a, int h, float* coefficients) {
    const int terms = 2 * a.reach + 1, pairs = a.coils * (a.coils + 1) / 2;
    const float* phase = a.row_phases + 2L * h * terms;
    for (int v = 0; v < terms; ++v) {
        float* out = coefficients + 2L * v * pairs;
        for (int p = 0; p < 2 * pairs; ++p) out[p] = 0;
        for (int u = 0; u < terms; ++u) {
            const float* in = a.correlations + 2L * ((long)u * terms + v) * pairs;
            const float re = phase[2 * u], im = phase[2 * u + 1];
            for (int p = 0; p < pairs; ++p) {
                out[2 * p] += in[2 * p] * re - in[2 * p + 1] * im;
                out[2 * p + 1] += in[2 * p] * im + in[2 * p + 1] * re;
            }
        }
    }
    for (int v = 1; v <= a.reach; ++v) {
        float* plus = coefficients + 2L * (a.reach + v) * pairs;
        float* minus = coefficients + 2L * (a.reach - v) * pairs;
        for (int p = 0; p < 2 * pairs; ++p) {
            const float sum = plus[p] + minus[p], difference = plus[p] - minus[p];
            plus[p] = sum;
            minus[p] = difference;
        }
    }
}

// The operator's lower triangle at kLanes pixels from column w on; pixels past the end repeat the last one.
void evaluate(const EspiritArguments& a, const float* coefficients, int w, Complex* matrix) {
    const int pairs = a.coils * (a.coils + 1) / 2;
    const float* centre = coefficients + 2L * a.reach * pairs;
    for (int p = 0; p < pairs; ++p) matrix[p] = {all(centre[2 * p]), all(centre[2 * p + 1])};
    for (int v = 1; v <= a.reach; ++v) {
        Lanes cosine, sine;
        const float* wave = a.waves + 2L * (v - 1) * a.columns;
        for (int i = 0; i < kLanes; ++i) {
            const int at = w + i < a.columns ? w + i : a.columns - 1;
            cosine[i] = wave[at];
            sine[i] = wave[a.columns + at];
        }
        const float* sum = coefficients + 2L * (a.reach + v) * pairs;
        const float* difference = coefficients + 2L * (a.reach - v) * pairs;
        for (int p = 0; p < pairs; ++p) {
            matrix[p].re += sum[2 * p] * cosine - difference[2 * p + 1] * sine;
            matrix[p].im += sum[2 * p + 1] * cosine + difference[2 * p] * sine;
        }
    }
}

// matrix -= value x x^H
void deflate(Complex* matrix, int coils, const Complex* x, Lanes value) {
    for (int j = 0; j < coils; ++j) {
        Complex* a = column(matrix, coils, j);
        const Complex factor = {-value * x[j].re, value * x[j].im};
        for (int i = j; i < coils; ++i) add_product(a[i], x[i], factor);
    }
}

// One reflection: column k below the diagonal becomes (off, 0, ..., 0) with a real `off`; the reflector replaces it.
void reflect(Complex* matrix, int coils, int k, Scratch& s) {
    Complex* x = column(matrix, coils, k);
    Lanes energy = {};
    for (int i = k + 1; i < coils; ++i) energy += x[i].re * x[i].re + x[i].im * x[i].im;
    const Mask live = energy > all(1e-30f);  // a column this small is zero beside eigenvalues of order one
    const Lanes length = root(select(live, energy, all(1)));
    const Complex first = x[k + 1];
    const Lanes beta = select(first.re > Lanes{}, -length, length);
    s.off[k] = select(live, beta, Lanes{});
    const Complex tau = {(beta - first.re) / beta, -first.im / beta};
    s.scale[k] = {select(live, tau.re, Lanes{}), select(live, tau.im, Lanes{})};
    const Lanes re = first.re - beta, inverse = 1.0f / (re * re + first.im * first.im);
    const Complex reciprocal = {select(live, re * inverse, Lanes{}), select(live, -first.im * inverse, Lanes{})};
    x[k + 1] = {all(1), Lanes{}};
    for (int i = k + 2; i < coils; ++i) x[i] = times(x[i], reciprocal);
}

// The reflection of a column acts on the trailing block as A - v w^H - w v^H. The next column gets it at once, for the
// next reflector; the others together with that reflector's product, so that a step passes over the matrix once.
void update_column(Complex* a, int coils, int j, const Complex* v, const Complex* w) {
    const Complex minus_v = {-v[j].re, v[j].im}, minus_w = {-w[j].re, w[j].im};
    for (int i = j; i < coils; ++i) {
        add_product(a[i], v[i], minus_w);
        add_product(a[i], w[i], minus_v);
    }
}

// Applies the last reflection (v, w) to the columns after k, and returns next_w of the reflector in column k.
void update(Complex* matrix, int coils, int k, const Complex* v, const Complex* w, Complex tau, Complex* next_w) {
    const Complex* next_v = column(matrix, coils, k);
    for (int i = k + 1; i < coils; ++i) next_w[i] = Complex{};
    for (int j = k + 1; j < coils; ++j) {
        Complex* a = column(matrix, coils, j);
        if (v) {
            const Complex minus_v = {-v[j].re, v[j].im}, minus_w = {-w[j].re, w[j].im};
            add_product(a[j], v[j], minus_w);
            add_product(a[j], w[j], minus_v);
        }
        const Complex x = next_v[j];
        Complex sum = {next_w[j].re + a[j].re * x.re, next_w[j].im + a[j].re * x.im};
        if (v) {
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

void tridiagonalise(Complex* matrix, int coils, Scratch& s) {
    const Complex* v = nullptr;
    Complex *w = s.vector, *next_w = s.work;
    for (int k = 0; k < coils; ++k) {
        Complex* a = column(matrix, coils, k);
        if (v) update_column(a, coils, k, v, w);
        s.diagonal[k] = a[k].re;
        if (k + 1 == coils) break;
        reflect(matrix, coils, k, s);
        update(matrix, coils, k, v, w, s.scale[k], next_w);
        v = a;
        Complex* const swap = w;
        w = next_w;
        next_w = swap;
    }
}

// A number just above the tridiagonal matrix's largest eigenvalue, near enough for inverse iteration.
Lanes largest_eigenvalue(const Scratch& s, int coils) {
    Lanes bound = {};
    for (int i = 0; i < coils; ++i) {
        Lanes disc = s.diagonal[i];
        if (i > 0) disc += absolute(s.off[i - 1]);
        if (i + 1 < coils) disc += absolute(s.off[i]);
        bound = larger(bound, disc);
    }
    const Lanes resolution = bound * 2e-7f + 1e-30f;
    Lanes shift = bound * 1.000001f + 1e-30f;
    Mask active = Mask{} - 1;
    const float n = (float)coils;
    for (int iteration = 0; iteration < 20 && any(active); ++iteration) {
        // The characteristic polynomial's pivots q and their first two derivatives, all positive above the root.
        Lanes q = shift - s.diagonal[0], dq = all(1), ddq = {};
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
        const Lanes step = n / (slope + root(larger(spread, Lanes{})));
        active &= above;
        const Lanes next = shift - step;
        active &= next > Lanes{};
        shift = select(active, next, shift);
        active &= step > resolution;
    }
    return shift;
}

// The tridiagonal matrix's eigenvector (real, unit length) for its largest eigenvalue, given that to rounding.
void inverse_iteration(Scratch& s, int coils, Lanes value) {
    // Above the largest eigenvalue all pivots of shift - T are positive and at least the distance to it, here well
    // above rounding (6e-8 an operation); each pass takes the other components down by that distance over the gap.
    const Lanes floor = value * 1e-6f + 1e-30f, shift = value + 2.0f * floor;
    Lanes q = {};
    for (int i = 0; i < coils; ++i) {
        q = shift - s.diagonal[i] - (i ? s.off[i - 1] * s.off[i - 1] * q : Lanes{});
        q = 1.0f / larger(q, floor);
        s.pivot[i] = q;
        s.solution[i] = all(i % 2 ? 0.75f : 1.0f);
    }
    for (int pass = 0; pass < 4; ++pass) {
        Lanes* z = s.solution;
        for (int i = 1; i < coils; ++i) z[i] += s.off[i - 1] * s.pivot[i - 1] * z[i - 1];
        Lanes energy = {};
        for (int i = coils - 1; i >= 0; --i) {
            Lanes right = z[i] * floor;  // the factor keeps the numbers from overflowing
            if (i + 1 < coils) right += s.off[i] * z[i + 1];
            z[i] = right * s.pivot[i];
            energy += z[i] * z[i];
        }
        const Lanes scale = 1.0f / root(larger(energy, all(1e-36f)));
        for (int i = 0; i < coils; ++i) z[i] *= scale;
    }
}

// s.solution in the basis of the coils, to x.
void back_transform(const Complex* matrix, int coils, const Scratch& s, Complex* x) {
    for (int i = 0; i < coils; ++i) x[i] = {s.solution[i], Lanes{}};
    for (int k = coils - 2; k >= 0; --k) {
        const Complex* v = column((Complex*)matrix, coils, k);
        Complex inner = {};
        for (int i = k + 1; i < coils; ++i) add_conj_product(inner, v[i], x[i]);
        const Complex factor = times({-s.scale[k].re, -s.scale[k].im}, inner);
        for (int i = k + 1; i < coils; ++i) add_product(x[i], v[i], factor);
    }
}

// BART's ecalib: a step at `crop`, or with soft weights a smooth one from crop - (1 - crop) to 1 in sqrt(eigenvalue).
Lanes crop_weight(Lanes value, float crop, bool soft) {
    if (!soft) return select(value > all(crop), all(1), Lanes{});
    const Lanes x = (root(larger(value, Lanes{})) - crop) / (1.0f - crop);
    const Lanes smooth = 0.5f + x / (1.0f + x * x);
    return select(x < all(-1), Lanes{}, select(x > all(1), all(1), smooth));
}

void write(const EspiritArguments& a, int h, int w, int set, const Complex* x, Lanes value) {
    Complex inner = {};
    for (int c = 0; c < a.coils; ++c)
        add_conj_product(inner, {all(a.reference[2 * c]), all(a.reference[2 * c + 1])}, x[c]);
    const Lanes size = root(inner.re * inner.re + inner.im * inner.im);
    const Mask live = size > all(1e-12f);  // orthogonal to the reference: any phase will do
    const Lanes weight = crop_weight(value, a.crop, a.soft), scale = weight / select(live, size, all(1));
    const Complex turn = {select(live, inner.re * scale, weight), select(live, -inner.im * scale, Lanes{})};
    const int count = a.columns - w < kLanes ? a.columns - w : kLanes;
    const long plane = (long)a.rows * a.columns, first = (long)h * a.columns + w;
    for (int i = 0; i < count; ++i) a.eigenvalues[set * plane + first + i] = value[i];
    for (int c = 0; c < a.coils; ++c) {
        const Complex y = times(x[c], turn);
        float* out = a.maps + 2 * (((long)set * a.coils + c) * plane + first);
        for (int i = 0; i < count; ++i) {
            out[2 * i] = y.re[i];
            out[2 * i + 1] = y.im[i];
        }
    }
}

void espirit_row(const EspiritArguments& a, int h, float* memory) {
    Scratch s = carve(a, memory);
    transform_row(a, h, s.coefficients);
    for (int w = 0; w < a.columns; w += kLanes) {
        Lanes values[8];
        for (int set = 0; set < a.sets; ++set) {
            evaluate(a, s.coefficients, w, s.matrix);
            for (int known = 0; known < set; ++known)
                deflate(s.matrix, a.coils, s.found + (long)known * a.coils, values[known]);
            tridiagonalise(s.matrix, a.coils, s);
            const Lanes value = largest_eigenvalue(s, a.coils);
            inverse_iteration(s, a.coils, value);
            Complex* x = s.found + (long)set * a.coils;
            back_transform(s.matrix, a.coils, s, x);
            values[set] = value;
            write(a, h, w, set, x, value);
        }
    }
}

}  // namespace

extern const EspiritVariant UGODIT_ISA;
const EspiritVariant UGODIT_ISA = {scratch_floats, espirit_row};

}  // namespace ugodit
