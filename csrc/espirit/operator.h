// ESPIRiT's operator along an image row: its coefficients there, and its value at a pixel, or at one a SIMD lane.
#pragma once

#include "espirit/values.h"

namespace ugodit::espirit {

// The coefficients along row h, (2 R + 1, C (C + 1) / 2, 2):
//     coefficients[v] = sum_u correlations[u][v] row_phases[h][u];
// then, for v > R, the sum and the difference of the terms at v and -v, so that a pixel needs one real cosine and one
// real sine a term. Worker `first` of `workers` takes every so many-th tile of Tile coil pairs: a SIMD processor wants
// many at a time, neighbouring threads one each.
template <int Tile>
UGODIT_DEVICE void row_coefficients(const Arguments& a, int h, int first, int workers, float* coefficients) {
    const int terms = a.terms(), pairs = a.pairs();
    const float* phase = a.row_phases + 2L * h * terms;
    for (int p = first * Tile; p < pairs; p += workers * Tile) {
        const int count = Tile == 1 || pairs - p > Tile ? Tile : pairs - p;
        for (int v = 0; v < terms; ++v) {
            float sum[2 * Tile] = {};
            for (int u = 0; u < terms; ++u) {
                const float* in = a.correlations + 2L * ((static_cast<long>(u) * terms + v) * pairs + p);
                const float re = phase[2 * u], im = phase[2 * u + 1];
                for (int i = 0; i < count; ++i) {
                    sum[2 * i] += in[2 * i] * re - in[2 * i + 1] * im;
                    sum[2 * i + 1] += in[2 * i] * im + in[2 * i + 1] * re;
                }
            }
            float* out = coefficients + 2L * (v * pairs + p);
            for (int i = 0; i < 2 * count; ++i) out[i] = sum[i];
        }
        for (int v = 1; v <= a.reach; ++v) {
            float* plus = coefficients + 2L * ((a.reach + v) * pairs + p);
            float* minus = coefficients + 2L * ((a.reach - v) * pairs + p);
            for (int i = 0; i < 2 * count; ++i) {
                const float sum = plus[i] + minus[i], difference = plus[i] - minus[i];
                plus[i] = sum;
                minus[i] = difference;
            }
        }
    }
}

// The operator's lower triangle. cosine(v) and sine(v): of 2 pi v (w - W/2) / W, v = 1 .. R, at the pixels' columns w.
template <class Target, class Cosine, class Sine>
UGODIT_DEVICE void evaluate(const Arguments& a, const float* coefficients, const Cosine& cosine, const Sine& sine,
                            typename Values<Target>::Complexes matrix) {
    using Lanes = typename Target::Lanes;
    const int pairs = a.pairs();
    for (int p = 0; p < pairs; ++p) {
        const float* centre = coefficients + 2 * (a.reach * pairs + p);
        typename Values<Target>::Complex value = {Target::all(centre[0]), Target::all(centre[1])};
        for (int v = 1; v <= a.reach; ++v) {
            const Lanes c = cosine(v), s = sine(v);
            const float* sum = centre + 2 * v * pairs;
            const float* difference = centre - 2 * v * pairs;
            value.re += sum[0] * c - difference[1] * s;
            value.im += sum[1] * c + difference[0] * s;
        }
        matrix[p] = value;
    }
}

}  // namespace ugodit::espirit
