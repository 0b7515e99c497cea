#include "models/recipes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Recipes, AreTheFilesOfTheFolder) {
  EXPECT_THAT(recipe_names(), ElementsAre("cifar-he2015", "goyal2017", "he2015", "photos", "small-images", "torchvision-v1"));
  for (const Recipe& recipe : recipes()) {
    EXPECT_EQ(recipe.toml, read_bytes(RESIDUA_SOURCE_DIR "/models/recipes/" + std::string(recipe.name) + ".toml"));
    EXPECT_FALSE(recipe.description().empty()) << recipe.name;
    EXPECT_FALSE(recipe.settings().empty()) << recipe.name;
  }
}

TEST(Recipes, AreFoundByName) {
  EXPECT_EQ(find_recipe("photos").name, "photos");
  EXPECT_EQ(find_recipe("photos").description(), "Photos of many sizes: the ImageNet recipe of He et al. 2015, section 3.4.");
  EXPECT_EQ(default_recipe(true), "photos");
  EXPECT_EQ(default_recipe(false), "small-images");
  try {
    find_recipe("photo");
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(
        error.what(),
        HasSubstr("recipe: got 'photo', wanted cifar-he2015, goyal2017, he2015, photos, small-images or torchvision-v1"));
  }
}

}  // namespace
}  // namespace residua::test
