#include "core/data/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "core/distributed/agreement.h"
#include "tests/data/fake_source.h"
#include "tests/data/image_fixtures.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thread_ranks.h"

namespace residua::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const VerifyProgress kToTheEnd = [](int64_t) { return true; };

class Verify : public ::testing::Test {
 protected:
  Verify() {
    for (const char* split : {"train", "val"}) {
      for (const char* name : {"cat", "dog"}) {
        fs::create_directories(folder_ / (std::string(split) + "/" + name));
        put(std::string(split) + "/" + name + "/good.jpg", photo());
      }
    }
  }

  /// A JPEG like no other.
  std::string photo() { return encode_jpeg(photo_image(40, 50, ++seed_)); }
  void put(const std::string& name, const std::string& bytes) { write_bytes(folder_ / name, bytes); }
  Verification check(int64_t workers = 2, Communicator* ranks = nullptr) {
    return verify(open_source("auto", folder_.path(), Split::train), open_source("auto", folder_.path(), Split::val),
                  {.workers = workers}, kToTheEnd, {}, ranks);
  }
  void put_each_fault() {
    const std::string twice = photo();
    put("train/cat/first.jpg", twice);
    put("train/cat/second.jpg", twice);
    put("train/dog/other-label.jpg", twice);
    put("val/cat/again.jpg", twice);
    put("val/dog/wrong.jpg", twice);
    put("train/cat/cut.jpg", photo().substr(0, 700));
    put("train/cat/text.jpg", "no image");
    put("train/dog/print.jpg", encode_cmyk_jpeg(std::vector<uint8_t>(40 * 40 * 4, 99), 40, 40, true));
    put("train/dog/really.JPEG", encode_png(photo_image(40, 40, 7)));
    put("train/dog/small.png", encode_png(photo_image(31, 90, 8)));
    put("train/dog/readme.txt", "text");
  }
  /// "kind subject" of each finding; subjects are relative to the folder.
  std::vector<std::string> findings(int64_t workers = 2) {
    std::vector<std::string> texts;
    for (const Finding& finding : check(workers).findings) {
      const std::string subject =
          finding.subject.starts_with(folder_.path()) ? finding.subject.substr(folder_.path().size() + 1) : finding.subject;
      texts.push_back(std::string(to_text(finding.kind)) + " " + subject);
    }
    return texts;
  }

  TemporaryFolder folder_;
  uint64_t seed_ = 100;
};

TEST_F(Verify, FindsNothingInAGoodSet) {
  const Verification result = check();
  EXPECT_TRUE(result.complete);
  EXPECT_FALSE(result.harmful());
  EXPECT_TRUE(result.sorted_classes());
  EXPECT_EQ(result.findings.size(), 0U);
  ASSERT_EQ(result.splits.size(), 2U);
  EXPECT_THAT(result.splits[0].images_of_class, ElementsAre(1, 1));
  EXPECT_EQ(to_json(result)["good"], true);
}

TEST_F(Verify, NamesEachFault) {
  put_each_fault();
  for (const int64_t workers : {0, 3}) {
    EXPECT_THAT(findings(workers),
                ElementsAre("unreadable train/cat/cut.jpg", "unreadable train/cat/text.jpg",
                            "label-conflict train/dog/other-label.jpg", "label-conflict val/dog/wrong.jpg",
                            "overlap val/cat/again.jpg", "overlap val/dog/wrong.jpg", "duplicate train/cat/second.jpg",
                            "cmyk train/dog/print.jpg", "misnamed train/dog/really.JPEG", "tiny train/dog/small.png"));
  }
  const Verification result = check();
  EXPECT_TRUE(result.harmful());
  EXPECT_THAT(result.findings[2].detail, HasSubstr("first.jpg, which is of class cat, not dog"));
  EXPECT_THAT(result.splits[0].images_of_class, ElementsAre(5, 5));
  EXPECT_THAT(result.splits[0].notes, ElementsAre(HasSubstr("1 file is skipped: 1 *.txt")));
  const nlohmann::json json = to_json(result);
  EXPECT_EQ(json["good"], false);
  EXPECT_EQ(json["counts"]["overlap"], 2);
  EXPECT_EQ(json["counts"]["empty-class"], 0);
  EXPECT_EQ(json["findings"].size(), 10U);
  EXPECT_EQ(json["findings"][9]["harmful"], false);
  EXPECT_EQ(json["splits"]["val"]["images"], 4);
}

// 15 images: equal ones are of several ranks, and some of 20 ranks have none.
TEST_F(Verify, SeveralRanksReportAsOneProcess) {
  put_each_fault();
  put("train/cat/not \xff text.jpg", "no image");
  const Verification alone = check();
  EXPECT_EQ(alone.findings.size(), 11U);
  for (const int64_t world : {2, 3, 20}) {
    run_ranks(world, [&](Communicator& ranks) {
      const Verification together = check(0, &ranks);
      EXPECT_EQ(to_json(together).dump(1, ' ', false, nlohmann::json::error_handler_t::replace),
                to_json(alone).dump(1, ' ', false, nlohmann::json::error_handler_t::replace));
      EXPECT_EQ(together.findings[1].subject, alone.findings[1].subject) << "every byte of a name";
    });
  }
}

TEST_F(Verify, ASubjectIsNotNamedTwice) {
  put("train/cat/text.jpg", "no image");
  const Verification result = check();
  ASSERT_EQ(result.findings.size(), 1U);
  EXPECT_EQ(result.findings[0].detail, "not an image in a known format; wanted JPEG, PNG, BMP or PNM");
}

