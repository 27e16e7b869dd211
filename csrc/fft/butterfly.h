// Short DFTs kept in registers. butterfly<R, Inverse>(in, out) evaluates
//     out(k, sum_q in(q) exp(-+ 2 pi i q k / R)),   k = 0..R-1,   natural order on both sides, no scale,
// with - forward and + inverse. `in(q)` returns a Complex<T>, `out(k, value)` takes one: reading and writing through
// them lets a pass multiply or reduce on the way, and lets radix 16 keep few values alive at a time.
// All reads happen before the first write, so a pass may work in place.
#pragma once

#include "fft/complex.h"

namespace ugodit::fft {

constexpr float kSin60 = 0.86602540378443864676f;
constexpr float kCos45 = 0.70710678118654752440f;
constexpr float kCos22 = 0.92387953251128675613f;  // cos(pi / 8)
constexpr float kSin22 = 0.38268343236508977173f;  // sin(pi / 8)
constexpr float kCos72 = 0.30901699437494742410f;
constexpr float kCos144 = -0.80901699437494742410f;
constexpr float kSin72 = 0.95105651629515357212f;
constexpr float kSin144 = 0.58778525229247312917f;

// The radices that butterfly() knows. Other primes are dense products or, if large, go through Bluestein (plan.h).
UGODIT_HD constexpr bool has_butterfly(int radix) {
    return radix == 1 || radix == 2 || radix == 3 || radix == 4 || radix == 5 || radix == 6 || radix == 8 ||
           radix == 12 || radix == 16;
}

template <class T>
UGODIT_HD void dft2(Complex<T>& a0, Complex<T>& a1) {
    const Complex<T> difference = a0 - a1;
    a0 = a0 + a1;
    a1 = difference;
}

template <bool Inverse, class T>
UGODIT_HD void dft3(Complex<T>& a0, Complex<T>& a1, Complex<T>& a2) {
    const Complex<T> sum = a1 + a2;
    const Complex<T> turned = quarter_turn<Inverse>(a1 - a2);
    const T half = Broadcast<T>::of(0.5f), sine = Broadcast<T>::of(kSin60);
    const Complex<T> middle{nmadd(half, sum.re, a0.re), nmadd(half, sum.im, a0.im)};
    a0 = a0 + sum;
    a1 = {madd(sine, turned.re, middle.re), madd(sine, turned.im, middle.im)};
    a2 = {nmadd(sine, turned.re, middle.re), nmadd(sine, turned.im, middle.im)};
}

template <bool Inverse, class T>
UGODIT_HD void dft4(Complex<T>& a0, Complex<T>& a1, Complex<T>& a2, Complex<T>& a3) {
    const Complex<T> sum02 = a0 + a2, difference02 = a0 - a2;
    const Complex<T> sum13 = a1 + a3, turned = quarter_turn<Inverse>(a1 - a3);
    a0 = sum02 + sum13;
    a1 = difference02 + turned;
    a2 = sum02 - sum13;
    a3 = difference02 - turned;
}

template <bool Inverse, class T>
UGODIT_HD void dft5(Complex<T>& a0, Complex<T>& a1, Complex<T>& a2, Complex<T>& a3, Complex<T>& a4) {
    const T cos72 = Broadcast<T>::of(kCos72), cos144 = Broadcast<T>::of(kCos144);
    const T sin72 = Broadcast<T>::of(kSin72), sin144 = Broadcast<T>::of(kSin144);
    const Complex<T> sum14 = a1 + a4, sum23 = a2 + a3;
    const Complex<T> turn14 = quarter_turn<Inverse>(a1 - a4), turn23 = quarter_turn<Inverse>(a2 - a3);
    const Complex<T> even1{madd(cos144, sum23.re, madd(cos72, sum14.re, a0.re)),
                           madd(cos144, sum23.im, madd(cos72, sum14.im, a0.im))};
    const Complex<T> even2{madd(cos72, sum23.re, madd(cos144, sum14.re, a0.re)),
                           madd(cos72, sum23.im, madd(cos144, sum14.im, a0.im))};
    const Complex<T> odd1{madd(sin144, turn23.re, sin72 * turn14.re), madd(sin144, turn23.im, sin72 * turn14.im)};
    const Complex<T> odd2{nmadd(sin72, turn23.re, sin144 * turn14.re), nmadd(sin72, turn23.im, sin144 * turn14.im)};
    a0 = a0 + sum14 + sum23;
    a1 = even1 + odd1;
    a4 = even1 - odd1;
    a2 = even2 + odd2;
    a3 = even2 - odd2;
}

// a times exp(-+ i pi / 4): two additions and two multiplications instead of a full rotation.
template <bool Inverse, class T>
UGODIT_HD Complex<T> eighth_turn(Complex<T> a) {
    const T scale = Broadcast<T>::of(kCos45);
    const Complex<T> turned = a + quarter_turn<Inverse>(a);
    return {scale * turned.re, scale * turned.im};
}

template <int Radix, bool Inverse>
struct Butterfly;

template <bool Inverse>
struct Butterfly<1, Inverse> {
    template <class In, class Out>
    static UGODIT_HD void run(const In& in, const Out& out) {
        out(0, in(0));
    }
};

template <bool Inverse>
struct Butterfly<2, Inverse> {
    template <class In, class Out>
    static UGODIT_HD void run(const In& in, const Out& out) {
        auto a0 = in(0), a1 = in(1);
        dft2(a0, a1);
        out(0, a0);
        out(1, a1);
    }
};

template <bool Inverse>
struct Butterfly<3, Inverse> {
    template <class In, class Out>
    static UGODIT_HD void run(const In& in, const Out& out) {
        auto a0 = in(0), a1 = in(1), a2 = in(2);
        dft3<Inverse>(a0, a1, a2);
        out(0, a0);
        out(1, a1);
        out(2, a2);
    }
};

template <bool Inverse>
struct Butterfly<4, Inverse> {
    template <class In, class Out>
    static UGODIT_HD void run(const In& in, const Out& out) {
        auto a0 = in(0), a1 = in(1), a2 = in(2), a3 = in(3);
        dft4<Inverse>(a0, a1, a2, a3);
        out(0, a0);
        out(1, a1);
        out(2, a2);
        out(3, a3);
    }
};

template <bool Inverse>
struct Butterfly<5, Inverse> {
    template <class In, class Out>
    static UGODIT_HD void run(const In& in, const Out& out) {
        auto a0 = in(0), a1 = in(1), a2 = in(2), a3 = in(3), a4 = in(4);
        dft5<Inverse>(a0, a1, a2, a3, a4);
        out(0, a0);
        out(1, a1);
        out(2, a2);
        out(3, a3);
        out(4, a4);
    }
};

// 6 = 2 x 3 and 12 = 4 x 3 are products of coprime factors: with n = (3 q + R/3 j) mod R no twiddles are needed
// (Good 1958, Thomas 1963), and the DFT's own output index follows from the Chinese remainder theorem.
template <bool Inverse>
struct Butterfly<6, Inverse> {
    template <class In, class Out>
    static UGODIT_HD void run(const In& in, const Out& out) {
        auto a0 = in(0), a1 = in(2), a2 = in(4);
        auto b0 = in(3), b1 = in(5), b2 = in(1);
        dft3<Inverse>(a0, a1, a2);
        dft3<Inverse>(b0, b1, b2);
        out(0, a0 + b0);
        out(3, a0 - b0);
        out(4, a1 + b1);
        out(1, a1 - b1);
        out(2, a2 + b2);
        out(5, a2 - b2);
    }
};

template <bool Inverse>
struct Butterfly<12, Inverse> {
    template <class In, class Out>
    static UGODIT_HD void run(const In& in, const Out& out) {
        auto a0 = in(0), a1 = in(3), a2 = in(6), a3 = in(9);
        auto b0 = in(4), b1 = in(7), b2 = in(10), b3 = in(1);
        auto c0 = in(8), c1 = in(11), c2 = in(2), c3 = in(5);
        dft4<Inverse>(a0, a1, a2, a3);
        dft4<Inverse>(b0, b1, b2, b3);
        dft4<Inverse>(c0, c1, c2, c3);
        dft3<Inverse>(a0, b0, c0);
        out(0, a0), out(4, b0), out(8, c0);
        dft3<Inverse>(a1, b1, c1);
        out(9, a1), out(1, b1), out(5, c1);
        dft3<Inverse>(a2, b2, c2);
        out(6, a2), out(10, b2), out(2, c2);
        dft3<Inverse>(a3, b3, c3);
        out(3, a3), out(7, b3), out(11, c3);
    }
};

template <bool Inverse>
struct Butterfly<8, Inverse> {
    template <class In, class Out>
    static UGODIT_HD void run(const In& in, const Out& out) {
        auto a0 = in(0), a2 = in(2), a4 = in(4), a6 = in(6);
        dft4<Inverse>(a0, a2, a4, a6);
        auto a1 = in(1), a3 = in(3), a5 = in(5), a7 = in(7);
        dft4<Inverse>(a1, a3, a5, a7);
        out(0, a0 + a1);
        out(4, a0 - a1);
        a3 = eighth_turn<Inverse>(a3);
        out(1, a2 + a3);
        out(5, a2 - a3);
        a5 = quarter_turn<Inverse>(a5);
        out(2, a4 + a5);
        out(6, a4 - a5);
        a7 = quarter_turn<Inverse>(eighth_turn<Inverse>(a7));
        out(3, a6 + a7);
        out(7, a6 - a7);
    }
};

template <bool Inverse>
struct Butterfly<16, Inverse> {
    template <class In, class Out>
    static UGODIT_HD void run(const In& in, const Out& out) {
        // Four DFTs over q = c, c + 4, c + 8, c + 12, twiddles exp(-+ 2 pi i c r / 16), four DFTs over c.
        auto a0 = in(0), a1 = in(4), a2 = in(8), a3 = in(12);
        dft4<Inverse>(a0, a1, a2, a3);
        auto b0 = in(1), b1 = in(5), b2 = in(9), b3 = in(13);
        dft4<Inverse>(b0, b1, b2, b3);
        b1 = rotate<Inverse>(b1, {kCos22, -kSin22});
        b2 = eighth_turn<Inverse>(b2);
        b3 = rotate<Inverse>(b3, {kSin22, -kCos22});
        auto c0 = in(2), c1 = in(6), c2 = in(10), c3 = in(14);
        dft4<Inverse>(c0, c1, c2, c3);
        c1 = eighth_turn<Inverse>(c1);
        c2 = quarter_turn<Inverse>(c2);
        c3 = quarter_turn<Inverse>(eighth_turn<Inverse>(c3));
        auto d0 = in(3), d1 = in(7), d2 = in(11), d3 = in(15);
        dft4<Inverse>(d0, d1, d2, d3);
        d1 = rotate<Inverse>(d1, {kSin22, -kCos22});
        d2 = quarter_turn<Inverse>(eighth_turn<Inverse>(d2));
        d3 = rotate<Inverse>(d3, {-kCos22, kSin22});
        dft4<Inverse>(a0, b0, c0, d0);
        out(0, a0), out(4, b0), out(8, c0), out(12, d0);
        dft4<Inverse>(a1, b1, c1, d1);
        out(1, a1), out(5, b1), out(9, c1), out(13, d1);
        dft4<Inverse>(a2, b2, c2, d2);
        out(2, a2), out(6, b2), out(10, c2), out(14, d2);
        dft4<Inverse>(a3, b3, c3, d3);
        out(3, a3), out(7, b3), out(11, c3), out(15, d3);
    }
};

template <int Radix, bool Inverse, class In, class Out>
UGODIT_HD void butterfly(const In& in, const Out& out) {
    Butterfly<Radix, Inverse>::run(in, out);
}

}  // namespace ugodit::fft
