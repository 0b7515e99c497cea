#include "core/config/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/config/toml_file.h"

namespace residua::test {

enum class Color : uint8_t { red, dark_blue };

}  // namespace residua::test

namespace residua {
template <>
inline constexpr auto kEnumText<test::Color> = enum_text<test::Color>({{test::Color::red, "red"},
                                                                       {test::Color::dark_blue, "dark-blue"}});
}  // namespace residua

namespace residua::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;

/// One setting of each type.
struct Everything {
  Everything() {
    settings.group("First");
    settings.flag("flag", flag, "A flag.");
    settings.number("whole", whole, between(-2, 10), "A whole number.").alias("w");
    settings.group("Second");
    settings.number("real", real, {.low = 0, .high = 1, .above_low = true}, "A number.");
    settings.number("length", length, at_least(0), "A number that may be unset.");
    settings.numbers("list", list, above(0), "Numbers.");
    settings.text("text", text, "A text.");
    settings.text("other-text", other_text, "A text that may be unset.");
    settings.choice("color", color, "An enum.");
    settings.choice("other-color", other_color, "An enum that may be unset.");
    settings.choice("name", name, {"ann", "bob"}, "A name.");
    settings.choice("other-name", other_name, {"ann", "bob"}, "A name that may be unset.");
    settings.flag("act", act, "An action.").action();
  }

  std::string error(std::string_view setting, const Words& words) {
    try {
      settings.assign(setting, words, Layer::command_line);
      return "";
    } catch (const UsageError& e) {
      return e.what();
    }
  }

  bool flag = false;
  int64_t whole = 3;
  float real = 0.1f;
  std::optional<double> length;
  std::vector<double> list;
  std::string text;
  std::optional<std::string> other_text;
  Color color = Color::red;
  std::optional<Color> other_color;
  std::string name = "ann";
  std::string other_name;
  bool act = false;
  Settings settings;
};

TEST(Settings, EachTypeTakesItsWords) {
  Everything e;
  Settings& s = e.settings;
  s.assign("flag", {"true"}, Layer::file);
  s.assign("whole", {"-2"}, Layer::file);
  s.assign("real", {"1e-3"}, Layer::file);
  s.assign("length", {"7"}, Layer::file);
  s.assign("list", {"1", "2.5"}, Layer::file);
  s.assign("text", {"a b"}, Layer::file);
  s.assign("other-text", {"c"}, Layer::file);
  s.assign("color", {"dark-blue"}, Layer::file);
  s.assign("other-color", {"red"}, Layer::file);
  s.assign("name", {"bob"}, Layer::file);
  s.assign("other-name", {"ann"}, Layer::file);
  EXPECT_TRUE(e.flag);
  EXPECT_EQ(e.whole, -2);
  EXPECT_EQ(e.real, 1e-3f);
  EXPECT_EQ(e.length, 7);
  EXPECT_THAT(e.list, ElementsAre(1, 2.5));
  EXPECT_EQ(e.text, "a b");
  EXPECT_EQ(e.other_text, "c");
  EXPECT_EQ(e.color, Color::dark_blue);
  EXPECT_EQ(e.other_color, Color::red);
  EXPECT_EQ(e.name, "bob");
  EXPECT_EQ(e.other_name, "ann");
  for (const char* word : {"off", "false", "no", "0"}) {
    s.assign("flag", {word}, Layer::file);
    EXPECT_FALSE(e.flag) << word;
    s.assign("flag", {"yes"}, Layer::file);
    EXPECT_TRUE(e.flag);
  }
}

