// Arguments of the point-wise step of ESPIRiT, on the CPU and on the GPU.
#pragma once

#if !defined(UGODIT_DEVICE)
#if defined(__CUDACC__)
#define UGODIT_DEVICE __device__ __forceinline__
#else
#define UGODIT_DEVICE inline
#endif
#endif

#if defined(__CUDACC__)
#define UGODIT_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define UGODIT_HOST_DEVICE inline
#endif

namespace ugodit::espirit {

// The coil by coil operator at image row h, column w is
//     G(h, w) = sum_(u, v) correlations[u][v] exp(2 pi i ((u - R) (h - H/2) / H + (v - R) (w - W/2) / W)),
// Hermitian, R = reach, u and v in [0, 2 R]. Its dominant eigenvectors are the maps.
struct Arguments {
    const float* correlations;  // (2 R + 1, 2 R + 1, C (C + 1) / 2, 2): lower triangles by columns, (real, imaginary)
    const float* row_phases;    // (H, 2 R + 1, 2): exp(2 pi i (u - R) (h - H/2) / H)
    const float* waves;         // (R, 2, W): cos and sin of 2 pi v (w - W/2) / W for v = 1 .. R
    const float* reference;     // (C, 2): the maps' projection on this vector is made real and positive
    float* maps;                // (sets, C, H, W, 2)
    float* eigenvalues;         // (sets, H, W)
    int coils, rows, columns, reach, sets;
    float crop;
    bool soft;  // weigh the maps by a smooth step of the eigenvalue instead of a hard one

    UGODIT_HOST_DEVICE int terms() const { return 2 * reach + 1; }
    UGODIT_HOST_DEVICE int pairs() const { return coils * (coils + 1) / 2; }  // of coils: a lower triangle
    // Floats of the operator's coefficients along a row, see operator.h.
    UGODIT_HOST_DEVICE long coefficient_floats() const { return 2L * terms() * pairs(); }
};

}  // namespace ugodit::espirit
