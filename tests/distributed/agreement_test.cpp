#include "core/distributed/agreement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/distributed/share.h"

namespace residua::test {
namespace {

/// Rank 0 of ranks whose other values are given.
class Answering final : public Communicator {
 public:
  explicit Answering(std::vector<Fields> others)
      : Communicator(0, static_cast<int64_t>(others.size()) + 1), others_(std::move(others)) {}
  std::vector<std::string> gather(const std::string& value) override {
    std::vector<std::string> values{value};
    for (const Fields& fields : others_) {
      values.push_back(nlohmann::json(fields).dump());
    }
    return values;
  }
  void sum(const Tensor&) override {}
  void broadcast(const Tensor&) override {}
  void gather_rows(const Tensor&) override {}
  void finish() override {}
  [[noreturn]] void abort(int code) override { std::_Exit(code); }

 private:
  std::vector<Fields> others_;
};

std::string disagreement(const Fields& own, std::vector<Fields> others) {
  Answering ranks(std::move(others));
  try {
    check_agreement(ranks, "the settings", own);
  } catch (const Disagreement& error) {
    return error.what();
  }
  return "";
}

TEST(Agreement, NamesEachFieldThatDiffersAndItsRanks) {
  const Fields own = {{"lr", "0.1"}, {"batch-size", "128"}};
  EXPECT_EQ(disagreement(own, {own, own}), "");
  EXPECT_EQ(disagreement(own, {own, {{"lr", "0.2"}, {"batch-size", "128"}}, own}),
            "the ranks differ in the settings: lr: 0.1 (rank 0, 1, 3), 0.2 (rank 2); start all ranks with the same");
  EXPECT_EQ(disagreement(own, {{{"lr", "0.1"}}}),
            "the ranks differ in the settings: batch-size: 128 (rank 0), unset (rank 1); start all ranks with the same");
  EXPECT_THAT(disagreement(own, {{{"lr", "0.1"}, {"batch-size", "128"}, {"warmup", "5"}}}),
              testing::HasSubstr("warmup: unset (rank 0), 5 (rank 1)"));
}

TEST(Agreement, OneProcessAgreesWithItself) {
  OneProcess alone;
  EXPECT_NO_THROW(check_agreement(alone, "the settings", {{"lr", "0.1"}}));
}

TEST(Share, CoversEverythingOnceInOrder) {
  for (const int64_t count : {0, 1, 2, 7, 50, 51, 53, 1281167}) {
    for (const int64_t world : {1, 2, 3, 4, 7, 64}) {
      int64_t next = 0;
      for (int64_t rank = 0; rank < world; ++rank) {
        const Share share = share_of(count, rank, world);
        EXPECT_EQ(share.first, next);
        EXPECT_GE(share.count, count / world);
        EXPECT_LE(share.count, (count + world - 1) / world);
        next += share.count;
      }
      EXPECT_EQ(next, count);
    }
  }
}

}  // namespace
}  // namespace residua::test
