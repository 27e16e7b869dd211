// Work shared out between threads: torch's own where its OpenMP runtime can be reached, else those of a small pool, as
// in a forked child.
#pragma once

#include <cstddef>

namespace ugodit {

// Calls task(context, index) for every index in [0, count), on up to `threads` threads, the caller among them, and
// returns when all are done or one has thrown, whose exception it throws. Which thread takes which index is not
// determined: results must not depend on it. While the pool serves another call (of a second Python thread), this one
// does all its work itself.
void parallel_for(int count, int threads, void (*task)(void* context, int index), void* context);

template <class F>
inline __attribute__((always_inline)) void parallel_for(int count, int threads, const F& body) {
    parallel_for(
        count, threads, [](void* context, int index) { (*static_cast<const F*>(context))(index); },
        const_cast<F*>(&body));
}

// Memory of this thread, 64-byte aligned, kept until the thread ends: contents are lost at the next call.
float* thread_scratch(std::size_t floats);

}  // namespace ugodit
