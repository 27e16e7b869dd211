#include "cpu/thread_pool.h"

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>

namespace ugodit {
namespace {

// How long an idle worker looks for work before it sleeps: waking costs more than a small image's whole call.
constexpr int kSpins = 2000;

void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

class Pool {
  public:
    // False if the pool is in use.
    bool run(int count, int threads, void (*task)(void*, int), void* context) {
        std::unique_lock<std::mutex> alone(in_use_, std::try_to_lock);
        if (!alone.owns_lock()) return false;
        {
            const std::lock_guard<std::mutex> guard(lock_);
            while (workers_ < threads - 1) {
                // Detached: they live as long as the process, which must not wait for them at exit.
                std::thread([this] { work(); }).detach();
                ++workers_;
            }
            task_ = task;
            context_ = context;
            count_ = count;
            next_.store(0, std::memory_order_relaxed);
            places_ = threads - 1;
            generation_.fetch_add(1, std::memory_order_release);
        }
        wake_.notify_all();
        take_indices();
        std::unique_lock<std::mutex> guard(lock_);
        places_ = 0;  // who has not joined yet finds nothing left to do
        done_.wait(guard, [this] { return active_ == 0; });
        return true;
    }

  private:
    void take_indices() {
        for (int index; (index = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) task_(context_, index);
    }

    void work() {
        unsigned seen = 0;
        for (;;) {
            for (int spin = 0; spin < kSpins && generation_.load(std::memory_order_acquire) == seen; ++spin)
                pause_briefly();
            std::unique_lock<std::mutex> guard(lock_);
            wake_.wait(guard, [&] { return generation_.load(std::memory_order_relaxed) != seen; });
            seen = generation_.load(std::memory_order_relaxed);
            if (places_ == 0) continue;
            --places_;
            ++active_;
            guard.unlock();
            take_indices();
            guard.lock();
            if (--active_ == 0) done_.notify_one();
        }
    }

    std::mutex in_use_, lock_;
    std::condition_variable wake_, done_;
    std::atomic<unsigned> generation_{0};
    std::atomic<int> next_{0};
    int workers_ = 0, places_ = 0, active_ = 0, count_ = 0;
    void (*task_)(void*, int) = nullptr;
    void* context_ = nullptr;
};

// Never destroyed: workers use it until the process ends. A forked child has none of its parent's threads and must not
// touch locks they may have held, so it starts with a new pool and leaves the old one alone.
Pool*& pool() {
    static Pool* instance = [] {
        pthread_atfork(nullptr, nullptr, [] { pool() = new Pool; });
        return new Pool;
    }();
    return instance;
}

struct Scratch {
    float* data = nullptr;
    std::size_t floats = 0;
    ~Scratch() { std::free(data); }
};

}  // namespace

void parallel_for(int count, int threads, void (*task)(void*, int), void* context) {
    if (threads > count) threads = count;
    if (threads > 1 && pool()->run(count, threads, task, context)) return;
    for (int index = 0; index < count; ++index) task(context, index);
}

float* thread_scratch(std::size_t floats) {
    static thread_local Scratch scratch;
    if (scratch.floats < floats) {
        std::free(scratch.data);
        scratch.data = static_cast<float*>(std::aligned_alloc(64, (floats * sizeof(float) + 63) / 64 * 64));
        scratch.floats = scratch.data == nullptr ? 0 : floats;
        if (scratch.data == nullptr) throw std::bad_alloc();
    }
    return scratch.data;
}

}  // namespace ugodit
