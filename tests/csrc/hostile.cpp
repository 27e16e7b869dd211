// What must be refused, or become NaN.
#include <functional>

#include "checks.h"
#include "cpu/calibration.h"
#include "cpu/problem.h"
#include "values.h"

namespace driver {
namespace {

using Call = std::function<void()>;

void require_refused(const std::string& what, const Call& call) {
    try {
        call();
    } catch (const std::invalid_argument& error) {
        require(std::string(error.what()).find(what) != std::string::npos,
                what + ": refused for another reason: " + error.what());
        return;
    }
    throw std::runtime_error(what + ": not refused");
}

// A number that no size may be.
std::int64_t no_size(Random& random) {
    switch (random.integer(0, 5)) {
        case 0:
            return 0;
        case 1:
            return -random.integer(1, 1 << 30);
        case 2:
            return (std::int64_t{1} << random.integer(31, 62)) + random.integer(-1, 1);
        case 3:
            return std::numeric_limits<std::int64_t>::max();
        case 4:
            return std::numeric_limits<std::int64_t>::min();
        default:
            return std::int64_t{std::numeric_limits<int>::max()} + random.integer(-2, 2);
    }
}

void check_sizes(Random& random) {
    constexpr const char* kNames[] = {"items", "coils", "height", "width"};
    const int which = random.integer(0, 3);
    std::int64_t sizes[] = {1, 2, 3, 4};
    sizes[which] = no_size(random);
    const bool both = random.chance(0.5);
    require_refused(kNames[which],
                    [&] { ugodit::Problem(sizes[0], sizes[1], sizes[2], sizes[3], both, 1, {}, false, {}, false); });
    // Each of them a size, but too much together.
    const std::int64_t most = std::int64_t{1} << 30;
    require_refused("expected", [&] { ugodit::Problem(most, most, most, 1 << 20, false, 1, {}, false, {}, false); });
    require_refused("expected", [&] { ugodit::Problem(1, most, 1 << 20, 1 << 20, true, 1, {}, false, {}, false); });
    require_refused("threads", [&] { ugodit::Problem(1, 1, 1, 1, both, -random.integer(0, 9), {}, false, {}, false); });
    require_refused("no transform of length", [] { ugodit::fft::plan_for(131 * 137); });
    require_refused("no transform of length", [&] { ugodit::fft::plan_for(1000003); });
    require_refused("no transform of length", [&] { ugodit::fft::plan_for((1 << 20) + random.integer(1, 1000)); });
    require_refused("coils", [&] { ugodit::espirit_problem(no_size(random), 2, 2, 1, 1, 0.5f, false, 1); });
    require_refused("expected", [&] { ugodit::espirit_problem(4096, 2, 2, 4096, 1, 0.5f, false, 1); });
    require_refused("levels", [&] { ugodit::shrink_wavelets(1, 2, 2, 40, 0, 0, 1, {}, {}, {}); });
    require_refused("columns", [&] { ugodit::shrink_wavelets(1, 2, no_size(random), 4, 0, 0, 1, {}, {}, {}); });
}

void check_arrays(Random& random) {
    const int items = random.integer(1, 3), coils = random.size(20), height = random.size(9), width = random.size(30);
    const ugodit::Problem shapes(items, coils, height, width, false, 1, {}, false, {}, false);
    const Floats maps(shapes.maps_values(false), 1.0f), weights(static_cast<std::size_t>(items) * width, 1.0f);
    const Floats image(shapes.image_values()), loss(items), kspace(shapes.kspace_values()), mu(items, 1.0f);
    const ugodit::Array right[] = {array(maps), array(weights), array(image), array(kspace), array(loss), array(image)};
    constexpr const char* kNames[] = {"maps", "weights", "image", "kspace", "loss", "gradient"};
    const int which = random.integer(0, 5);
    ugodit::Array given[6];
    std::copy(right, right + 6, given);
    const auto residual = [&] {
        const ugodit::Problem problem(items, coils, height, width, false, 2, given[0], false, given[1], false);
        ugodit::sense_residual(problem, given[2], given[3], false, given[4], given[5]);
    };
    residual();
    given[which].second += random.chance(0.5) ? 1 : -1;
    require_refused(kNames[which], residual);
    given[which] = {static_cast<std::uintptr_t>(random.integer(1, 4095)), right[which].second};
    require_refused(kNames[which], residual);
    given[which] = {right[which].first + 2, right[which].second};
    require_refused(kNames[which], residual);
}

// NaN in one row of one item makes NaN of that row and of no other.
void check_nan(Random& random) {
    const int items = random.integer(1, 3), coils = random.size(20), height = random.size(9), width = random.size(30);
    const auto normals = [&](std::size_t count) { return random.normals(count); };
    Floats maps = normals(std::size_t{2} * items * coils * height * width);
    const ugodit::Problem shapes(items, coils, height, width, false, 2, {}, false, {}, false);
    Floats rhs = normals(shapes.image_values()), start = normals(rhs.size()), mu(items, 0.5f);
    const int item = random.integer(0, items - 1), row = random.integer(0, height - 1);
    const float bad =
        random.chance(0.5) ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
    if (random.chance(0.3)) std::fill(start.begin(), start.end(), 0.0f);
    const int which = random.integer(0, 2);
    const std::size_t place = (std::size_t{2} * item * height + row) * width + random.integer(0, width - 1);
    if (which == 0) rhs[place] = bad;
    if (which == 1) start[place] = bad;
    if (which == 2) mu[item] = bad;
    Floats packed(shapes.maps_values(false)), weights(static_cast<std::size_t>(items) * width, 1.0f);
    ugodit::pack_maps(shapes, array(maps), array(packed));
    const ugodit::Problem problem(items, coils, height, width, false, 2, array(packed), false, array(weights), false);
    Floats solution = unwritten(rhs.size()), norm = unwritten(items);
    ugodit::sense_solve(problem, array(rhs), array(start), array(mu), 3, 0, array(solution), array(norm));
    for (std::size_t i = 0; i < solution.size(); ++i) {
        const int of_item = static_cast<int>(i / (std::size_t{2} * height * width));
        const int of_row = static_cast<int>(i / width) % height;
        const bool expected = of_item == item && (which == 2 || of_row == row);
        require(std::isnan(solution[i]) == expected, "NaN in a solve");
    }
    for (int i = 0; i < items; ++i) require(std::isnan(norm[i]) == (i == item), "the norm of NaN in a solve");
}

}  // namespace

void check_hostile(std::uint64_t seed) {
    Random random(seed);
    check_sizes(random);
    check_arrays(random);
    check_nan(random);
}

}  // namespace driver
