#include "fft/plan.h"

#include <cmath>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "fft/butterfly.h"

namespace ugodit::fft {
namespace {

constexpr double kPi = 3.14159265358979323846;

struct Owner {
    Plan plan{};
    std::vector<int> input, output, visit;
    std::vector<Complex<float>> twiddles, roots, last_roots, chirp, spectrum;
};

Complex<float> unit(double angle) {
    return {static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))};
}

bool is_prime(int n) {
    for (int d = 2; d * d <= n; ++d) {
        if (n % d == 0) return false;
    }
    return n > 1;
}

// Vector operations for one radix, reckoned for a CPU with 32 registers; the dense primes assume that a mask lets
// about half of the work be skipped when they come last. Good enough to rank the orders of one length's factors.
double stage_cost(int radix, bool last) {
    switch (radix) {
        case 1:
            return 0;
        case 2:
            return 4;
        case 3:
            return 16;
        case 4:
            return 16;
        case 5:
            return 40;
        case 6:
            return 44;
        case 8:
            return 56;
        case 12:
            return 112;
        case 16:
            return 170;
        default:
            break;
    }
    if (radix <= kLargestDensePrime) return (last ? 1.0 : 2.0) * (radix - 1.0) * (radix - 1.0) + 4 * radix;
    return 40.0 * radix * std::log2(2.0 * radix);
}

double rotation_cost(int) {
    return 4;
}
bool processor_has_butterfly(int radix) {
    return has_butterfly(radix);
}

struct Chain {
    double cost;
    std::vector<int> radices;
};

// The cheapest chain of radices for n; empty where there is none, as two of its primes need Bluestein's algorithm.
const Chain& best_chain(int n, const Machine& machine, std::map<int, Chain>& known) {
    if (const auto found = known.find(n); found != known.end()) return found->second;
    Chain best{1e30, {}};
    for (int radix = 2; radix <= n; ++radix) {
        if (n % radix != 0 || !(machine.has_butterfly(radix) || is_prime(radix))) continue;
        const int span = n / radix;
        const bool bluestein = !machine.has_butterfly(radix) && radix > machine.largest_dense_prime;
        if (span > 1 && bluestein) continue;  // it only comes last
        Chain chain{machine.stage_cost(radix, span == 1) * span, {radix}};
        if (span > 1) {
            const Chain& rest = best_chain(span, machine, known);
            chain.cost += radix * rest.cost;
            chain.cost += n * (machine.pass_cost + (std::gcd(radix, span) > 1 ? machine.twiddle_cost(radix) : 0));
            chain.radices.insert(chain.radices.end(), rest.radices.begin(), rest.radices.end());
        }
        if (chain.cost < best.cost) best = chain;
    }
    return known[n] = best;
}

// Fills stages[level..] and the orders of a block of n positions.
void lay_out(Owner& owner, const Machine& machine, const std::vector<int>& radices, std::size_t level, int n,
             std::vector<int>& input, std::vector<int>& output) {
    Stage& stage = owner.plan.stages[level];
    const int radix = radices[level], span = n / radix;
    stage = {radix, span, -1, -1};
    std::vector<int> inner_input{0}, inner_output{0};
    if (level + 1 < radices.size()) {
        lay_out(owner, machine, radices, level + 1, span, inner_input, inner_output);
    }
    const bool coprime = std::gcd(radix, span) == 1;
    input.resize(n);
    output.resize(n);
    for (int q = 0; q < radix; ++q) {
        for (int j = 0; j < span; ++j) {
            const int sample = q * span + (coprime && radix > 1 ? inner_input[j] * radix : inner_input[j]);
            input[q * span + j] = sample % n;
            int frequency = q + radix * inner_output[j];
            if (coprime) {
                // The frequency that is q modulo radix and inner_output[j] modulo span.
                frequency = inner_output[j];
                while (frequency % radix != q) frequency += span;
            }
            output[q * span + j] = frequency;
        }
    }
    if (!coprime) {
        stage.twiddle = static_cast<int>(owner.twiddles.size());
        for (int j = 0; j < span; ++j) {
            for (int q = 1; q < radix; ++q) {
                owner.twiddles.push_back(unit(-2 * kPi * (static_cast<long long>(q) * inner_input[j] % n) / n));
            }
        }
    }
    if (!machine.has_butterfly(radix) && radix <= machine.largest_dense_prime) {
        stage.roots = static_cast<int>(owner.roots.size());
        const int half = (radix - 1) / 2;
        for (int k = 1; k <= half; ++k) {
            for (int j = 1; j <= half; ++j) owner.roots.push_back(unit(2 * kPi * (k * j % radix) / radix));
        }
    }
}

// A length of at least `least` whose only prime factors are 2, 3 and 5, the cheapest of the next few.
int smooth_length(int least, const Machine& machine) {
    std::map<int, Chain> known;
    int best = 0;
    for (int n = least; n <= 2 * least; ++n) {
        int rest = n;
        for (const int prime : {2, 3, 5}) {
            while (rest % prime == 0) rest /= prime;
        }
        if (rest != 1) continue;
        if (best == 0 || best_chain(n, machine, known).cost < best_chain(best, machine, known).cost) best = n;
    }
    return best;
}

