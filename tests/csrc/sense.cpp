// The operator and its solver against the reference.
#include "checks.h"
#include "cpu/problem.h"
#include "values.h"

namespace driver {
namespace {

using reference::Complex;
using reference::Values;

// What the roundings of float32 allow (tests/kernels/problems.py), and those of a few steps of a well conditioned
// solve.
constexpr double kTolerance = 4e-6, kSolveTolerance = 1e-4;
constexpr int kIterations = 3;

// One problem's arrays, as a caller of the kernels has them.
struct Case {
    int items, coils, height, width;
    bool both, one_map, one_weight, one_kspace;
    Floats image, start, maps, kspace, weights, mu;
    double tolerance;

    Case(Random& random, bool large);
    std::string name() const {
        return std::to_string(items) + " x " + std::to_string(coils) + " x " + std::to_string(height) + " x " +
               std::to_string(width) + (both ? " masked along both axes" : "");
    }
    std::size_t pixels() const { return static_cast<std::size_t>(height) * width; }
    reference::Sense sense(int item) const;
    Values item_image(const Floats& values, int item) const;
    Values item_coils(const Floats& values, int item) const;
};

Case::Case(Random& random, bool large) {
    constexpr double kBudget = 6e4;  // operations of a dense transform, for thousands of problems in minutes
    do {
        items = random.integer(1, 3);
        coils = random.chance(0.3) ? random.integer(1, 34) : random.size(34);
        height = random.size(large ? 200 : 24);
        width = random.chance(0.3) ? random.integer(1, 140) : random.size(large ? 800 : 140);
        both = random.chance(0.4);
    } while (static_cast<double>(items) * coils * height * width * (width + (both ? height : 0)) >
             (large ? 2000 : 1) * kBudget);
    one_map = items == 1 || random.chance(0.2);
    one_weight = items == 1 || random.chance(0.2);
    one_kspace = items == 1 || random.chance(0.2);
    const std::size_t values = 2 * pixels();
    image = random.normals(items * values);
    start = random.chance(0.5) ? Floats(items * values) : random.normals(items * values);
    maps = random.normals((one_map ? 1 : items) * coils * values);
    kspace = random.normals((one_kspace ? 1 : items) * coils * values);
    mu.resize(items);
    for (float& one : mu) one = static_cast<float>(0.1 + random.uniform());
    tolerance = random.chance(0.5) ? 0 : 0.1;
    weights.resize((one_weight ? 1 : items) * static_cast<std::size_t>(width) * (both ? height : 1));
    const double density = random.chance(0.1) ? random.integer(0, 1) : random.uniform();
    const int every = random.chance(0.3) ? random.integer(1, 8) : 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        const bool measured = every > 0 ? i % width % every == 0 : random.chance(density);
        if (measured) weights[i] = every > 0 ? 0.7f : static_cast<float>(0.5 + random.uniform());
    }
    // Maps of which the squares sum to one: a solve of a few steps then keeps its digits.
    for (std::size_t item = 0; item < (one_map ? 1u : items); ++item) {
        for (std::size_t pixel = 0; pixel < pixels(); ++pixel) {
            double sum = 0;
            const auto at = [&](int coil) { return 2 * ((item * coils + coil) * pixels() + pixel); };
            for (int c = 0; c < coils; ++c) {
                sum += maps[at(c)] * maps[at(c)] + maps[at(c) + 1] * maps[at(c) + 1];
            }
            for (int c = 0; c < coils; ++c) {
                for (const std::size_t part : {at(c), at(c) + 1}) {
                    maps[part] = static_cast<float>(maps[part] / std::sqrt(sum));
                }
            }
        }
    }
}

reference::Sense Case::sense(int item) const {
    reference::Sense sense{coils, height, width, both, item_coils(maps, one_map ? 0 : item), {}};
    const std::size_t count = static_cast<std::size_t>(width) * (both ? height : 1);
    const auto first = weights.begin() + static_cast<std::ptrdiff_t>(one_weight ? 0 : item * count);
    sense.weights.assign(first, first + static_cast<std::ptrdiff_t>(count));
    return sense;
}

Values Case::item_image(const Floats& values, int item) const {
    Values result(pixels());
    const float* first = values.data() + 2 * pixels() * item;
    for (std::size_t i = 0; i < result.size(); ++i) result[i] = Complex(first[i], first[pixels() + i]);
    return result;
}

Values Case::item_coils(const Floats& values, int item) const {
    Values result(coils * pixels());
    const float* first = values.data() + 2 * result.size() * item;
    for (std::size_t i = 0; i < result.size(); ++i) result[i] = Complex(first[2 * i], first[2 * i + 1]);
    return result;
}

struct Results {
    Floats loss, gradient, energy, normal, forward, adjoint, solution, norm;

