#include "reference.h"

#include <algorithm>
#include <cmath>

namespace reference {
namespace {

constexpr double kPi = 3.14159265358979323846;

// exp(-2 pi i (k - c) (n - c) / N) / sqrt(N), c = N / 2, conjugated for the inverse.
class Dft {
  public:
    Dft(int n, bool inverse) : n_(n), roots_(n) {
        for (int i = 0; i < n; ++i) roots_[i] = std::polar(1 / std::sqrt(n), (inverse ? 2 : -2) * kPi * i / n);
    }
    // Of the n values at `line`, `step` apart, in place.
    void operator()(Complex* line, std::size_t step) const {
        const long long c = n_ / 2;
        Values result(n_);
        for (int k = 0; k < n_; ++k) {
            for (int x = 0; x < n_; ++x) {
                const long long turn = ((k - c) * (x - c) % n_ + n_) % n_;
                result[k] += roots_[static_cast<std::size_t>(turn)] * line[x * step];
            }
        }
        for (int k = 0; k < n_; ++k) line[k * step] = result[k];
    }

  private:
    int n_;
    Values roots_;
};

void transform_lines(const Sense& s, Values& kspace, bool inverse) {
    const Dft along_width(s.width, inverse), along_height(s.both ? s.height : 1, inverse);
    for (int c = 0; c < s.coils; ++c) {
        for (int h = 0; h < s.height; ++h) along_width(&kspace[s.at(c, h, 0)], 1);
        for (int w = 0; s.both && w < s.width; ++w) along_height(&kspace[s.at(c, 0, w)], s.width);
    }
}

double dot(const Complex* a, const Complex* b, int count) {
    double sum = 0;
    for (int i = 0; i < count; ++i) sum += a[i].real() * b[i].real() + a[i].imag() * b[i].imag();
    return sum;
}

}  // namespace

Values transform(const Sense& s, const Values& image) {
    Values kspace(s.maps.size());
    const std::size_t pixels = image.size();
    for (std::size_t i = 0; i < kspace.size(); ++i) kspace[i] = s.maps[i] * image[i % pixels];
    transform_lines(s, kspace, false);
    return kspace;
}

Values adjoint(const Sense& s, const Values& kspace) {
    Values coil_images = kspace;
    transform_lines(s, coil_images, true);
    Values image(static_cast<std::size_t>(s.height) * s.width);
    for (std::size_t i = 0; i < coil_images.size(); ++i) {
        image[i % image.size()] += std::conj(s.maps[i]) * coil_images[i];
    }
    return image;
}

Values weighted(const Sense& s, Values kspace) {
    for (int c = 0; c < s.coils; ++c) {
        for (int h = 0; h < s.height; ++h) {
            for (int k = 0; k < s.width; ++k) kspace[s.at(c, h, k)] *= s.weight(h, k);
        }
    }
    return kspace;
}

Solved solve(const Sense& s, const Values& rhs, const Values& start, double mu, int iterations, double tolerance) {
    const auto normal = [&](const Values& x) {
        Values result = adjoint(s, weighted(s, transform(s, x)));
        for (std::size_t i = 0; i < x.size(); ++i) result[i] += mu * x[i];
        return result;
    };
    const int width = s.width;
    Values solution = start, residual = normal(start);
    for (std::size_t i = 0; i < rhs.size(); ++i) residual[i] = rhs[i] - residual[i];
    Values direction = residual;
    std::vector<double> energy(s.height), target(s.height);
    std::vector<bool> done(s.height, false);
    for (int h = 0; h < s.height; ++h) {
        const Complex* row = &residual[static_cast<std::size_t>(h) * width];
        const Complex* right = &rhs[static_cast<std::size_t>(h) * width];
        energy[h] = dot(row, row, width);
        target[h] = tolerance * tolerance * dot(right, right, width);
    }
    for (int iteration = 0; iteration < iterations; ++iteration) {
        const Values applied = normal(direction);
        for (int h = 0; h < s.height; ++h) {
            const std::size_t first = static_cast<std::size_t>(h) * width;
            const double curvature = dot(&direction[first], &applied[first], width);
            done[h] = done[h] || energy[h] <= target[h] || curvature <= 0;
            if (done[h]) continue;
            const double step = energy[h] / curvature;
            for (std::size_t i = first; i < first + width; ++i) {
                solution[i] += step * direction[i];
                residual[i] -= step * applied[i];
            }
            const double renewed = dot(&residual[first], &residual[first], width);
            for (std::size_t i = first; i < first + width; ++i) {
                direction[i] = residual[i] + renewed / energy[h] * direction[i];
            }
            energy[h] = renewed;
        }
    }
    double total = 0;
    for (const double one : energy) total += one;
    return {solution, total};
}

Values shrink(const Values& image, int rows, int columns, int levels, int above, int left, double weight) {
    const int block = 1 << levels;
    const int height = (rows + above + block - 1) / block * block, width = (columns + left + block - 1) / block * block;
    Values plane(static_cast<std::size_t>(height) * width);
    const auto at = [&](int y, int x) -> Complex& { return plane[static_cast<std::size_t>(y) * width + x]; };
    for (int y = 0; y < rows; ++y) {
        for (int x = 0; x < columns; ++x) at(y + above, x + left) = image[static_cast<std::size_t>(y) * columns + x];
    }
    const auto kept = [weight](Complex detail) {
        const double size = std::abs(detail);
        return size > weight ? detail * (1 - weight / size) : Complex{};
    };
    // Coefficients stay where the first pixel of their four was: the coarse one there, its details beside and below.
    for (int apart = 1; apart < block; apart *= 2) {
        for (int y = 0; y < height; y += 2 * apart) {
            for (int x = 0; x < width; x += 2 * apart) {
                Complex &a = at(y, x), &b = at(y, x + apart), &c = at(y + apart, x), &d = at(y + apart, x + apart);
                const Complex mean = (a + b + c + d) / 2.0, vertical = (a + b - c - d) / 2.0;
                const Complex horizontal = (a - b + c - d) / 2.0, diagonal = (a - b - c + d) / 2.0;
                a = mean;
                b = kept(horizontal);
                c = kept(vertical);
                d = kept(diagonal);
            }
        }
    }
    for (int apart = block / 2; apart >= 1; apart /= 2) {
        for (int y = 0; y < height; y += 2 * apart) {
            for (int x = 0; x < width; x += 2 * apart) {
                Complex &a = at(y, x), &b = at(y, x + apart), &c = at(y + apart, x), &d = at(y + apart, x + apart);
                const Complex mean = a, horizontal = b, vertical = c, diagonal = d;
                a = (mean + horizontal + vertical + diagonal) / 2.0;
                b = (mean - horizontal + vertical - diagonal) / 2.0;
                c = (mean + horizontal - vertical - diagonal) / 2.0;
                d = (mean - horizontal - vertical + diagonal) / 2.0;
            }
        }
    }
    Values result(image.size());
    for (int y = 0; y < rows; ++y) {
        for (int x = 0; x < columns; ++x) {
            result[static_cast<std::size_t>(y) * columns + x] = at(y + above, x + left);
        }
    }
    return result;
}

}  // namespace reference
