// Complex values over any arithmetic type: float in a CUDA thread, a SIMD vector of coils on the CPU.
//
// A type T works here if it has + - and unary -, `Broadcast<T>::of(float)`, and the functions madd and nmadd below
// (found by argument-dependent lookup for SIMD vectors). Everything is forced inline, so that no copy compiled for one
// instruction set can be linked into another's code.
#pragma once

#if defined(__CUDACC__)
#define UGODIT_HD __host__ __device__ __forceinline__
#define UGODIT_UNROLL _Pragma("unroll")
#define UGODIT_LAMBDA
#else
#define UGODIT_HD inline __attribute__((always_inline))
#if defined(UGODIT_SMALL)
// For sanitizers (tests/csrc): with their checks in it, what is unrolled takes the compiler minutes.
#define UGODIT_UNROLL
#define UGODIT_LAMBDA
#else
#define UGODIT_UNROLL _Pragma("GCC unroll 64")
// After a lambda's parameters: GCC leaves large ones out of line otherwise, and passes vectors through memory.
#define UGODIT_LAMBDA __attribute__((always_inline))
#endif
#endif

namespace ugodit::fft {

// a b + c and c - a b. nvcc contracts these to one instruction; on the CPU only vectors matter.
UGODIT_HD float madd(float a, float b, float c) {
    return a * b + c;
}
UGODIT_HD float nmadd(float a, float b, float c) {
    return c - a * b;
}

template <class T>
struct Broadcast;
template <>
struct Broadcast<float> {
    static UGODIT_HD float of(float value) { return value; }
};

// Of two floats: aligned as a whole, so that a GPU moves it with one instruction, from shared memory above all.
template <class T>
struct alignas(sizeof(T) == sizeof(float) ? 2 * sizeof(float) : alignof(T)) Complex {
    T re, im;
};

template <class T>
UGODIT_HD Complex<T> operator+(Complex<T> a, Complex<T> b) {
    return {a.re + b.re, a.im + b.im};
}

template <class T>
UGODIT_HD Complex<T> operator-(Complex<T> a, Complex<T> b) {
    return {a.re - b.re, a.im - b.im};
}

template <class T>
UGODIT_HD Complex<T> conjugate(Complex<T> a) {
    return {a.re, -a.im};
}

// a b
template <class T>
UGODIT_HD Complex<T> multiply(Complex<T> a, Complex<T> b) {
    return {nmadd(a.im, b.im, a.re * b.re), madd(a.re, b.im, a.im * b.re)};
}

// a conj(b)
template <class T>
UGODIT_HD Complex<T> multiply_conjugate(Complex<T> a, Complex<T> b) {
    return {madd(a.im, b.im, a.re * b.re), nmadd(a.re, b.im, a.im * b.re)};
}

// a times the root of unity exp(-i angle) that `root` holds for a forward transform, or its conjugate for an inverse
// one.
template <bool Inverse, class T>
UGODIT_HD Complex<T> rotate(Complex<T> a, Complex<float> root) {
    const Complex<T> b{Broadcast<T>::of(root.re), Broadcast<T>::of(root.im)};
    return Inverse ? multiply_conjugate(a, b) : multiply(a, b);
}

// a times -i (forward) or +i (inverse).
template <bool Inverse, class T>
UGODIT_HD Complex<T> quarter_turn(Complex<T> a) {
    return Inverse ? Complex<T>{-a.im, a.re} : Complex<T>{a.im, -a.re};
}

}  // namespace ugodit::fft