    Results(const Case& c, int threads);
    void require_same(const Results& other, const std::string& name) const {
        for (const auto member : {&Results::loss, &Results::gradient, &Results::energy, &Results::normal,
                                  &Results::forward, &Results::adjoint, &Results::solution, &Results::norm}) {
            require_same_bits(this->*member, other.*member, name);
        }
    }
};

Results::Results(const Case& c, int threads)
    : loss(unwritten(c.items)),
      gradient(unwritten(c.image.size())),
      energy(unwritten(c.items)),
      normal(unwritten(c.image.size())),
      forward(unwritten(c.image.size() * c.coils)),
      adjoint(unwritten(c.image.size())),
      solution(unwritten(c.image.size())),
      norm(unwritten(c.items)) {
    const auto shapes = [&](int items) {
        return ugodit::Problem(items, c.coils, c.height, c.width, c.both, threads, {}, false, {}, false);
    };
    const ugodit::Problem of_maps = shapes(c.one_map ? 1 : c.items), of_kspace = shapes(c.one_kspace ? 1 : c.items);
    Floats maps = unwritten(of_maps.maps_values(false)), kspace = unwritten(of_kspace.kspace_values());
    ugodit::pack_maps(of_maps, array(c.maps), array(maps));
    ugodit::pack_kspace(of_kspace, array(c.kspace), array(kspace));
    const ugodit::Problem problem(c.items, c.coils, c.height, c.width, c.both, threads, array(maps), c.one_map,
                                  array(c.weights), c.one_weight);
    ugodit::sense_residual(problem, array(c.image), array(kspace), c.one_kspace, array(loss), array(gradient));
    ugodit::sense_residual(problem, array(c.image), {}, false, array(energy), array(normal));
    Floats packed = unwritten(problem.kspace_values());
    ugodit::sense_forward(problem, array(c.image), array(packed));
    ugodit::unpack_kspace(problem, array(packed), array(forward));
    if (!c.one_kspace) ugodit::sense_adjoint(problem, array(kspace), array(adjoint));
    if (c.both) return;
    ugodit::sense_solve(problem, array(c.image), array(c.start), array(c.mu), kIterations, c.tolerance, array(solution),
                        array(norm));
}

void compare(const Case& c, const Results& results, int item) {
    const reference::Sense sense = c.sense(item);
    const Values image = c.item_image(c.image, item), kspace = c.item_coils(c.kspace, c.one_kspace ? 0 : item);
    Values forward = reference::transform(sense, image);
    const auto operate = [&](const Values& residual, const Floats& loss, const Floats& gradient, const char* what) {
        const Values weighted = reference::weighted(sense, residual);
        double sum = 0;
        for (std::size_t i = 0; i < residual.size(); ++i) {
            sum += residual[i].real() * weighted[i].real() + residual[i].imag() * weighted[i].imag();
        }
        const std::string name = std::string(what) + " of " + c.name();
        require_close({loss[item]}, {sum}, kTolerance, "loss, " + name);
        require_close(c.item_image(gradient, item), reference::adjoint(sense, weighted), kTolerance, name);
    };
    Values residual = forward;
    for (std::size_t i = 0; i < residual.size(); ++i) residual[i] -= kspace[i];
    operate(residual, results.loss, results.gradient, "gradient");
    operate(forward, results.energy, results.normal, "normal operator");
    for (int coil = 0; coil < c.coils; ++coil) {
        for (int h = 0; h < c.height; ++h) {
            for (int k = 0; k < c.width; ++k) {
                if (sense.weight(h, k) == 0) forward[sense.at(coil, h, k)] = 0;
            }
        }
    }
    require_close(c.item_coils(results.forward, item), forward, kTolerance, "forward of " + c.name());
    if (!c.one_kspace) {
        const Values back = reference::adjoint(sense, reference::weighted(sense, kspace));
        require_close(c.item_image(results.adjoint, item), back, kTolerance, "adjoint of " + c.name());
    }
    if (c.both) return;
    const reference::Solved solved =
        reference::solve(sense, image, c.item_image(c.start, item), c.mu[item], kIterations, c.tolerance);
    // Where a row stops at its tolerance, rounding may let it take one step more or less.
    const double tolerance = c.tolerance > 0 ? 0.2 : kSolveTolerance;
    require_close(c.item_image(results.solution, item), solved.solution, tolerance, "solution of " + c.name());
    double size = 0;
    for (const Complex& value : image) size += std::norm(value);
    require(std::abs(results.norm[item] - std::sqrt(solved.residual_energy)) <= tolerance * std::sqrt(size) + 1e-4,
            "residual norm of " + c.name());
}

}  // namespace

void check_sense(std::uint64_t seed, bool large) {
    Random random(seed);
    const Case c(random, large);
    const Results results(c, 1);
    results.require_same(Results(c, random.integer(2, 4)), c.name());
    for (int item = 0; item < c.items && !large; ++item) compare(c, results, item);
    if (!large || c.one_kspace) return;
    // <A x, W y> = <x, A^H W y>, each summed in double precision.
    double left = 0, right = 0, scale = 0;
    for (int item = 0; item < c.items; ++item) {
        const Values forward = c.item_coils(results.forward, item);
        const Values kspace = reference::weighted(c.sense(item), c.item_coils(c.kspace, item));
        for (std::size_t i = 0; i < kspace.size(); ++i) {
            left += (std::conj(kspace[i]) * forward[i]).real();
            scale += std::norm(kspace[i]) + std::norm(forward[i]);
        }
    }
    for (std::size_t i = 0; i < c.image.size(); ++i) right += static_cast<double>(c.image[i]) * results.adjoint[i];
    require(std::abs(left - right) <= kTolerance * scale + 1e-30, "forward and adjoint of " + c.name());
}

}  // namespace driver
