#include "core/tensor/tensor.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/device/device_api.h"
#include "core/kernels/add.h"
#include "core/kernels/run.h"
#include "tests/support/compare.h"

namespace residua::test {
namespace {

using Floats = std::vector<float>;

TEST(Tensor, HoldsEveryType) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::u8, DType::i32, DType::i64}) {
    const Tensor t = from_values({2, 2}, Floats{0, 1, 100, 7}, dtype);
    EXPECT_EQ(t.to_vector(), (Floats{0, 1, 100, 7})) << name(dtype);
    EXPECT_EQ(t.bytes(), 4 * size_bytes(dtype));
    EXPECT_EQ(t.slice(2, {1}).item(), 100.0);
    EXPECT_EQ(zeros({3}, dtype).to_vector(), (Floats{0, 0, 0}));
    EXPECT_EQ(full({3}, 5.0f, dtype).to_vector(), (Floats{5, 5, 5}));
  }
}

TEST(Tensor, IsAlignedAndMayBeEmpty) {
  for (const int64_t size : {1, 3, 65, 1000001}) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(empty({size}, DType::u8).data()) % 64, 0u);
  }
  const Tensor none = empty({0, 3}, DType::f32);
  EXPECT_EQ(none.size(), 0);
  EXPECT_TRUE(none.to_vector().empty());
  EXPECT_TRUE(fails_with([&] { none.item(); }, {"[0, 3]"}));
}

TEST(Tensor, HandlesShareMemoryAndClonesDoNot) {
  const Tensor a = from_values({3}, Floats{1, 2, 3});
  const Tensor handle = a;  // NOLINT(performance-unnecessary-copy-initialization): the copy is what is tested
  const Tensor copy = a.clone();
  a.data<float>()[1] = 20;
  EXPECT_EQ(handle.to_vector(), (Floats{1, 20, 3}));
  EXPECT_EQ(copy.to_vector(), (Floats{1, 2, 3}));
  copy.copy_from(a);
  EXPECT_EQ(copy.to_vector(), (Floats{1, 20, 3}));
}

TEST(Tensor, ViewsShareMemoryAndKeepItAlive) {
  Tensor a = from_values({2, 3}, Floats{0, 1, 2, 3, 4, 5});
  const Tensor row = a.slice(3, {3});
  const Tensor column = a.slice(0, {6, 1});
  EXPECT_EQ(row.to_vector(), (Floats{3, 4, 5}));
  EXPECT_EQ(column.shape(), (Shape{6, 1}));
  row.data<float>()[0] = 30;
  EXPECT_EQ(a.to_vector()[3], 30.0f);
  a = {};
  EXPECT_EQ(row.to_vector(), (Floats{30, 4, 5}));
  EXPECT_EQ(column.slice(2, {}).item(), 2.0);
  EXPECT_EQ(row.slice(3, {0}).size(), 0);
}

TEST(Tensor, RefusesViewsThatDoNotFit) {
  const Tensor a = zeros({2, 3}, DType::f32);
  EXPECT_TRUE(fails_with([&] { a.slice(4, {3}); }, {"element 4", "[3]", "[2, 3]"}));
  EXPECT_TRUE(fails_with([&] { a.slice(-1, {1}); }, {"element -1"}));
  EXPECT_TRUE(fails_with([&] { a.slice(int64_t{1} << 62, {1}); }, {"[2, 3]"}));
}

TEST(Tensor, RefusesTheWrongType) {
  const Tensor a = zeros({2}, DType::bf16);
  EXPECT_TRUE(fails_with([&] { a.data<float>(); }, {"bf16", "f32"}));
  EXPECT_TRUE(fails_with([&] { a.span<f16>(); }, {"bf16", "f16"}));
  EXPECT_TRUE(fails_with([&] { a.copy_from(zeros({2}, DType::f32)); }, {"f32", "bf16"}));
  EXPECT_TRUE(fails_with([&] { a.copy_from(zeros({3}, DType::bf16)); }, {"[3]", "[2]"}));
  EXPECT_TRUE(fails_with([&] { a.copy_from(Floats{1}); }, {"1 values", "[2]"}));
  EXPECT_TRUE(fails_with([] { Tensor().shape(); }, {"undefined"}));
}

