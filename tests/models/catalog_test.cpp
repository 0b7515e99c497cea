#include "models/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "models/resnet.h"
#include "tests/support/compare.h"

namespace residua::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

std::string refusal(const std::function<void()>& f) {
  try {
    f();
    return "";
  } catch (const UsageError& error) {
    return error.what();
  }
}

TEST(CatalogTest, HoldsEveryNetworkOfThePaper) {
  std::set<std::string> names;
  for (const CatalogEntry& entry : model_catalog()) {
    if (entry.family == "resnet") {
      names.insert(entry.model.name);
      EXPECT_FALSE(entry.model.description.empty());
    }
  }
  EXPECT_THAT(names, UnorderedElementsAre("plain18", "plain34", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
                                          "plain20", "plain32", "plain44", "plain56", "plain110", "resnet20", "resnet32",
                                          "resnet44", "resnet56", "resnet110", "resnet1202"));
}

TEST(CatalogTest, SaysWhatAModelWasDesignedFor) {
  EXPECT_EQ(catalog_entry("resnet34").model.image_size, 224);
  EXPECT_EQ(catalog_entry("resnet34").model.classes, 1000);
  EXPECT_EQ(catalog_entry("plain20").model.image_size, 32);
  EXPECT_EQ(catalog_entry("plain20").model.classes, 10);
  EXPECT_EQ(catalog_entry("resnet50").model.description,
            "residual network of 50 layers for ImageNet images, bottleneck blocks");
  EXPECT_EQ(catalog_entry("plain20").model.description, "plain network of 20 layers for CIFAR images");
}

TEST(CatalogTest, UnknownNamesGetTheNearestOnes) {
  EXPECT_THAT(refusal([] { catalog_entry("resnet-50"); }),
              AllOf(HasSubstr("model: got 'resnet-50'"), HasSubstr("did you mean resnet50")));
  EXPECT_THAT(refusal([] { catalog_entry(""); }), HasSubstr("model: got ''"));
  EXPECT_THAT(refusal([] { catalog_entry("transformer"); }), HasSubstr("model: got 'transformer'"));
}

/// A choice made as a command line makes it.
struct Choice {
  explicit Choice(const std::vector<Assignment>& lines) {
    declare(settings, options);
    for (const Assignment& line : lines) {
      settings.assign(line.key, line.words, Layer::command_line);
    }
  }
  ModelOptions options;
  Settings settings;
};

std::string describe(const std::vector<Assignment>& lines) {
  const Choice choice(lines);
  return choice.options.family()->describe(choice.options.name);
}

TEST(ModelOptionsTest, AreSettings) {
  EXPECT_EQ(describe({{"model", {"resnet34"}}}), "resnet34, shortcut B, end, stride, conv3x3");
  EXPECT_EQ(describe({{"m", {"resnet110"}}}), "resnet110, shortcut A, end, stride, conv3x3");
  EXPECT_EQ(describe({{"model", {"plain34"}}}), "plain34, shortcut none, end, stride, conv3x3");
  EXPECT_EQ(describe({{"model", {"resnet50"}},
                      {"shortcut", {"C"}},
                      {"shortcut-pad", {"both"}},
                      {"shortcut-pool", {"average"}},
                      {"bottleneck-stride", {"conv1x1"}}}),
            "resnet50, shortcut C, both, average, conv1x1");
}

TEST(ModelOptionsTest, ShortcutsFitTheKindOfNetwork) {
  EXPECT_THAT(refusal([] {
                describe({{"model", {"plain34"}}, {"shortcut", {"A"}}});
              }),
              AllOf(HasSubstr("shortcut: got 'A'"), HasSubstr("plain network")));
  EXPECT_THAT(refusal([] { describe({{"model", {"resnet34"}}, {"shortcut", {"none"}}}); }), HasSubstr("plain34"));
  EXPECT_THAT(refusal([] { describe({{"model", {"resnet34"}}, {"shortcut", {"D"}}}); }), HasSubstr("wanted A, B, C"));
  EXPECT_THAT(refusal([] { describe({{"model", {"resnet35"}}}); }), HasSubstr("did you mean resnet34"));
}

TEST(ModelOptionsTest, OnlyWhatWasGivenIsGiven) {
  const Choice choice({{"model", {"resnet34"}}, {"shortcut-pad", {"end"}}});
  const std::vector<Assignment> given = choice.options.given(choice.settings);
  ASSERT_EQ(given.size(), 1U);
  EXPECT_EQ(given[0].key, "shortcut-pad") << "given, although it has the default's value";
  EXPECT_EQ(given[0].words, Words{"end"});
}

TEST(ModelOptionsTest, AFamilyIsACopy) {
  Choice choice({{"model", {"resnet34"}}, {"shortcut", {"A"}}});
  const std::unique_ptr<ModelFamily> family = choice.options.family();
  choice.settings.assign("shortcut", {"C"}, Layer::command_line);
  EXPECT_THAT(family->describe("resnet34"), HasSubstr("shortcut A"));
}

}  // namespace
}  // namespace residua::test