TEST(Settings, WrongWordsAreNamedWithWhatIsWanted) {
  Everything e;
  EXPECT_EQ(e.error("whole", {"11"}), "whole: got '11', wanted a whole number from -2 to 10");
  EXPECT_EQ(e.error("real", {"0"}), "real: got '0', wanted a number above 0, at most 1");
  EXPECT_EQ(e.error("color", {"blue"}), "color: got 'blue', wanted red or dark-blue");
  EXPECT_EQ(e.error("name", {"bobb"}), "name: got 'bobb', wanted ann or bob; did you mean bob?");
  for (const char* word : {"", "x", "1x", "nan", "inf", "-inf", "1.5", "1e400", "--1", "+-1", "9223372036854775808", " 1"}) {
    EXPECT_THAT(e.error("whole", {word}), HasSubstr("whole: got")) << word;
  }
  for (const char* word : {"", "x", "0.5x", "nan", "inf", "1.0001", "-0.5", "1e-400"}) {
    EXPECT_THAT(e.error("real", {word}), HasSubstr("real: got")) << word;
  }
  EXPECT_THAT(e.error("list", {"1", "0"}), HasSubstr("list: got '0'"));
  EXPECT_THAT(e.error("whole", {"1", "2"}), HasSubstr("got '1,2'"));
  EXPECT_THAT(e.error("flag", {"maybe"}), HasSubstr("true or false"));
  EXPECT_NE(e.error("whole", {}), "") << "it cannot be unset";
  EXPECT_NE(e.error("name", {}), "");
  EXPECT_EQ(e.whole, 3) << "a wrong word changes nothing";
  EXPECT_THAT(e.list, ElementsAre());
  EXPECT_EQ(e.settings.layer("whole"), Layer::defaults);
}

TEST(Settings, NumbersAreAsAPersonWritesThem) {
  Everything e;
  e.settings.assign("whole", {"+05"}, Layer::file);
  EXPECT_EQ(e.whole, 5);
  e.settings.assign("real", {".5"}, Layer::file);
  EXPECT_EQ(e.real, 0.5f);
}

TEST(Settings, ALaterLayerWinsInAnyOrder) {
  Everything e;
  Settings& s = e.settings;
  s.assign("whole", {"9"}, Layer::command_line);
  s.assign("whole", {"7"}, Layer::file);
  s.assign("whole", {"5"}, Layer::recipe);
  EXPECT_EQ(e.whole, 9);
  EXPECT_EQ(s.layer("whole"), Layer::command_line);
  EXPECT_TRUE(s.given("whole", Layer::file));
  EXPECT_TRUE(s.given("w", Layer::recipe));
  EXPECT_FALSE(s.given("real", Layer::recipe));
  s.assign("w", {"8"}, Layer::command_line);
  EXPECT_EQ(e.whole, 8) << "of one layer the last word counts";
  s.reset("whole");
  EXPECT_EQ(e.whole, 3);
  EXPECT_EQ(s.layer("whole"), Layer::defaults);
  s.assign("whole", {"5"}, Layer::recipe);
  EXPECT_EQ(e.whole, 5);
}

TEST(Settings, ResetGivesEachDefaultBack) {
  Everything changed;
  for (const auto& [name, words] : std::vector<std::pair<const char*, Words>>{{"flag", {"true"}},
                                                                              {"length", {"7"}},
                                                                              {"list", {"1"}},
                                                                              {"text", {"a"}},
                                                                              {"other-text", {"a"}},
                                                                              {"color", {"dark-blue"}},
                                                                              {"other-color", {"red"}},
                                                                              {"name", {"bob"}},
                                                                              {"other-name", {"bob"}}}) {
    changed.settings.assign(name, words, Layer::file);
    EXPECT_EQ(changed.settings.find(name)->get(), words);
    changed.settings.reset(name);
    EXPECT_EQ(changed.settings.find(name)->get(), Everything().settings.find(name)->get()) << name;
  }
}

