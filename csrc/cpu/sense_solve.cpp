// Conjugate gradients on (A^H W A + mu I) x = b inside each row: identity 4 of the design. A row's maps are read from
// memory once for all iterations; its vectors stay in cache. Rows that share a vector have step sizes of their own and
// stop by themselves.
#include "cpu/row_set.h"
#include "cpu/sense_isa.h"

namespace ugodit::UGODIT_ISA {
namespace {

constexpr int kMaxRows = kLanes;

// Row images are [visit][2][rows], so lane l of any vector of one belongs to row l % rows.
struct RowVectors {
    int rows, length;

    UGODIT_INLINE Vec per_row(const double* values) const {
        float lanes[Vec::kWidth];
        for (int l = 0; l < Vec::kWidth; ++l) lanes[l] = static_cast<float>(values[l % rows]);
        return Vec::load(lanes);
    }

    UGODIT_INLINE void sum(Vec a, double* out) const {
        float lanes[Vec::kWidth];
        a.store(lanes);
        for (int r = 0; r < rows; ++r) out[r] = 0;
        for (int l = 0; l < Vec::kWidth; ++l) out[l % rows] += lanes[l];
    }

    void dot(const float* a, const float* b, double* out) const {
        Vec total = Vec::zero();
        for (int i = 0; i < length; i += Vec::kWidth) total = madd(Vec::load(a + i), Vec::load(b + i), total);
        sum(total, out);
    }

    // y += factor x, and y's inner product with `other`.
    void add_scaled(Vec factor, const float* x, float* y, const float* other, double* out) const {
        Vec total = Vec::zero();
        for (int i = 0; i < length; i += Vec::kWidth) {
            const Vec value = madd(factor, Vec::load(x + i), Vec::load(y + i));
            value.store(y + i);
            total = madd(value, Vec::load(other + i), total);
        }
        sum(total, out);
    }
};

bool all_zero(const float* a, int length) {
    for (int i = 0; i < length; ++i) {
        if (a[i] != 0.0f) return false;
    }
    return true;
}

}  // namespace

void solve_rows(const SenseCall& call, int task) {
    const Layout& layout = *call.layout;
    const fft::Plan& plan = *call.plan;
    const int item = task / layout.groups, group = task % layout.groups;
    const RowSets sets(layout);
    const std::size_t channels = 2 * static_cast<std::size_t>(layout.height) * layout.width;
    const float* maps =
        call.maps + item * call.maps_stride + static_cast<std::size_t>(group) * layout.blocks * layout.block_floats();
    const Mask& mask = call.masks[item * call.masks_stride];
    const std::size_t floats = image_floats(plan, sets.rows);
    const RowVectors vectors{sets.rows, static_cast<int>(floats)};
    float* solution = thread_memory(call);
    float* residual = solution + floats;
    float* direction = residual + floats;
    float* applied = direction + floats;
    float* work = applied + floats;
    float* scratch = work + static_cast<std::size_t>(plan.n) * kValue;
    const Vec mu = Vec::broadcast(call.mu[item]);

    for (int set = 0; set < sets.sets; ++set) {
        const auto normal = [&](const float* in, float* out) {
            Vec loss = Vec::zero();
            for (int vector = 0; vector < layout.blocks * sets.parts; ++vector) {
                const int block = vector / sets.parts, part = set * sets.parts + vector % sets.parts;
                const float* here = maps + block * layout.block_floats() + part * Vec::kWidth;
                apply_maps(plan, sets.rows, here, in, work, scratch);
                transform(Mode::kNormal, plan, 1, mask, nullptr, 0, work, loss, scratch);
                sum_coils(plan, sets.rows, here, nullptr, work, out, vector > 0, scratch);
            }
        };
        const int first = group * layout.rows + set * sets.rows;
        double energy[kMaxRows], target[kMaxRows], curvature[kMaxRows], step[kMaxRows], growth[kMaxRows];
        bool active[kMaxRows];
        read_rows(plan, layout, call.start + item * channels, first, sets.rows, solution);
        read_rows(plan, layout, call.image + item * channels, first, sets.rows, residual);
        for (std::size_t i = 0; i < floats; ++i) applied[i] = 0.0f;  // sum_coils leaves the padding alone
        vectors.dot(residual, residual, target);
        if (all_zero(solution, vectors.length)) {
            for (int r = 0; r < sets.rows; ++r) energy[r] = target[r];
        } else {
            normal(solution, applied);
            vectors.add_scaled(mu, solution, applied, applied, energy);
            vectors.add_scaled(Vec::broadcast(-1.0f), applied, residual, residual, energy);
        }
        for (int r = 0; r < sets.rows; ++r) {
            target[r] *= call.tolerance * call.tolerance;
            energy[r] += 0.0f * call.mu[item];  // a mu that is not finite leaves no row as it was, not even zeros
            active[r] = true;
        }
        for (int i = 0; i < vectors.length; ++i) direction[i] = residual[i];

        // Comparisons are false for NaN, and written so that a row with NaN in it goes on and becomes NaN.
        for (int iteration = 0; iteration < call.iterations; ++iteration) {
            bool any = false;
            for (int r = 0; r < sets.rows; ++r) any |= active[r] = active[r] && !(energy[r] <= target[r]);
            if (!any) break;
            normal(direction, applied);
            vectors.add_scaled(mu, direction, applied, direction, curvature);
            for (int r = 0; r < sets.rows; ++r) {
                active[r] = active[r] && !(curvature[r] <= 0);
                step[r] = active[r] ? energy[r] / curvature[r] : 0;
            }
            double renewed[kMaxRows];
            const Vec forward = vectors.per_row(step), back = -forward;
            for (int i = 0; i < vectors.length; i += Vec::kWidth) {
                madd(forward, Vec::load(direction + i), Vec::load(solution + i)).store(solution + i);
            }
            vectors.add_scaled(back, applied, residual, residual, renewed);
            for (int r = 0; r < sets.rows; ++r) {
                growth[r] = active[r] ? renewed[r] / energy[r] : 0;
                if (active[r]) energy[r] = renewed[r];
            }
            const Vec keep = vectors.per_row(growth);
            for (int i = 0; i < vectors.length; i += Vec::kWidth) {
                madd(keep, Vec::load(direction + i), Vec::load(residual + i)).store(direction + i);
            }
        }
        write_rows(plan, layout, call.gradient + item * channels, first, sets.rows, solution);
        double total = 0;
        for (int r = 0; r < sets.rows; ++r) total += energy[r];
        call.partial[static_cast<std::size_t>(item) * call.partials + group * sets.sets + set] = total;
    }
}

}  // namespace ugodit::UGODIT_ISA
