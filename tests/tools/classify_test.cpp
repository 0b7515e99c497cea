#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "core/nn/state_dict.h"
#include "models/resnet.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Classify : public ::testing::Test {
 protected:
  /// An untrained network of two classes, whose bias prefers the second one by 3 to 1, and a gray picture.
  void SetUp() override {
    ResNetConfig spec = named_resnet("resnet20");
    spec.classes = 2;
    ResNet model(spec);
    ParameterStore store(model);
    store.parameter("fc.bias").master.copy_from(std::vector<float>{0.0f, std::log(3.0f)});
    save_weights(folder_ / "w.safetensors", snapshot(store),
                 {{"model", "resnet20"}, {"shortcut", "A"}, {"input_size", "16"}, {"classes", R"(["cat","dog"])"}});
    write_bytes(folder_ / "gray.pgm", "P5\n2 2\n255\n\x7f\x7f\x7f\x7f");
    write_bytes(folder_ / "bad.jpg", "not a picture");
  }

  /// Runs classify in the folder; returns its exit code.
  int classify(const std::string& arguments) {
    const std::string command = "cd " + folder_.path() + " && " RESIDUA_BINARY_DIR "/classify " + arguments + " > out 2> err";
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string out() { return read_bytes(folder_ / "out"); }
  /// What went to stderr, which must be one line.
  std::string error() {
    const std::string text = read_bytes(folder_ / "err");
    EXPECT_EQ(std::ranges::count(text, '\n'), 1) << text;
    return text;
  }

  TemporaryFolder folder_;
};

TEST_F(Classify, NeedsOnlyTheWeights) {
  ASSERT_EQ(classify("gray.pgm --weights w.safetensors"), 0) << error();
  EXPECT_EQ(out(), "gray.pgm\n   75.00 %  dog\n   25.00 %  cat\n");
  write_bytes(folder_ / "names", "Katze\nHund\n");
  ASSERT_EQ(classify("gray.pgm --weights w.safetensors --model resnet20 --classes names --topk 1"), 0) << error();
  EXPECT_EQ(out(), "gray.pgm\n   75.00 %  Hund\n");
}

TEST_F(Classify, ABadImageIsOneLineAndTheOthersAreClassified) {
  EXPECT_EQ(classify("bad.jpg gray.pgm --weights w.safetensors -k 1"), 2);
  EXPECT_THAT(error(), HasSubstr("bad.jpg"));
  EXPECT_THAT(out(), HasSubstr("dog"));
  EXPECT_EQ(classify("missing.jpg --weights w.safetensors"), 2);
  EXPECT_THAT(error(), HasSubstr("missing.jpg"));
}

TEST_F(Classify, AWrongCallIsOneLine) {
  EXPECT_EQ(classify("gray.pgm --weights bad.jpg"), 2);
  EXPECT_THAT(error(), AllOf(HasSubstr("bad.jpg"), HasSubstr("safetensors")));
  EXPECT_EQ(classify("gray.pgm --weights missing"), 2);
  EXPECT_THAT(error(), HasSubstr("missing"));
  EXPECT_EQ(classify("gray.pgm --weights w.safetensors --model resnet32"), 2);
  EXPECT_THAT(error(), HasSubstr("it lacks"));
  EXPECT_EQ(classify("gray.pgm --weights w.safetensors --model alexnet"), 2);
  EXPECT_THAT(error(), HasSubstr("alexnet"));
  for (const char* arguments :
       {"gray.pgm", "--weights w.safetensors", "gray.pgm --weights w.safetensors -k 0",
        "gray.pgm --weights w.safetensors --foo", "gray.pgm --weights w.safetensors --mean 1,2",
        "gray.pgm --weights w.safetensors --std 0,1,1", "gray.pgm --weights w.safetensors --mean nan,0,0",
        "gray.pgm --weights w.safetensors --crop-size -1", "gray.pgm --weights w.safetensors --classes missing",
        "gray.pgm --weights w.safetensors --device tpu"}) {
    EXPECT_EQ(classify(arguments), 2) << arguments;
    EXPECT_THAT(error(), HasSubstr("classify: ")) << arguments;
    EXPECT_THAT(out(), IsEmpty()) << arguments;
  }
}

}  // namespace
}  // namespace residua::test
