// The training step of several ranks as a graph: all capture it or none does, and a rank that dies meanwhile is what the error
// says.
#include <gtest/gtest.h>

#include "core/device/device_api.h"
#include "tests/train/small_step.h"

namespace residua::test {
namespace {

/// Rank 0 of two, whose sums change nothing.
class FirstOfTwo final : public Communicator {
 public:
  FirstOfTwo() : Communicator(0, 2) {}
  std::vector<std::string> gather(const std::string& value) override { return {value, value}; }
  void sum(const Tensor&) override {
    captured += device_api::capturing() ? 1 : 0;
    if (dies && device_api::capturing()) {
      throw RankFailure("rank 1 of 2 has died");
    }
  }
  void broadcast(const Tensor&) override {}
  void gather_rows(const Tensor&) override {}
  void finish() override {}
  [[noreturn]] void abort(int code) override { std::_Exit(code); }

  int64_t captured = 0;  // sums
  bool dies = false;
};

/// Four steps of this rank's `images` of `whole`, in passes of two images.
void train(FirstOfTwo& ranks, int64_t images, int64_t whole) {
  SmallTraining t({Device::Type::cuda, 0}, DType::f32, Capture::on);
  TrainStep step(t.model, t.store, t.scaler, t.sgd, {.input = t.input, .most_images = 2, .ranks = &ranks});
  for (uint64_t i = 0; i < 4; ++i) {
    Batch batch = random_batch(i, images);
    batch.whole = whole;
    step.train(batch);
  }
}

// Of 9 images, rank 1 has 5: its last pass has one, so it cannot replay its step.
TEST(CapturedRanks, CaptureAStepOnlyIfTheOthersDo) {
  FirstOfTwo even, odd;
  train(even, 4, 8);
  EXPECT_GT(even.captured, 0);
  train(odd, 4, 9);
  EXPECT_EQ(odd.captured, 0);
}

TEST(CapturedRanks, ARankThatDiesDuringCaptureIsTheError) {
  FirstOfTwo ranks;
  ranks.dies = true;
  try {
    train(ranks, 4, 8);
    ADD_FAILURE() << "it captured nothing";
  } catch (const RankFailure& failure) {
    EXPECT_STREQ(failure.what(), "rank 1 of 2 has died");
  }
}

}  // namespace
}  // namespace residua::test
