// The kernels of sense.h on the host, thread after thread and block after block: for tests, where no GPU is at hand.
#include <cstring>
#include <stdexcept>
#include <vector>

#include "cuda/launch.h"

namespace ugodit::cuda {
namespace {

template <class Arguments, class Body>
void run(const Target& target, int blocks, const Arguments& arguments, const Body& body) {
    const Layout& layout = arguments.sense.layout;
    // Bytes that are not the block's own stand after its memory; every block starts with NaN, whatever the type.
    constexpr std::size_t kGuard = 4096;
    std::vector<double> memory((layout.shared_bytes + kGuard) / sizeof(double) + 1);
    auto* bytes = reinterpret_cast<unsigned char*>(memory.data());
    for (int index = 0; index < blocks; ++index) {
        std::memset(bytes, 0xff, layout.shared_bytes + kGuard);
        body(HostBlock{index, layout.threads, bytes, target.descending}, arguments);
        for (std::size_t i = 0; i < kGuard; ++i) {
            if (bytes[layout.shared_bytes + i] != 0xff) {
                throw std::runtime_error("a block wrote behind its shared memory");
            }
        }
    }
}

}  // namespace

// As on an H100: 227 KB.
int shared_limit(const Target&) {
    return 227 * 1024;
}

void launch(const Target& target, int blocks, const ApplyArguments& arguments) {
    run(target, blocks, arguments, [](HostBlock block, const ApplyArguments& a) { apply_body(block, a); });
}

void launch(const Target& target, int blocks, const SolveArguments& arguments) {
    run(target, blocks, arguments, [](HostBlock block, const SolveArguments& a) { solve_body(block, a); });
}

}  // namespace ugodit::cuda