void add_bluestein(Owner& owner, const Machine& machine, int prime) {
    const Plan& inner = plan_for(smooth_length(2 * prime - 1, machine), machine);
    const int length = inner.n;
    owner.chirp.resize(prime);
    std::vector<double> re(length, 0.0), im(length, 0.0);
    for (int k = 0; k < prime; ++k) {
        const double angle = kPi * (static_cast<long long>(k) * k % (2 * prime)) / prime;
        owner.chirp[k] = unit(-angle);
        for (const int place : {k, (length - k) % length}) {
            re[place] = std::cos(angle);
            im[place] = std::sin(angle);
        }
    }
    // Once a length, in double: a direct DFT is exact enough and short enough to read.
    std::vector<double> cosine(length), sine(length);
    for (int m = 0; m < length; ++m) {
        cosine[m] = std::cos(2 * kPi * m / length);
        sine[m] = std::sin(2 * kPi * m / length);
    }
    owner.spectrum.resize(length);
    for (int position = 0; position < length; ++position) {
        const long long frequency = inner.output[position];
        double sum_re = 0, sum_im = 0;
        for (int m = 0; m < length; ++m) {
            const int phase = static_cast<int>(frequency * m % length);
            sum_re += re[m] * cosine[phase] + im[m] * sine[phase];
            sum_im += im[m] * cosine[phase] - re[m] * sine[phase];
        }
        owner.spectrum[position] = {static_cast<float>(sum_re / length), static_cast<float>(sum_im / length)};
    }
    owner.plan.inner = &inner;
}

// Throws what plan_for() documents.
std::vector<int> radices_of(int n, const Machine& machine) {
    const std::string refused = "no transform of length " + std::to_string(n) + ": ";
    if (n < 1 || n > kLongest) throw std::invalid_argument(refused + "expected 1 to " + std::to_string(kLongest));
    std::map<int, Chain> known;
    std::vector<int> radices = n == 1 ? std::vector<int>{1} : best_chain(n, machine, known).radices;
    const std::string largest_dense = std::to_string(machine.largest_dense_prime);
    if (radices.empty()) throw std::invalid_argument(refused + "it has two prime factors above " + largest_dense);
    if (radices.back() > kLargestPrime) {
        throw std::invalid_argument(refused + "it has a prime factor above " + std::to_string(kLargestPrime));
    }
    // The first pass is fused with the sensitivity maps and the last with the mask: there are always two.
    if (radices.size() == 1) radices.insert(radices.begin(), 1);
    if (radices.size() > kMaxStages) throw std::invalid_argument(refused + "it has too many prime factors");
    return radices;
}

std::unique_ptr<Owner> build(int n, const Machine& machine) {
    const std::vector<int> radices = radices_of(n, machine);
    auto owner = std::make_unique<Owner>();
    lay_out(*owner, machine, radices, 0, n, owner->input, owner->output);
    const int last = radices.back();
    if (!machine.has_butterfly(last) && last > machine.largest_dense_prime) add_bluestein(*owner, machine, last);
    for (int t = 0; machine.has_butterfly(last) && t < last; ++t)
        owner->last_roots.push_back(unit(-2 * kPi * t / last));
    const Stage& first = owner->plan.stages[0];
    for (int j = 0; j < first.span; ++j) {
        for (int q = 0; q < first.radix; ++q) owner->visit.push_back(owner->input[q * first.span + j]);
    }
    Plan& plan = owner->plan;
    plan.n = n;
    plan.stage_count = static_cast<int>(radices.size());
    plan.input = owner->input.data();
    plan.output = owner->output.data();
    plan.visit = owner->visit.data();
    plan.twiddles = owner->twiddles.data();
    plan.roots = owner->roots.data();
    plan.last_roots = owner->last_roots.data();
    plan.chirp = owner->chirp.data();
    plan.spectrum = owner->spectrum.data();
    return owner;
}

}  // namespace

const Machine kProcessor{processor_has_butterfly, stage_cost, rotation_cost, 6, kLargestDensePrime};

const Plan& plan_for(int n, const Machine& machine) {
    // Recursive: Bluestein's plan asks for its inner one. Never freed: threads may still use plans while a process
    // ends.
    static auto* lock = new std::recursive_mutex;
    static auto* plans = new std::map<std::pair<const Machine*, int>, std::unique_ptr<Owner>>;
    const std::lock_guard<std::recursive_mutex> guard(*lock);
    const std::pair<const Machine*, int> key{&machine, n};
    if (const auto found = plans->find(key); found != plans->end()) return found->second->plan;
    std::unique_ptr<Owner> owner = build(n, machine);  // which may throw, and then leaves nothing behind
    return ((*plans)[key] = std::move(owner))->plan;
}

}  // namespace ugodit::fft
