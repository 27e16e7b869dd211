#include "cuda/transform.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>

#include "cuda/radices.h"

namespace ugodit::cuda {
namespace {

constexpr int kLargestDense = 61;

// Instructions of one DFT; a pass reads and writes shared memory, finds its addresses and waits at a barrier. Counted
// by hand from the code, to rank the orders of one length's factors; nothing measured.
double stage_cost(int radix, bool last) {
    // A last stage that cannot turn round in registers: two more trips through shared memory in all.
    if (last && radix > kLargestSmall) return 20.0 * radix + stage_cost(radix, false);
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
            return 60;
        case 10:
            return 100;
        case 12:
            return 112;
        case 14:
            return 2 * 68 + 28;
        case 15:
            return 3 * 40 + 5 * 16;
        case 16:
            return 180;
        case 20:
            return 4 * 40 + 5 * 16;
        case 24:
            return 3 * 60 + 8 * 16;
        default:
            break;
    }
    const double half = (radix - 1) / 2;
    if (has_device_butterfly(radix)) return 4 * half * half + 10 * half;
    if (radix <= kLargestDense) return 7.5 * half * radix;
    return 220.0 * radix;
}

double twiddle_cost(int radix) {
    return radix <= kLargestSmall ? 6 : 26;
}

const fft::Machine kGpu{has_device_butterfly, stage_cost, twiddle_cost, 20, kLargestDense};

template <class T>
int append(std::vector<std::uint32_t>& table, const T* values, std::size_t count) {
    constexpr std::size_t words = sizeof(T) / sizeof(std::uint32_t);
    while (table.size() % words != 0) table.push_back(0);
    const int offset = static_cast<int>(table.size() / words);
    const auto* first = reinterpret_cast<const std::uint32_t*>(values);
    table.insert(table.end(), first, first + count * words);
    return offset;
}

// The most lanes of a half warp (16 threads, 8 bytes each) that meet in one bank, summed over all reads of a transform.
int bank_conflicts(const Chain& chain, Padding padding) {
    int conflicts = 0;
    for (int s = 0; s < chain.stage_count; ++s) {
        const DeviceStage& stage = chain.stages[s];
        const int columns = stage.columns.divisor;
        for (int first = 0; first < 4 * columns; first += 16) {
            int lanes[16] = {};
            for (int c = first; c < std::min(first + 16, 4 * columns); ++c) {
                const int column = c % columns;
                const int position = column / stage.span * stage.radix * stage.span + column % stage.span;
                ++lanes[(c / columns * padding.stride + padding.at(position)) % 16];
            }
            conflicts += stage.radix * *std::max_element(lanes, lanes + 16);
        }
    }
    return conflicts;
}

Padding choose_padding(const Chain& chain) {
    Padding best{chain.n, 31};
    int fewest = bank_conflicts(chain, best);
    for (const int shift : {31, 5, 4, 3}) {
        for (int extra = 0; extra < 4; ++extra) {
            Padding padding{0, shift};
            padding.stride = padding.at(chain.n - 1) + 1 + extra;
            // Two per cent fewer conflicts are not worth a longer line.
            const int conflicts = bank_conflicts(chain, padding);
            if (conflicts * 50 < fewest * 49) {
                best = padding;
                fewest = conflicts;
            }
        }
    }
    return best;
}

Chain chain_of(const fft::Plan& plan, std::vector<std::uint32_t>& table) {
    Chain chain{};
    chain.n = plan.n;
    for (int s = 0; s < plan.stage_count; ++s) {
        const fft::Stage& stage = plan.stages[s];
        if (stage.radix <= 1) continue;
        DeviceStage& copy = chain.stages[chain.stage_count++];
        copy = {stage.radix, stage.span, -1, -1, divider(plan.n / stage.radix), divider(stage.span)};
        if (stage.twiddle >= 0) {
            // Transposed, so that neighbouring threads, which own neighbouring columns, read neighbours.
            std::vector<Complex<float>> twiddles;
            for (int q = 0; q < stage.radix - 1; ++q) {
                for (int j = 0; j < stage.span; ++j) {
                    twiddles.push_back(plan.twiddles[stage.twiddle + j * (stage.radix - 1) + q]);
                }
            }
            copy.twiddle = append(table, twiddles.data(), twiddles.size());
        }
        if (stage.roots >= 0) {
            const std::size_t half = (stage.radix - 1) / 2;
            copy.roots = append(table, plan.roots + stage.roots, half * half);
        }
    }
    chain.padding = choose_padding(chain);
    return chain;
}

std::unique_ptr<TransformTables> build(int width) {
    auto tables = std::make_unique<TransformTables>();
    const fft::Plan& plan = fft::plan_for(width, kGpu);
    std::vector<std::uint32_t>& table = tables->table;
    Transform& transform = tables->transform;
    transform = Transform{};
    transform.chain = chain_of(plan, table);
    std::vector<int> sample_position(width), frequency_position(width);
    tables->sample.resize(width);
    tables->frequency.resize(width);
    for (int position = 0; position < width; ++position) {
        const int sample = (plan.input[position] + width / 2) % width;
        const int frequency = (plan.output[position] + width / 2) % width;
        tables->sample[position] = sample;
        tables->frequency[position] = frequency;
        sample_position[sample] = position;
        frequency_position[frequency] = position;
    }
    transform.sample_position = append(table, sample_position.data(), width);
    transform.frequency_position = append(table, frequency_position.data(), width);
    for (int s = 0; s < transform.chain.stage_count; ++s) {
        const int radix = transform.chain.stages[s].radix;
        if (!has_device_butterfly(radix)) transform.dense = radix <= kLargestDense;
    }
    if (plan.inner != nullptr) {
        transform.prime = transform.chain.stages[transform.chain.stage_count - 1].radix;
        transform.inner = chain_of(*plan.inner, table);
        transform.inner_sample = append(table, plan.inner->input, plan.inner->n);
        transform.chirp = append(table, plan.chirp, transform.prime);
        transform.spectrum = append(table, plan.spectrum, plan.inner->n);
    }
    return tables;
}

}  // namespace