TEST(Settings, TheFileHasAllThatIsSetAndReadsBack) {
  Everything e;
  EXPECT_EQ(e.settings.toml(),
            "flag = false\nwhole = 3\nreal = 0.1\n"
            "color = \"red\"\nname = \"ann\"\n")
      << "what is unset is left out";
  const std::string nasty = "C:\\x \"q\" 'a' #\n\t\x01 \xc3\xbc = [1]";
  e.settings.assign("text", {nasty}, Layer::file);
  e.settings.assign("other-text", {"0.5"}, Layer::file);
  e.settings.assign("list", {"1", "1e-05", "1000000.5"}, Layer::file);
  e.settings.assign("length", {"0.30000000000000004"}, Layer::file);
  e.settings.assign("flag", {"true"}, Layer::file);
  e.settings.assign("other-color", {"dark-blue"}, Layer::file);
  Everything back;
  back.settings.assign(parse_toml(e.settings.toml(), "file"), Layer::file, "file");
  EXPECT_EQ(back.text, nasty);
  EXPECT_EQ(back.other_text, "0.5");
  EXPECT_EQ(back.list, e.list);
  EXPECT_EQ(back.length, e.length);
  EXPECT_EQ(back.real, e.real);
  EXPECT_TRUE(back.flag);
  EXPECT_EQ(back.other_color, Color::dark_blue);
  EXPECT_EQ(back.settings.toml(), e.settings.toml());
}

TEST(Settings, AFileCannotAskForAnActionOrAnUnknownSetting) {
  Everything e;
  const auto error = [&](const char* key) {
    try {
      e.settings.assign({{key, {"true"}}}, Layer::file, "c.toml");
      return std::string();
    } catch (const UsageError& problem) {
      return std::string(problem.what());
    }
  };
  EXPECT_EQ(error("act"), "c.toml: act is an action: give it on the command line, not in a file");
  EXPECT_EQ(error("whol"), "c.toml: there is no setting 'whol'; did you mean whole?");
  EXPECT_EQ(error("whole"), "c.toml: whole: got 'true', wanted a whole number from -2 to 10");
  EXPECT_FALSE(e.act);
}

TEST(Settings, DeviationsFromARecipeAreTold) {
  Everything e;
  const std::vector<Assignment> recipe = {{"whole", {"3"}}, {"real", {"0.5"}}, {"list", {"1", "2"}}, {"text", {}}};
  e.settings.assign("text", {"x"}, Layer::file);
  EXPECT_THAT(e.settings.deviations(recipe),
              ElementsAre("real: 0.1, the recipe has 0.5", "list: unset, the recipe has 1,2", "text: x, the recipe has none"));
}

TEST(Settings, ARunsOwnChoicesAreNoDeviations) {
  double smoothing = 0, rate = 0.1;
  int64_t seed = 0, workers = 2;
  std::optional<double> final_rate;
  Settings s;
  s.number("smoothing", smoothing, between(0, 1), "");
  s.number("rate", rate, between(0, 1), "").chosen_by_run();
  s.number("seed", seed, between(0, 9), "").chosen_by_run();
  s.number("workers", workers, between(0, 9), "").without_result();
  s.number("final", final_rate, between(0, 1), "");
  const std::vector<Assignment> recipe = {{"rate", {"0.2"}}};
  s.assign(recipe, Layer::recipe, "recipe");
  EXPECT_THAT(s.deviations(recipe), ElementsAre());
  for (const auto& [name, word] :
       {std::pair("smoothing", "0.5"), {"rate", "0.3"}, {"seed", "3"}, {"workers", "0"}, {"final", "0"}}) {
    s.assign(name, {word}, Layer::file);
  }
  EXPECT_THAT(s.deviations(recipe), ElementsAre("smoothing: 0.5, the default is 0", "final: 0, not the default"));
  s.assign("smoothing", {"0"}, Layer::command_line);
  EXPECT_THAT(s.deviations(recipe), ElementsAre("final: 0, not the default"));
}

// As the size of a run's input: the run saves the size that it found, so a resumed run finds it in a file.
TEST(Settings, ADefaultCanDependOnTheData) {
  std::optional<int64_t> size;
  Settings s;
  s.number("size", size, between(1, 99), "");
  s.set_default("size", {"32"});
  EXPECT_THAT(size, Optional(32));
  EXPECT_EQ(s.layer("size"), Layer::defaults);
  EXPECT_THAT(s.deviations({}), ElementsAre());
  s.assign("size", {"32"}, Layer::file);
  EXPECT_THAT(s.deviations({}), ElementsAre());
  s.assign("size", {"48"}, Layer::file);
  EXPECT_THAT(s.deviations({}), ElementsAre("size: 48, the default is 32"));
  s.set_default("size", {"24"});
  EXPECT_THAT(size, Optional(48)) << "a given value stays";
  s.reset("size");
  EXPECT_THAT(size, Optional(24));
  s.assign("size", {}, Layer::command_line);
  s.set_default("size", {"25"});
  EXPECT_THAT(size, Optional(25)) << "a layer gave no value";
  EXPECT_THROW(s.set_default("sizes", {"1"}), UsageError);
}

