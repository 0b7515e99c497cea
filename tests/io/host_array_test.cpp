#include "core/io/host_array.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/compare.h"

namespace residua::test {
namespace {

using ::testing::ElementsAre;

TEST(HostArray, HoldsValuesUnderANameTypeAndShape) {
  const std::vector<int64_t> values = {1, 2, 3, 4, 5, 6};
  HostArray array = host_array<int64_t>("counts", {2, 3}, values);
  EXPECT_EQ(array.name, "counts");
  EXPECT_EQ(array.dtype, DType::i64);
  EXPECT_THAT(array.shape, ElementsAre(2, 3));
  EXPECT_EQ(array.size(), 6);
  array.span<int64_t>()[1] = 7;
  EXPECT_THAT(std::as_const(array).span<int64_t>(), ElementsAre(1, 7, 3, 4, 5, 6));
  EXPECT_TRUE(fails_with([&] { static_cast<void>(array.span<float>()); }, {"counts", "i64 was read as f32"}));
  EXPECT_TRUE(fails_with([&] { static_cast<void>(array.to_floats()); }, {"counts", "i64"}));
  EXPECT_TRUE(fails_with([&] { host_array<int64_t>("counts", {2, 2}, values); }, {"6 values", "[2, 2]"}));
}

TEST(HostArray, ConvertsFloatingTypes) {
  EXPECT_THAT(host_array<float>("x", {2}, std::vector<float>{0.1f, -2}).to_floats(), ElementsAre(0.1f, -2));
  EXPECT_THAT(host_array<f16>("x", {2}, std::vector<f16>{{0x3c00}, {0xc100}}).to_floats(), ElementsAre(1, -2.5f));
  EXPECT_THAT(host_array<bf16>("x", {2}, std::vector<bf16>{{0x3f80}, {0xc020}}).to_floats(), ElementsAre(1, -2.5f));
}

TEST(HostArray, AViewHasANameOfItsOwn) {
  const std::vector<HostArray> arrays = {host_array<float>("a", {}, std::vector<float>{4})};
  const HostArrayView other = view(arrays[0], "b");
  EXPECT_EQ(other.name, "b");
  EXPECT_EQ(other.bytes.data(), arrays[0].bytes.data());
  EXPECT_EQ(views(arrays).at(0).name, "a");
  EXPECT_EQ(other.bytes.size(), 4U);
}

}  // namespace
}  // namespace residua::test
