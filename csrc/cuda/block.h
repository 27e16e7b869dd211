// A thread block as the kernel bodies see it: an index, a number of threads, shared memory, and phases.
//
// block.each(f) runs f(thread) for every thread of the block and then synchronises. On the GPU each thread runs f once
// and meets the others at a barrier; on the host one loop runs f for thread after thread. A body is right on both as
// long as nothing but shared memory lives across a phase: what stands between phases is computed alike by all threads.
// A host run may take the threads in any order, so a race within a phase shows as a result that depends on the order.
#pragma once

#if defined(__CUDACC__)
#define UGODIT_DEVICE __device__ __forceinline__
#else
#define UGODIT_DEVICE inline
#endif

namespace ugodit::cuda {

#if defined(__CUDACC__)
struct DeviceBlock {
    UGODIT_DEVICE int index() const { return static_cast<int>(blockIdx.x); }
    UGODIT_DEVICE int threads() const { return static_cast<int>(blockDim.x); }

    // By name of the shared array, not by a pointer kept somewhere, so that the compiler knows the address space.
    template <class T>
    UGODIT_DEVICE T* shared(int offset) const {
        extern __shared__ __align__(16) unsigned char block_memory[];
        return reinterpret_cast<T*>(block_memory + offset);
    }

    template <class Phase>
    UGODIT_DEVICE void each(const Phase& phase) const {
        phase(static_cast<int>(threadIdx.x));
        __syncthreads();
    }
};
#endif

struct HostBlock {
    int block_index, thread_count;
    unsigned char* memory;
    bool descending;

    int index() const { return block_index; }
    int threads() const { return thread_count; }

    template <class T>
    T* shared(int offset) const {
        return reinterpret_cast<T*>(memory + offset);
    }

    template <class Phase>
    void each(const Phase& phase) const {
        for (int i = 0; i < thread_count; ++i) phase(descending ? thread_count - 1 - i : i);
    }
};

constexpr int kFoldWidth = 16;

// The sum of one value per thread, which the threads left in `parts` (shared, one T a thread) in the phase before. The
// order of the additions depends on nothing but the number of threads. `sums`: shared, kFoldWidth values.
template <class T, class Block>
UGODIT_DEVICE T block_sum(Block block, int parts, int sums) {
    block.each([&](int thread) {
        if (thread >= kFoldWidth) return;
        const T* part = block.template shared<T>(parts);
        T sum = part[thread];
        for (int i = thread + kFoldWidth; i < block.threads(); i += kFoldWidth) sum += part[i];
        block.template shared<T>(sums)[thread] = sum;
    });
    const T* sum = block.template shared<T>(sums);
    T total = sum[0];
    for (int i = 1; i < kFoldWidth; ++i) total += sum[i];
    return total;
}

}  // namespace ugodit::cuda
