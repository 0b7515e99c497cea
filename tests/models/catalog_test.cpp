#include "models/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace residua::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

TEST(CatalogTest, HoldsEveryNetworkOfThePaper) {
  std::set<std::string> names;
  for (const CatalogEntry& entry : model_catalog()) {
    names.insert(entry.spec.name);
    EXPECT_FALSE(entry.description.empty());
  }
  EXPECT_THAT(names, UnorderedElementsAre("plain18", "plain34", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
                                          "plain20", "plain32", "plain44", "plain56", "plain110", "resnet20", "resnet32",
                                          "resnet44", "resnet56", "resnet110", "resnet1202"));
}

TEST(CatalogTest, DefaultShortcutsAreTorchvisionsAndThePapers) {
  EXPECT_EQ(model_spec("resnet34").shortcut, Shortcut::b);
  EXPECT_EQ(model_spec("resnet110").shortcut, Shortcut::a);
  EXPECT_EQ(model_spec("plain34").shortcut, Shortcut::none);
  EXPECT_EQ(model_spec("resnet34").classes, 1000);
  EXPECT_EQ(model_spec("resnet20").classes, 10);
}

TEST(CatalogTest, UnknownNamesGetTheNearestOnes) {
  try {
    model_spec("resnet-50");
    FAIL() << "resnet-50 was found";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("unknown model 'resnet-50'"), HasSubstr("did you mean resnet50")));
  }
  EXPECT_THROW(model_spec(""), UsageError);
}

TEST(CatalogTest, ShortcutsFitTheKindOfNetwork) {
  ResNetSpec spec = model_spec("resnet34");
  set_shortcut(spec, Shortcut::c);
  EXPECT_EQ(spec.shortcut, Shortcut::c);
  EXPECT_THROW(set_shortcut(spec, Shortcut::none), UsageError);
  ResNetSpec plain = model_spec("plain34");
  EXPECT_THROW(set_shortcut(plain, Shortcut::a), UsageError);
}

}  // namespace
}  // namespace residua::test