TEST_F(Verify, ASplitThatCannotBeOpenedHarmsAndLeavesTheOther) {
  const Finding missing = unopened_finding(Split::val, Error("no such folder"));
  const Verification result =
      verify(open_source("auto", folder_.path(), Split::train), nullptr, {.workers = 1}, kToTheEnd, {missing});
  ASSERT_EQ(result.findings.size(), 1U);
  EXPECT_EQ(result.findings[0].kind, FindingKind::unopened);
  EXPECT_EQ(result.findings[0].subject, "val");
  EXPECT_TRUE(result.complete);
  EXPECT_TRUE(result.harmful());
  EXPECT_EQ(result.splits.size(), 1U);
  const Verification neither = verify(nullptr, nullptr, {}, kToTheEnd, {missing});
  EXPECT_TRUE(neither.complete);
  EXPECT_EQ(to_json(neither)["good"], false);
  EXPECT_THROW(verify(nullptr, nullptr, {}, kToTheEnd), UsageError);
}

TEST_F(Verify, DuplicatesAloneDoNoHarm) {
  const std::string twice = photo();
  put("train/cat/first.jpg", twice);
  put("train/cat/second.jpg", twice);
  EXPECT_THAT(findings(), ElementsAre("duplicate train/cat/second.jpg"));
  EXPECT_FALSE(check().harmful());
}

/// Two classes, of which no image is of the second, in another order than by name.
class OneSided final : public ImageSource {
 public:
  explicit OneSided(std::vector<std::string> names) : names_(std::move(names)) {}
  int64_t size() const override { return 3; }
  const std::vector<std::string>& class_names() const override { return names_; }
  int32_t label(int64_t /*i*/) const override { return 0; }
  std::string name(int64_t i) const override { return "image " + std::to_string(i); }
  std::optional<ImageSize> fixed_size() const override { return ImageSize{40, 40}; }
  void read(int64_t i, EncodedImage& out) const override {
    out.storage.assign(40 * 40 * 3, static_cast<uint8_t>(i));
    out.set_rgb(out.storage, {40, 40});
  }

 private:
  std::vector<std::string> names_;
};

TEST(VerifyClasses, MustHaveImagesAndAgree) {
  const auto train = std::make_shared<const OneSided>(std::vector<std::string>{"dog", "cat"});
  const auto val = std::make_shared<const OneSided>(std::vector<std::string>{"dog", "owl"});
  const Verification result = verify(train, val, {.workers = 0}, kToTheEnd);
  ASSERT_EQ(result.findings.size(), 5U) << to_json(result).dump(1);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(result.findings[i].kind, FindingKind::overlap);
  }
  EXPECT_EQ(result.findings[3].kind, FindingKind::empty_class);
  EXPECT_EQ(result.findings[3].subject, "cat");
  EXPECT_EQ(result.findings[4].kind, FindingKind::class_names);
  EXPECT_THAT(result.findings[4].detail, HasSubstr("class 1 was \"cat\" and is \"owl\""));
  EXPECT_FALSE(result.sorted_classes());
  EXPECT_TRUE(verify(nullptr, val, {.workers = 1}, kToTheEnd).findings.empty()) << "validation images alone";
}

TEST(VerifyClasses, AStopIsTold) {
  const auto train = std::make_shared<const test::FakeSource>(FakeSource::Options{.images = 200, .size = {40, 40}});
  const Verification result = verify(train, nullptr, {.workers = 0}, [](int64_t done) { return done < 64; });
  EXPECT_FALSE(result.complete);
  EXPECT_EQ(train->reads(), 64);
  EXPECT_EQ(to_json(result)["good"], false);
}

TEST(VerifyClasses, RanksShareTheImagesAndStopTogether) {
  for (const int64_t last : {int64_t{1} << 40, int64_t{1024}}) {
    const auto train = std::make_shared<const FakeSource>(FakeSource::Options{.images = 3000, .size = {40, 40}});
    run_ranks(2, [&](Communicator& ranks) {
      std::vector<int64_t> done;
      const VerifyProgress progress = [&](int64_t now) {
        done.push_back(now);
        return now < last;
      };
      const Verification result = verify(train, nullptr, {.workers = 0}, progress, {}, &ranks);
      EXPECT_EQ(result.complete, last > 3000);
      EXPECT_THAT(std::vector(done.begin(), done.begin() + 3), ElementsAre(0, 512, 1024));
      EXPECT_EQ(done.back(), std::min(last, train->size()));
    });
    EXPECT_EQ(train->reads(), std::min(last, train->size())) << "each image once";
  }
}

TEST(VerifyClasses, RanksWithOtherImagesAreToldSo) {
  const auto images = [](int64_t count) {
    return std::make_shared<const FakeSource>(FakeSource::Options{.images = count, .size = {40, 40}});
  };
  const auto error = [](const std::function<void(Communicator&)>& check) {
    try {
      run_ranks(2, check);
      return std::string();
    } catch (const Disagreement& differ) {
      return std::string(differ.what());
    }
  };
  EXPECT_THAT(
      error([&](Communicator& ranks) { verify(images(10 + ranks.rank()), nullptr, {.workers = 0}, kToTheEnd, {}, &ranks); }),
      HasSubstr("the ranks differ in the data set: training images: "));
  EXPECT_THAT(error([&](Communicator& ranks) {
                const Finding missing = unopened_finding(Split::val, Error("gone"));
                verify(images(10), nullptr, {.workers = 0}, kToTheEnd,
                       ranks.leads() ? std::vector<Finding>{} : std::vector{missing}, &ranks);
              }),
              HasSubstr("val: unset (rank 0), cannot be opened (rank 1)"));
}

}  // namespace
}  // namespace residua::test
