// What the views draw follows the paper's distributions. Each draw becomes numbers that are independent and uniform in [0, 1)
// if it does. A right program fails one comparison in a million.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "core/data/views/view.h"
#include "tests/support/random.h"

namespace residua::test {
namespace {

constexpr int64_t kDraws = 200'000;
constexpr double kNormalLimit = 4.8916;  // of a standard normal number's size, one in a million

/// One column a quantity, one row a draw.
struct Column {
  std::string name;
  std::vector<double> values = {};
};

/// The Kolmogorov-Smirnov distance from the uniform distribution that one sample in a million exceeds, at most (Massart 1990).
double distance_limit(size_t samples) { return std::sqrt(std::log(2e6) / 2 / static_cast<double>(samples)); }

/// The chi-squared that one sample in a million exceeds (Wilson and Hilferty 1931).
double chi_squared_limit(double degrees) {
  const double t = 2 / (9 * degrees);
  return degrees * std::pow(1 - t + 4.7534 * std::sqrt(t), 3);
}

void expect_even(const std::vector<int64_t>& counts, const std::string& what) {
  const double cells = static_cast<double>(counts.size());
  const double each = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0})) / cells;
  double chi_squared = 0;
  for (const int64_t count : counts) {
    chi_squared += (static_cast<double>(count) - each) * (static_cast<double>(count) - each) / each;
  }
  EXPECT_LT(chi_squared, chi_squared_limit(cells - 1)) << what;
}

size_t cell(double value, size_t cells) { return static_cast<size_t>(value * static_cast<double>(cells)); }

/// Expects even counts of pairs on a grid.
void expect_even_pairs(const std::vector<double>& a, const std::vector<double>& b, size_t step, const std::string& what) {
  constexpr size_t kCells = 10;
  std::vector<int64_t> counts(kCells * kCells);
  for (size_t i = 0; i < std::min(a.size(), b.size()); i += step) {
    ++counts[cell(a[i], kCells) * kCells + cell(b[i], kCells)];
  }
  expect_even(counts, what);
}

void expect_uniform(const Column& column) {
  std::vector<double> sorted = column.values;
  std::ranges::sort(sorted);
  const double samples = static_cast<double>(sorted.size());
  double distance = 0;
  for (size_t i = 0; i < sorted.size(); ++i) {
    const double below = static_cast<double>(i) / samples;
    distance = std::max({distance, sorted[i] - below, below + 1 / samples - sorted[i]});
  }
  EXPECT_LT(distance, distance_limit(sorted.size())) << column.name;
}

/// Expects that each column is uniform in [0, 1), and independent of the others and of the draw before.
void expect_independent_uniforms(const std::vector<Column>& columns) {
  for (const Column& column : columns) {
    ASSERT_FALSE(column.values.empty()) << column.name;
    ASSERT_TRUE(std::ranges::all_of(column.values, [](double value) { return value >= 0 && value < 1; })) << column.name;
  }
  for (size_t a = 0; a < columns.size(); ++a) {
    expect_uniform(columns[a]);
    const std::vector<double> later(columns[a].values.begin() + 1, columns[a].values.end());
    expect_even_pairs(columns[a].values, later, 2, columns[a].name + " of the next image");
    for (size_t b = 0; b < a; ++b) {
      expect_even_pairs(columns[a].values, columns[b].values, 1, columns[a].name + " and " + columns[b].name);
    }
  }
}

/// Makes a whole number in 0 .. count - 1 a uniform one in [0, 1), if it is drawn evenly.
class Spread {
 public:
  explicit Spread(const std::string& name) : random_(name) {}
  double operator()(int64_t value, int64_t count) {
    return (static_cast<double>(value) + random_.uniform(0, 1)) / static_cast<double>(count);
  }

 private:
  Random random_;
};

void for_draws(const std::string& policy, int64_t crop, ImageSize size, const std::function<void(const PlacedView&)>& use) {
  const auto view = make_view(policy, crop);
  for (uint64_t i = 0; i < kDraws && !::testing::Test::HasFatalFailure(); ++i) {
    residua::Random random(run_seed(), RandomPurpose::augmentation, 0, i);
    use(view->place(size, random, 0));
  }
}

