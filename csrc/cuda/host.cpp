// The kernels on the host, thread after thread and block after block: for tests, where no GPU is at hand.
#include <cstring>
#include <stdexcept>
#include <vector>

#include "cuda/launch.h"

namespace ugodit::cuda {
namespace {

template <class Arguments, class Body>
void run(const Target& target, int blocks, int threads, int shared_bytes, const Arguments& arguments,
         const Body& body) {
    // Bytes that are not the block's own stand after its memory; every block starts with NaN, whatever the type.
    constexpr std::size_t kGuard = 4096;
    std::vector<double> memory((shared_bytes + kGuard) / sizeof(double) + 1);
    auto* bytes = reinterpret_cast<unsigned char*>(memory.data());
    for (int index = 0; index < blocks; ++index) {
        std::memset(bytes, 0xff, shared_bytes + kGuard);
        body(HostBlock{index, threads, bytes, target.descending}, arguments);
        for (std::size_t i = 0; i < kGuard; ++i) {
            if (bytes[shared_bytes + i] != 0xff) {
                throw std::runtime_error("a block wrote behind its shared memory");
            }
        }
    }
}

}  // namespace

// As on an H100: 227 KB, 132 multiprocessors.
int shared_limit(const Target&) {
    return 227 * 1024;
}

int processor_count(const Target&) {
    return 132;
}

void launch(const Target& target, int blocks, const ApplyArguments& arguments) {
    const Layout& layout = arguments.sense.layout;
    run(target, blocks, layout.threads, layout.shared_bytes, arguments,
        [](HostBlock block, const ApplyArguments& a) { apply_body(block, a); });
}

void launch(const Target& target, int blocks, const SolveArguments& arguments) {
    const Layout& layout = arguments.sense.layout;
    run(target, blocks, layout.threads, layout.shared_bytes, arguments,
        [](HostBlock block, const SolveArguments& a) { solve_body(block, a); });
}

void launch(const Target& target, const EspiritPlan& plan, const EspiritLaunch& arguments) {
    run(target, plan.blocks, plan.threads, plan.shared_bytes, arguments,
        [shared = plan.shared](HostBlock block, const EspiritLaunch& a) {
            if (shared) {
                espirit_body<true>(block, a);
            } else {
                espirit_body<false>(block, a);
            }
        });
}

}  // namespace ugodit::cuda
