#include "cpu/thread_pool.h"

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

namespace ugodit {
namespace {

// One call's indices: whoever is free takes the next. The first exception ends it, and goes to the caller.
class Work {
  public:
    Work(int count, void (*task)(void*, int), void* context) : count_(count), task_(task), context_(context) {}

    void take_indices() noexcept {
        try {
            for (int index; (index = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) task_(context_, index);
        } catch (...) {
            if (!failed_.exchange(true)) error_ = std::current_exception();
            next_.store(count_, std::memory_order_relaxed);
        }
    }

    // When all threads are done with it.
    void rethrow() const {
        if (error_ != nullptr) std::rethrow_exception(error_);
    }

  private:
    std::atomic<int> next_{0};
    std::atomic<bool> failed_{false};
    const int count_;
    void (*const task_)(void*, int);
    void* const context_;
    std::exception_ptr error_;
};

// ---- torch's threads -----------------------------------------------------------------------------------------------

using StartTeam = void (*)(void (*function)(void*), void* data, unsigned threads, unsigned flags);

// The entry point of the OpenMP runtime that torch brought into the process (libgomp's ABI, which LLVM's and Intel's
// runtimes have too), or null. Threads of our own would fight over the cores with torch's, which go on spinning for
// milliseconds after each of its operations.
StartTeam start_team() {
    static const auto function = reinterpret_cast<StartTeam>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
    return function;
}

// ---- threads of our own --------------------------------------------------------------------------------------------

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
    bool run(Work& work, int threads) {
        std::unique_lock<std::mutex> alone(in_use_, std::try_to_lock);
        if (!alone.owns_lock()) return false;
        {
            const std::lock_guard<std::mutex> guard(lock_);
            hire(threads - 1);
            work_ = &work;
            places_ = threads - 1;
            generation_.fetch_add(1, std::memory_order_release);
        }
        wake_.notify_all();
        work.take_indices();
        std::unique_lock<std::mutex> guard(lock_);
        places_ = 0;  // who has not joined yet finds nothing left to do
        done_.wait(guard, [this] { return active_ == 0; });
        return true;
    }

  private:
    void hire(int workers) {
        try {
            for (; workers_ < workers; ++workers_) {
                // Detached: they live as long as the process, which must not wait for them at exit.
                std::thread([this] { serve(); }).detach();
            }
        } catch (const std::system_error&) {
            // The system has no more threads to give: those there are do the work.
        }
    }

    void serve() {
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
            Work& work = *work_;
            guard.unlock();
            work.take_indices();
            guard.lock();
            if (--active_ == 0) done_.notify_one();
        }
    }

    std::mutex in_use_, lock_;
    std::condition_variable wake_, done_;
    std::atomic<unsigned> generation_{0};
    int workers_ = 0, places_ = 0, active_ = 0;
    Work* work_ = nullptr;
};

// Never destroyed: workers use it until the process ends.
Pool*& pool() {
    static Pool* instance = new Pool;
    return instance;
}

// A forked child has none of its parent's threads: OpenMP's runtime would wait for them for ever, and locks they held
// are never released. So it works with a new pool of ours.
bool forked = false;
[[maybe_unused]] const int watching = pthread_atfork(nullptr, nullptr, [] {
    forked = true;
    pool() = new Pool;
});

struct Scratch {
    float* data = nullptr;
    std::size_t floats = 0;
    ~Scratch() { std::free(data); }
};

}  // namespace

void parallel_for(int count, int threads, void (*task)(void*, int), void* context) {
    Work work(count, task, context);
    if (threads <= 1 || count <= 1) {
        work.take_indices();
    } else if (start_team() != nullptr && !forked) {
        const auto member = [](void* data) { static_cast<Work*>(data)->take_indices(); };
        // As many as torch asks for, even where there is less to do: a smaller team would end the surplus threads.
        start_team()(member, &work, static_cast<unsigned>(threads), 0);
    } else if (!pool()->run(work, threads < count ? threads : count)) {
        work.take_indices();
    }
    work.rethrow();
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