/// The shapes that random-resized-crop draws from, for an image of width / height = `aspect`. A share of the area s and the
/// logarithm v of the rectangle's own aspect ratio are drawn until it fits: v >= log(s aspect) and v <= log(aspect / s).
class Shapes {
 public:
  explicit Shapes(double aspect) : aspect_(aspect) {
    for (size_t i = 0; i < kSteps; ++i) {
      below_.push_back(below_.back() + std::max(0.0, high(share(i)) - low(share(i))) / kSteps / (2 * kLogRatio));
    }
  }
  double low(double s) const { return std::max(-kLogRatio, std::log(s * aspect_)); }
  double high(double s) const { return std::min(kLogRatio, std::log(aspect_ / s)); }
  /// The probability that a rectangle fits.
  double fit() const { return below_.back(); }
  /// The probability that a rectangle that fits has a smaller share.
  double below(double s) const {
    const double at = (s - kMinShare) / (1 - kMinShare) * kSteps;
    const size_t step = std::min(static_cast<size_t>(std::max(at, 0.0)), kSteps - 1);
    return (below_[step] + (below_[step + 1] - below_[step]) * (at - static_cast<double>(step))) / fit();
  }

 private:
  static constexpr double kMinShare = 0.08;
  static constexpr double kLogRatio = 0.28768207245178085;  // log(4 / 3)
  static constexpr size_t kSteps = 100'000;
  static double share(size_t step) { return kMinShare + (1 - kMinShare) * (static_cast<double>(step) + 0.5) / kSteps; }

  double aspect_;
  std::vector<double> below_{0.0};
};

/// The rectangle after ten tries that did not fit: the largest in the center with an aspect ratio of 3/4 to 4/3.
Rect fallback_of(ImageSize size) {
  const int64_t height = std::min(size.height, std::lrint(static_cast<double>(size.width) * 4 / 3));
  const int64_t width = std::min(size.width, std::lrint(static_cast<double>(size.height) * 4 / 3));
  return {(size.height - height) / 2, (size.width - width) / 2, height, width};
}

double inside(double value) { return std::clamp(value, 0.0, 1 - 1e-9); }

// The images are so large that rounding to pixels does not show.
TEST(ViewDistributions, RandomResizedCropDrawsAreaRatioPositionAndFlip) {
  Spread spread("flips");
  for (const ImageSize size :
       {ImageSize{1'000'000'000, 1'200'000'000}, {1'000'000'000, 200'000'000}, {200'000'000, 1'000'000'000}}) {
    SCOPED_TRACE(size.width);
    const double height = static_cast<double>(size.height), width = static_cast<double>(size.width);
    const Shapes shapes(width / height);
    const Rect fallback = fallback_of(size);
    int64_t fallbacks = 0;
    std::vector<Column> columns{{"area"}, {"ratio"}, {"top"}, {"left"}, {"flip"}};
    for_draws("random-resized-crop", 224, size, [&](const PlacedView& p) {
      const Rect& r = p.resize.domain;
      if (r == fallback) {
        ++fallbacks;
        return;
      }
      const double s = static_cast<double>(r.height) / height * (static_cast<double>(r.width) / width);
      const double v = std::log(static_cast<double>(r.width) / static_cast<double>(r.height));
      const double u = (v - shapes.low(s)) / (shapes.high(s) - shapes.low(s));
      ASSERT_GE(s, 0.08 - 1e-6);
      ASSERT_NEAR(u, 0.5, 0.5 + 1e-3);
      columns[0].values.push_back(inside(shapes.below(s)));
      columns[1].values.push_back(inside(u));
      columns[2].values.push_back(spread(r.top, size.height - r.height + 1));
      columns[3].values.push_back(spread(r.left, size.width - r.width + 1));
      columns[4].values.push_back(spread(p.view.flip, 2));
    });
    expect_independent_uniforms(columns);
    const double share = std::pow(1 - shapes.fit(), 10);
    const double deviation = std::sqrt(kDraws * share * (1 - share));
    EXPECT_NEAR(static_cast<double>(fallbacks), kDraws * share, kNormalLimit * deviation + 1) << "ten tries";
  }
}

