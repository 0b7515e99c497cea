#include "core/optim/loss_scaler.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/tensor/error.h"

namespace residua {
namespace {

TEST(LossScalerTest, GrowsAfterAnIntervalAndShrinksOnOverflow) {
  LossScaler scaler({.initial = 1024, .growth_interval = 3});
  scaler.update(false);
  scaler.update(false);
  EXPECT_EQ(scaler.scale(), 1024);
  scaler.update(false);
  EXPECT_EQ(scaler.scale(), 2048);
  scaler.update(false);
  scaler.update(false);
  scaler.update(true);
  EXPECT_EQ(scaler.scale(), 1024);
  EXPECT_EQ(scaler.good_steps(), 0);
  scaler.update(false);
  scaler.update(false);
  EXPECT_EQ(scaler.scale(), 1024);
}

TEST(LossScalerTest, GoesOnFromACheckpoint) {
  LossScaler scaler({.growth_interval = 3});
  scaler.restore(64, 2);
  scaler.update(false);
  EXPECT_EQ(scaler.scale(), 128);
  EXPECT_THROW(scaler.restore(0, 0), Error);
  EXPECT_THROW(scaler.restore(std::numeric_limits<float>::quiet_NaN(), 0), Error);
  EXPECT_THROW(scaler.restore(1, -1), Error);
}

TEST(LossScalerTest, GivesUpWhenNoScaleHelps) {
  LossScaler scaler;
  EXPECT_THROW(
      {
        for (int i = 0; i < 100; ++i) {
          scaler.update(true);
        }
      },
      Error);
}

TEST(LossScalerTest, NeverOverflowsItself) {
  LossScaler scaler({.growth_interval = 1});
  for (int i = 0; i < 300; ++i) {
    scaler.update(false);
  }
  EXPECT_LE(scaler.scale(), 0x1p24f);
}

TEST(LossScalerTest, BadOptionsAreRefused) {
  EXPECT_THROW(LossScaler({.initial = 0}), UsageError);
  EXPECT_THROW(LossScaler({.growth = 0.5f}), UsageError);
  EXPECT_THROW(LossScaler({.backoff = 1}), UsageError);
  EXPECT_THROW(LossScaler({.growth_interval = 0}), UsageError);
}

}  // namespace
}  // namespace residua
