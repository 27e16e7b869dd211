// Wavelets and ESPIRiT.
#include <algorithm>

#include "checks.h"
#include "cpu/calibration.h"
#include "values.h"

namespace driver {

using reference::Complex;
using reference::Values;

void check_wavelets(std::uint64_t seed) {
    Random random(seed);
    const int items = random.integer(1, 3), rows = random.size(90), columns = random.size(150);
    const int levels = random.integer(0, 5), block = 1 << levels;
    const int above = random.integer(0, block - 1), left = random.integer(0, block - 1);
    const std::size_t pixels = static_cast<std::size_t>(rows) * columns;
    const Floats image = random.normals(2 * pixels * items);
    Floats weights(items);
    for (float& weight : weights) weight = random.chance(0.2) ? 0 : static_cast<float>(2 * random.uniform());
    const auto run = [&](int threads) {
        Floats result = unwritten(image.size());
        ugodit::shrink_wavelets(items, rows, columns, levels, above, left, threads, array(image), array(weights),
                                array(result));
        return result;
    };
    const Floats result = run(1);
    const std::string name = "wavelets of " + std::to_string(rows) + " x " + std::to_string(columns);
    require_same_bits(result, run(random.integer(2, 4)), name);
    for (int item = 0; item < items; ++item) {
        Values before(pixels), after(pixels);
        for (std::size_t i = 0; i < pixels; ++i) {
            before[i] = Complex(image[2 * item * pixels + i], image[(2 * item + 1) * pixels + i]);
            after[i] = Complex(result[2 * item * pixels + i], result[(2 * item + 1) * pixels + i]);
        }
        const Values truth = reference::shrink(before, rows, columns, levels, above, left, weights[item]);
        require_close(after, truth, 4e-6, name);
    }
}

void check_espirit(std::uint64_t seed) {
    Random random(seed);
    const int coils = random.size(20), rows = random.size(9), columns = random.size(40), reach = random.integer(0, 2);
    const int sets = std::min(coils, random.integer(1, 2)), terms = 2 * reach + 1, pairs = coils * (coils + 1) / 2;
    // Correlations that are not zero at the centre alone: one Hermitian matrix G for all pixels, G = B B^H / coils.
    Values b(static_cast<std::size_t>(coils) * coils), g(b.size());
    for (Complex& value : b) value = Complex(random.normal(), random.normal());
    for (int i = 0; i < coils; ++i) {
        for (int j = 0; j < coils; ++j) {
            for (int k = 0; k < coils; ++k) g[i * coils + j] += b[i * coils + k] * std::conj(b[j * coils + k]);
            g[i * coils + j] /= coils;
        }
    }
    Floats correlations(2 * static_cast<std::size_t>(terms) * terms * pairs);
    std::size_t at = 2 * static_cast<std::size_t>(reach * terms + reach) * pairs;
    for (int j = 0; j < coils; ++j) {
        for (int i = j; i < coils; ++i) {
            correlations[at++] = static_cast<float>(g[i * coils + j].real());
            correlations[at++] = static_cast<float>(g[i * coils + j].imag());
        }
    }
    Floats row_phases(2 * static_cast<std::size_t>(rows) * terms), reference(2 * coils);
    for (std::size_t i = 0; i < row_phases.size(); i += 2) row_phases[i] = 1;
    for (std::size_t i = 0; i < reference.size(); i += 2) reference[i] = 1;
    const Floats waves = random.normals(2 * static_cast<std::size_t>(reach) * columns);
    const std::size_t pixels = static_cast<std::size_t>(rows) * columns;
    const auto run = [&](int threads, Floats& eigenvalues) {
        Floats maps = unwritten(2 * pixels * sets * coils);
        eigenvalues = unwritten(pixels * sets);
        const auto problem = ugodit::espirit_problem(coils, rows, columns, reach, sets, -1e30f, false, threads);
        ugodit::espirit_maps(problem, array(correlations), array(row_phases), array(waves), array(reference),
                             array(maps), array(eigenvalues));
        return maps;
    };
    Floats eigenvalues, again;
    const Floats maps = run(1, eigenvalues);
    const std::string name = "ESPIRiT of " + std::to_string(coils) + " coils";
    require_same_bits(maps, run(random.integer(2, 4), again), name);
    require_same_bits(eigenvalues, again, name);
    double trace = 0;
    for (int i = 0; i < coils; ++i) trace += g[i * coils + i].real();
    for (int set = 0; set < sets; ++set) {
        for (std::size_t pixel = 0; pixel < pixels; ++pixel) {
            const double value = eigenvalues[set * pixels + pixel];
            Values x(coils);
            double size = 0, error = 0;
            for (int c = 0; c < coils; ++c) {
                const std::size_t place = 2 * ((static_cast<std::size_t>(set) * coils + c) * pixels + pixel);
                x[c] = Complex(maps[place], maps[place + 1]);
                size += std::norm(x[c]);
            }
            for (int i = 0; i < coils; ++i) {
                Complex applied = -value * x[i];
                for (int j = 0; j < coils; ++j) applied += g[i * coils + j] * x[j];
                error += std::norm(applied);
            }
            require(std::abs(size - 1) < 1e-4, name + ": a map that is not of norm one");
            // Deflation leaves the roundings of the first set, which turn the vector of a much smaller eigenvalue.
            const double turned = set == 0 ? 0 : 2e-6 * trace / std::max(value, 1e-6 * trace);
            require(std::sqrt(error) < (1e-4 + turned) * trace, name + ": no eigenvector");
            require(set > 0 || value >= trace / coils * 0.9999, name + ": not the largest eigenvalue");
        }
    }
}

}  // namespace driver