// Few positions, so that each counts.
TEST(ViewDistributions, RandomResizedCropReachesEveryPosition) {
  Spread spread("positions");
  for (const ImageSize size : {ImageSize{12, 14}, {375, 500}}) {
    SCOPED_TRACE(size.width);
    std::vector<Column> columns{{"top"}, {"left"}, {"flip"}};
    for_draws("random-resized-crop", 8, size, [&](const PlacedView& p) {
      const Rect& r = p.resize.domain;
      columns[0].values.push_back(spread(r.top, size.height - r.height + 1));
      columns[1].values.push_back(spread(r.left, size.width - r.width + 1));
      columns[2].values.push_back(spread(p.view.flip, 2));
    });
    expect_independent_uniforms(columns);
  }
}

/// The three standard normal numbers of a color shift: the solution z of shift = 255 sum over k of 0.1 eigenvalue_k z_k
/// eigenvector_k, as uniform numbers.
std::array<double, 3> color_draws(const float (&shift)[3]) {
  using Vector = std::array<double, 3>;
  constexpr Vector kEigenvalues{0.2175, 0.0188, 0.0045};
  constexpr std::array<Vector, 3> kEigenvectors{
      {{-0.5675, -0.5808, -0.5836}, {0.7192, -0.0045, -0.6948}, {0.4009, -0.8140, 0.4203}}};
  const auto cross = [](const Vector& a, const Vector& b) {
    return Vector{a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
  };
  const auto dot = [](const auto& a, const auto& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; };
  std::array<double, 3> uniform{};
  for (size_t k = 0; k < 3; ++k) {
    const Vector across = cross(kEigenvectors[(k + 1) % 3], kEigenvectors[(k + 2) % 3]);
    const double z = dot(across, shift) / dot(across, kEigenvectors[k]) / (255 * 0.1 * kEigenvalues[k]);
    uniform[k] = 0.5 * std::erfc(-z / std::sqrt(2.0));
  }
  return uniform;
}

TEST(ViewDistributions, ScaleCropDrawsSidePositionFlipAndColors) {
  Spread spread("scale-crop");
  struct Case {
    int64_t crop, shortest, longest;  // of the shorter side
    ImageSize size;
  };
  for (const Case& c : {Case{224, 256, 480, {375, 500}}, Case{28, 32, 60, {90, 70}}}) {
    SCOPED_TRACE(c.crop);
    std::vector<Column> columns{{"side"}, {"top"}, {"left"}, {"flip"}, {"first color"}, {"second color"}, {"third color"}};
    std::vector<int64_t> sides(static_cast<size_t>(c.longest - c.shortest + 1));
    for_draws("scale-crop", c.crop, c.size, [&](const PlacedView& p) {
      const auto [height, width] = p.resize.resized;
      const int64_t side = std::min(height, width);
      ASSERT_GE(side, c.shortest);
      ASSERT_LE(side, c.longest);
      ++sides[static_cast<size_t>(side - c.shortest)];
      columns[0].values.push_back(spread(side - c.shortest, c.longest - c.shortest + 1));
      columns[1].values.push_back(spread(p.resize.window.top, height - c.crop + 1));
      columns[2].values.push_back(spread(p.resize.window.left, width - c.crop + 1));
      columns[3].values.push_back(spread(p.view.flip, 2));
      const std::array<double, 3> colors = color_draws(p.view.color_shift);
      for (size_t k = 0; k < 3; ++k) {
        columns[4 + k].values.push_back(colors[k]);
      }
    });
    expect_even(sides, "shorter side");
    expect_independent_uniforms(columns);
  }
}

TEST(ViewDistributions, PadCropDrawsEachOfItsPositionsAndFlip) {
  std::vector<int64_t> counts(9 * 9 * 2);
  for_draws("pad-crop", 32, {32, 32}, [&](const PlacedView& p) {
    const int32_t top = p.view.top + 4, left = p.view.left + 4;
    ASSERT_TRUE(top >= 0 && top < 9 && left >= 0 && left < 9 && (p.view.flip == 0 || p.view.flip == 1));
    ++counts[(static_cast<size_t>(top) * 9 + static_cast<size_t>(left)) * 2 + static_cast<size_t>(p.view.flip)];
  });
  expect_even(counts, "position and flip");
}

TEST(ViewDistributions, FlipFlipsHalf) {
  std::vector<int64_t> counts(2);
  for_draws("flip", 32, {32, 32}, [&](const PlacedView& p) { ++counts.at(static_cast<size_t>(p.view.flip)); });
  expect_even(counts, "flip");
}

}  // namespace
}  // namespace residua::test
