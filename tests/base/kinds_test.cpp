#include "core/base/kinds.h"

#include <gtest/gtest.h>

#include <utility>

#include "core/config/settings.h"

namespace residua::test {
namespace {

class ShapeKind {
 public:
  virtual ~ShapeKind() = default;
  virtual void declare(Settings& /*settings*/) {}
  virtual double area() const = 0;
};

class Square final : public ShapeKind {
 public:
  void declare(Settings& s) override { s.number("side", side_, at_least(0), "Side of the square."); }
  double area() const override { return side_ * side_; }

 private:
  double side_ = 1;
};

class Point final : public ShapeKind {
 public:
  double area() const override { return 0; }
};

const Registration<ShapeKind> kSquare = registered<ShapeKind, Square>("square", "it has a side");
const Registration<ShapeKind> kPoint = registered<ShapeKind, Point>("point", "it has none");

TEST(Kinds, HaveOptionsOfTheirOwn) {
  Kinds<ShapeKind> shapes;
  Settings settings;
  shapes.declare(settings);
  settings.assign("side", {"3"}, Layer::file);
  const Kinds<ShapeKind> moved = std::move(shapes);
  EXPECT_EQ(moved.at("shape", "square").area(), 9);
  EXPECT_EQ(moved.at("shape", "point").area(), 0);
  EXPECT_EQ(Kinds<ShapeKind>().at("shape", "square").area(), 1) << "each set of kinds has its own";
  EXPECT_EQ(help_of_kinds<ShapeKind>(), "point: it has none; square: it has a side.");
  try {
    static_cast<void>(moved.at("shape", "sqare"));
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(), "shape: got 'sqare', wanted one of point, square");
  }
}

}  // namespace
}  // namespace residua::test
