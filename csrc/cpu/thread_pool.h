// A small pool of threads that stays for the life of the process and survives fork().
#pragma once

#include <cstddef>

namespace ugodit {

// Calls task(context, index) for every index in [0, count), on up to `threads` threads, the caller among them, and
// returns when all are done. Which thread takes which index is not determined: results must not depend on it. If
// another call is running (a second Python thread), this one does all its work itself.
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