Program program_for(Kernel kernel, const Transform& transform) {
    const Chain& chain = transform.chain;
    const int last = chain.stage_count - 1;
    const bool both = kernel == Kernel::residual || kernel == Kernel::solve;
    const bool turns = both && last >= 0 && chain.stages[last].radix <= kLargestSmall;
    Program program{};
    const auto add = [&](Action action, int stage = 0, bool inner = false) {
        if (program.count == kMaxSteps) throw std::logic_error("a program has too many steps");
        program.steps[program.count++] = {action, static_cast<std::int16_t>(stage), static_cast<std::int16_t>(inner)};
    };
    // A stage of the outer or inner chain that has a butterfly, with its twiddles where they are a step of their own.
    const auto add_pass = [&](int s, bool inner, bool inverse) {
        const DeviceStage& stage = (inner ? transform.inner : chain).stages[s];
        const bool apart = stage.twiddle >= 0 && stage.radix > kLargestSmall;
        if (apart && inverse) add(Action::inverse_twiddle, s, inner);
        add(inverse ? Action::inverse_pass : Action::forward_pass, s, inner);
        if (apart && !inverse) add(Action::forward_twiddle, s, inner);
    };
    const auto add_stage = [&](int s, bool inverse) {
        if (chain.stages[s].radix == transform.prime) {
            add(inverse ? Action::enter_inverse : Action::enter_forward);
            for (int i = 0; i < transform.inner.stage_count; ++i) add_pass(i, true, false);
            add(Action::convolve);
            for (int i = transform.inner.stage_count - 1; i >= 0; --i) add_pass(i, true, true);
            add(inverse ? Action::leave_inverse : Action::leave_forward);
        } else if (chain.stages[s].roots >= 0) {
            add(inverse ? Action::inverse_dense : Action::forward_dense, s);
        } else {
            add_pass(s, false, inverse);
        }
    };
    if (kernel == Kernel::adjoint) {
        add(Action::load_kspace);
    } else {
        add(Action::expand);
        for (int s = 0; s <= last - turns; ++s) add_stage(s, false);
    }
    if (kernel == Kernel::forward) {
        add(Action::store_kspace);
        return program;
    }
    if (both) add(turns ? Action::turn : Action::weigh, last);
    for (int s = last - turns; s >= 0; --s) add_stage(s, true);
    add(Action::combine);
    return program;
}

Divider divider(int divisor) {
    const std::uint32_t multiplier = static_cast<std::uint32_t>(((1ull << 31) + divisor - 1) / divisor);
    return {multiplier, divisor};
}

const TransformTables& transform_for(int width) {
    if (width < 1 || width > kLargestWidth) {
        throw std::invalid_argument("width: expected 1 to " + std::to_string(kLargestWidth) + ", got " +
                                    std::to_string(width));
    }
    static auto* lock = new std::mutex;
    static auto* known = new std::map<int, std::unique_ptr<TransformTables>>;
    const std::lock_guard<std::mutex> guard(*lock);
    std::unique_ptr<TransformTables>& tables = (*known)[width];
    if (!tables) tables = build(width);
    return *tables;
}

}  // namespace ugodit::cuda