TEST(Tensor, RefusesMoreBytesThanThereCanBe) {
  EXPECT_TRUE(fails_with([] { empty({int64_t{1} << 31, int64_t{1} << 31}, DType::f32); }, {}));
#ifndef __SANITIZE_ADDRESS__  // whose own allocator ends the program
  EXPECT_TRUE(fails_with([] { empty({int64_t{1} << 55}, DType::u8); }, {"out of memory", "MiB wanted"}));
#endif
}

TEST(Tensor, ConvertsSpecialValues) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    const Floats got = from_values({4}, Floats{NAN, INFINITY, -INFINITY, 0x1p-24f}, dtype).to_vector();
    EXPECT_TRUE(std::isnan(got[0]));
    EXPECT_EQ((Floats(got.begin() + 1, got.end())), (Floats{INFINITY, -INFINITY, 0x1p-24f})) << name(dtype);
  }
}

TEST(Tensor, ReturnsItsMemory) {
  const int64_t before = device_api::memory_use({}).live_bytes;
  {
    const Tensor a = empty({1000}, DType::f32);
    const Tensor view = a.slice(10, {5});
    EXPECT_GE(device_api::memory_use({}).live_bytes, before + 4000);
  }
  EXPECT_EQ(device_api::memory_use({}).live_bytes, before);
}

TEST(Tensor, TakesTheMemoryThatWasFreedLast) {
  // A size that no other test has.
  const auto sample = [] { return empty({1234567}, DType::f32); };
  Tensor a = sample(), b = sample(), c = sample();
  const void* freed[] = {b.data(), c.data(), a.data()};
  b = {}, c = {}, a = {};
  EXPECT_EQ((a = sample()).data(), freed[2]);
  EXPECT_EQ((c = sample()).data(), freed[1]);
  EXPECT_EQ((b = sample()).data(), freed[0]);
}

/// Wrong on purpose, whatever watches.
__attribute__((noinline, no_sanitize("address"))) void write_past_the_end(const Tensor& a) {
  static_cast<float*>(a.data())[a.size()] = 0.0f;
}

TEST(Tensor, FindsWritesPastTheEndOfPoisonedMemory) {
  device_api::set_fresh_memory({}, device_api::FreshMemory::poisoned);
  const int64_t before = device_api::memory_use({}).overruns;
  {
    const Tensor a = empty({3}, DType::f32);
    EXPECT_TRUE(std::isnan(a.data<float>()[2]));
    a.copy_from(Floats{1, 2, 3});
  }
  EXPECT_EQ(device_api::memory_use({}).overruns, before);
  {
    const Tensor a = empty({3}, DType::f32);
    write_past_the_end(a);
  }
  EXPECT_EQ(device_api::memory_use({}).overruns, before + 1);
  device_api::set_fresh_memory({}, device_api::FreshMemory::as_found);
}

TEST(Device, IsParsed) {
  EXPECT_EQ(parse_device("cpu"), (Device{Device::Type::cpu, 0}));
  EXPECT_EQ(parse_device("cpu").string(), "cpu");
  EXPECT_EQ((Device{Device::Type::cuda, 1}).string(), "cuda:1");
  for (const char* bad : {"", "gpu", "cpu:1", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "CPU", "cuda:99999999999999999999"}) {
    EXPECT_THROW(parse_device(bad), UsageError) << bad;
  }
}

TEST(Device, ABuildWithoutCudaSaysSo) {
  if (kBuiltWithCuda) {
    GTEST_SKIP() << "this build has CUDA";
  }
  EXPECT_EQ(parse_device("auto"), Device{});
  EXPECT_TRUE(fails_with([] { parse_device("cuda"); }, {"CUDA"}));
  EXPECT_TRUE(fails_with(
      [] {
        run(Device{Device::Type::cuda, 0}, Add{.dtype = DType::f32, .size = 0, .a = nullptr, .b = nullptr, .y = nullptr});
      },
      {"cuda:0", "RESIDUA_CUDA=ON"}));
}

}  // namespace
}  // namespace residua::test