TEST(Settings, ANameIsDeclaredOnce) {
  Everything e;
  bool other = false;
  EXPECT_THROW(e.settings.flag("whole", other, ""), Error);
  EXPECT_THROW(e.settings.flag("w", other, ""), Error);
}

TEST(Settings, ACheckHoldsTheWholeValue) {
  std::vector<double> pair;
  Settings s;
  s.numbers("pair", pair, at_least(0), "").checked_by([&] {
    if (pair.size() == 1) {
      fail_setting("pair", "one", "two");
    }
  });
  EXPECT_THROW(s.assign("pair", {"1"}, Layer::file), UsageError);
  EXPECT_NO_THROW(s.assign("pair", {"1", "2"}, Layer::file));
}

TEST(Settings, GroupsAreKept) {
  const Everything e;
  EXPECT_EQ(e.settings.find("w")->group, "First");
  EXPECT_EQ(e.settings.find("real")->group, "Second");
  EXPECT_EQ(e.settings.find("nothing"), nullptr);
}

TEST(Settings, ManyNamesAreNotListed) {
  std::string value;
  Settings s;
  s.choice("name", value, {"a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "resnet20"}, "");
  EXPECT_TRUE(s.find("name")->choices.empty());
  try {
    s.assign("name", {"resnet2O"}, Layer::file);
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(), "name: got 'resnet2O', wanted a known name; did you mean resnet20?");
  }
}

TEST(Settings, TheNearestNameIsNear) {
  const std::vector<std::string> names = {"lr", "lr-steps", "weight-decay"};
  EXPECT_EQ(nearest_name("lr-step", names), "lr-steps");
  EXPECT_EQ(nearest_name("weigth-decay", names), "weight-decay");
  EXPECT_EQ(nearest_name("banana", names), "");
}

TEST(TomlFile, LinesAreReadInTheirOrder) {
  const std::vector<Assignment> lines = parse_toml(
      "\xef\xbb\xbf# a comment\nz = 1\na = 'x\\y' # another\nlist = [1, 2.5,\n  \"c\"]\nyes = true\nempty = []\nbig = "
      "1_000\nexp = 5e-4\n",
      "f");
  std::vector<std::string> keys;
  for (const Assignment& line : lines) {
    keys.push_back(line.key);
  }
  EXPECT_THAT(keys, ElementsAre("z", "a", "list", "yes", "empty", "big", "exp"));
  EXPECT_THAT(lines[1].words, ElementsAre("x\\y"));
  EXPECT_THAT(lines[2].words, ElementsAre("1", "2.5", "c"));
  EXPECT_THAT(lines[3].words, ElementsAre("true"));
  EXPECT_THAT(lines[4].words, ElementsAre());
  EXPECT_THAT(lines[5].words, ElementsAre("1000"));
  EXPECT_THAT(lines[6].words, ElementsAre("0.0005"));
}

TEST(TomlFile, ErrorsNameTheLine) {
  const auto error = [](const char* text) {
    try {
      parse_toml(text, "c.toml");
      return std::string();
    } catch (const UsageError& problem) {
      return std::string(problem.what());
    }
  };
  EXPECT_THAT(error("a = 1\nb = \n"), HasSubstr("c.toml, line 2"));
  EXPECT_THAT(error("a = 1\na = 2\n"), HasSubstr("c.toml, line 2"));
  EXPECT_THAT(error("[table]\nb = 1\n"), HasSubstr("c.toml, line 1: table must be a string"));
  EXPECT_THAT(error("a = [[1]]\n"), HasSubstr("c.toml, line 1: a must be a string"));
  EXPECT_THAT(error("a = 1979-05-27\n"), HasSubstr("a must be a string"));
}

}  // namespace
}  // namespace residua::test
