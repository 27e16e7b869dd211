// What ESPIRiT computes with: one pixel, or one a SIMD lane. The same source runs on the CPU's lanes and in a GPU's
// threads: Target supplies
//     Lanes, Mask              a float and a condition, of one pixel or of a vector of them
//     Array<T>                 T's of this thread, indexed like a pointer (adjacent, or a stride apart)
//     array(first, stride)     the Array<T> that begins at a T*, its elements `stride` T's apart
//     all(x)                   x in every lane;   everywhere(): a Mask that holds in every lane
//     lane(a, i)               the float in lane i
//     select(mask, a, b), root(a), absolute(a), any(mask)
#pragma once

#include "espirit/arguments.h"

namespace ugodit::espirit {

template <class Target>
struct Values {
    using Lanes = typename Target::Lanes;
    using Mask = typename Target::Mask;

    // Of two floats: aligned as a whole, so that a GPU moves it with one instruction.
    struct alignas(sizeof(Lanes) == sizeof(float) ? 2 * sizeof(float) : alignof(Lanes)) Complex {
        Lanes re, im;
    };
    using Complexes = typename Target::template Array<Complex>;
    using Reals = typename Target::template Array<Lanes>;

    struct Scratch {
        Complexes matrix;                      // packed lower triangle; holds the reflectors after the reduction
        Complexes work[2];                     // (C) each
        Complexes scale;                       // (C): the reflectors' tau
        Complexes found;                       // (sets, C): eigenvectors
        Reals diagonal, off, pivot, solution;  // (C) each
        Reals value;                           // (sets): eigenvalues
    };

    // Lanes of scratch space that a pixel needs; a Complex is two.
    UGODIT_HOST_DEVICE static int scratch_lanes(int coils, int sets) {
        return coils * (coils + 1) + coils * (6 + 2 * sets + 4) + sets;
    }

    // A thread's own out of memory that `threads` threads share, T's of the same index side by side.
    template <class T>
    UGODIT_DEVICE static typename Target::template Array<T> take(float*& memory, int count, int thread, int threads) {
        T* first = reinterpret_cast<T*>(memory) + thread;
        memory += static_cast<long>(sizeof(T) / sizeof(float)) * count * threads;
        return Target::array(first, threads);
    }
    UGODIT_DEVICE static Scratch scratch(const Arguments& a, float* memory, int thread, int threads) {
        const auto complexes = [&](int count) { return take<Complex>(memory, count, thread, threads); };
        const auto reals = [&](int count) { return take<Lanes>(memory, count, thread, threads); };
        Scratch s;
        s.matrix = complexes(a.pairs());
        s.work[0] = complexes(a.coils);
        s.work[1] = complexes(a.coils);
        s.scale = complexes(a.coils);
        s.found = complexes(a.coils * a.sets);
        s.diagonal = reals(a.coils);
        s.off = reals(a.coils);
        s.pivot = reals(a.coils);
        s.solution = reals(a.coils);
        s.value = reals(a.sets);
        return s;
    }

    UGODIT_DEVICE static Lanes larger(Lanes a, Lanes b) { return Target::select(a > b, a, b); }
    UGODIT_DEVICE static Complex times(Complex a, Complex b) {
        return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
    }
    UGODIT_DEVICE static void add_product(Complex& sum, Complex a, Complex b) {
        sum.re += a.re * b.re;
        sum.re -= a.im * b.im;
        sum.im += a.re * b.im;
        sum.im += a.im * b.re;
    }
    UGODIT_DEVICE static void add_conj_product(Complex& sum, Complex a, Complex b) {  // conj(a) b
        sum.re += a.re * b.re;
        sum.re += a.im * b.im;
        sum.im += a.re * b.im;
        sum.im -= a.im * b.re;
    }

    // Column j of a packed lower triangle, to be indexed with rows i >= j.
    UGODIT_DEVICE static Complexes column(Complexes triangle, int coils, int j) {
        return triangle + (j * coils - j * (j + 1) / 2);
    }
};

}  // namespace ugodit::espirit
