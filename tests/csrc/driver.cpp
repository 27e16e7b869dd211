// Thousands of random problems for the compiled CPU kernels, by several threads at once, in every instruction set that
// this processor has: a program for sanitizers. It needs neither Python nor torch.
//
//     ugodit_driver [problems] [callers] [seed]
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "checks.h"
#include "cpu/variant.h"

namespace {

// Every tenth problem one of the others, every hundredth of sizes as in a scan.
void run(std::uint64_t seed, int index) {
    const std::uint64_t own = seed * 1000003 + static_cast<std::uint64_t>(index);
    switch (index % 20) {
        case 7:
            return driver::check_wavelets(own);
        case 13:
            return driver::check_espirit(own);
        case 19:
            return driver::check_hostile(own);
        default:
            return driver::check_sense(own, index % 100 == 50);
    }
}

// Returns how many problems failed.
int run_all(std::uint64_t seed, int problems, int callers) {
    std::atomic<int> next{0}, failures{0};
    std::mutex output;
    const auto work = [&] {
        for (int index; (index = next.fetch_add(1)) < problems;) {
            try {
                run(seed, index);
            } catch (const std::exception& error) {
                const std::lock_guard<std::mutex> guard(output);
                std::cerr << "problem " << index << ", seed " << seed << ": " << error.what() << '\n';
                ++failures;
            }
        }
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < callers; ++i) threads.emplace_back(work);
    for (std::thread& thread : threads) thread.join();
    return failures;
}

}  // namespace

int main(int count, char** arguments) {
    const auto number = [&](int index, int otherwise) {
        return count > index ? std::atoi(arguments[index]) : otherwise;
    };
    const int problems = number(1, 5000), callers = number(2, 3), seed = number(3, 0);
    int failures = 0;
    for (const ugodit::Variant variant :
         {ugodit::Variant::kBaseline, ugodit::Variant::kAvx2, ugodit::Variant::kAvx512}) {
        const std::string name = ugodit::kVariantNames[static_cast<int>(variant)];
        if (!ugodit::variant_available(variant)) {
            std::cout << name << ": not on this processor\n";
            continue;
        }
        ugodit::select_variant(variant);
        const int failed = run_all(static_cast<std::uint64_t>(seed), problems, callers);
        std::cout << name << ": " << problems << " problems by " << callers << " callers, " << failed << " failed\n";
        failures += failed;
    }
    return failures == 0 ? 0 : 1;
}
