// Matrix products where the vendor's library fails, by a stand-in for it.
#include "cuda/libraries/matmul_candidates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

using namespace cuda;

constexpr Device kDevice{Device::Type::cuda, 0};

/// A stand-in for the library, whose algorithms may fail.
class Algorithms final : public MatmulAlgorithms {
 public:
  enum class Fails : uint8_t { not_at_all, when_checked, when_run };
  Algorithms(size_t count, Fails fails) : count_(count), fails_(fails) {}

  size_t count() const override { return count_; }
  std::string name(size_t i) const override { return "algorithm " + std::to_string(i); }
  void check_usable(size_t) const override { fail_if(Fails::when_checked); }
  void run(size_t, const Matmul& args, Stream& stream) const override {
    fail_if(Fails::when_run);
    cuda::run(args, stream);
  }

 private:
  void fail_if(Fails at) const {
    if (fails_ == at) {
      throw Error("not supported");
    }
  }
  size_t count_;
  Fails fails_;
};

using Make = std::function<std::shared_ptr<const MatmulAlgorithms>()>;

struct Product {
  explicit Product(bool biased) : random(biased ? "with bias" : "without bias") {
    const HostArray a_host = draw(m * k), b_host = draw(n * k), bias_host = draw(n);
    a = to_tensor(a_host, {m, k}, DType::f16, kDevice);
    b = to_tensor(b_host, {n, k}, DType::f16, kDevice);
    bias = to_tensor(bias_host, {n}, DType::f32, kDevice);
    c = to_tensor(HostArray(m * n, std::numeric_limits<double>::quiet_NaN()), {m, n}, DType::f32, kDevice);
    for (size_t i = 0; i < m; ++i) {
      for (size_t j = 0; j < n; ++j) {
        want.push_back(biased ? bias_host[j] : 0);
        for (size_t l = 0; l < k; ++l) {
          want.back() += a_host[i * k + l] * b_host[j * k + l];
        }
      }
    }
    args = {DType::f16,    DType::f32,     m,        n,        k,
            Transpose::no, Transpose::yes, a.data(), b.data(), biased ? bias.data<float>() : nullptr,
            c.data()};
  }

  /// The name of what was chosen; what it computed is in c.
  std::string run_by(const Make& make) {
    const Clock clock = [&](const std::function<void()>& work) {
      work();
      return 1.0;
    };
    Stream& stream = current_stream(kDevice);
    const MatmulKey key = key_of(args);
    const ChosenPlan<Matmul> chosen = autotune<Matmul>(key.string(), matmul_candidates(key, make), args, stream, cache, clock);
    chosen.plan(args, stream);
    return chosen.choice.name;
  }

  static constexpr size_t m = 5, n = 10, k = 64;
  Random random;
  Tensor a, b, bias, c;
  HostArray want;
  Matmul args;
  PlanCache cache{"", "device"};

 private:
  HostArray draw(size_t count) {
    HostArray values;
    for (size_t i = 0; i < count; ++i) {
      values.push_back(rounded(random.uniform(-1, 1), DType::f16));
    }
    return values;
  }
};

const Make kHeuristicFails = []() -> std::shared_ptr<const MatmulAlgorithms> { throw Error("the heuristic failed"); };
Make algorithms(size_t count, Algorithms::Fails fails) {
  return [=] { return std::make_shared<const Algorithms>(count, fails); };
}
const Make kFindsNothing = algorithms(0, Algorithms::Fails::not_at_all);

TEST(MatmulCandidates, WithABiasAreComposedWhereTheLibraryFails) {
  for (const Make& make : {kHeuristicFails, kFindsNothing, algorithms(2, Algorithms::Fails::when_checked),
                           algorithms(2, Algorithms::Fails::when_run)}) {
    Product product(true);
    EXPECT_EQ(product.run_by(make), "composed");
    EXPECT_TRUE(close(product.c, product.want, 1e-5));
  }
}

TEST(MatmulCandidates, AreTheLibrarysWhereItHasThem) {
  for (const bool biased : {false, true}) {
    Product product(biased);
    EXPECT_EQ(product.run_by(algorithms(2, Algorithms::Fails::not_at_all)), "algorithm 0") << "the first of equals";
    EXPECT_TRUE(close(product.c, product.want, 1e-5));
  }
}

TEST(MatmulCandidates, WithoutABiasFailWithTheLibrarysReason) {
  Product product(false);
  EXPECT_TRUE(fails_with([&] { product.run_by(kHeuristicFails); }, {"no usable plan", "the heuristic failed"}));
  EXPECT_TRUE(fails_with([&] { product.run_by(kFindsNothing); },
                         {"no usable plan", "cuBLASLt has no algorithm for matmul f16 to f32 5x10x64 nt"}));
}

TEST(MatmulCandidates, DoNotHideADeviceFault) {
  Product product(true);
  EXPECT_THROW(product.run_by([]() -> std::shared_ptr<const MatmulAlgorithms> { throw DeviceFault("illegal address"); }),
               DeviceFault);
}

}  // namespace
}  // namespace residua::test
