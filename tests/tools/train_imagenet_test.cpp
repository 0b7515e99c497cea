#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "core/io/safetensors.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class TrainImagenet : public ::testing::Test {
 protected:
  /// Runs train-imagenet in the folder; returns its exit code. `variables` are of its environment, as "A=1 B=2 ".
  int train(const std::string& arguments, const std::string& variables = "") {
    const std::string command =
        "cd " + folder_.path() + " && " + variables + RESIDUA_BINARY_DIR "/train-imagenet " + arguments + " > out 2> err";
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  /// What went to stderr, which must be one line.
  std::string error() {
    const std::string text = read_bytes(folder_ / "err");
    EXPECT_EQ(std::ranges::count(text, '\n'), 1) << text;
    return text;
  }
  /// How many numbers a network subtracts from its input: those of a mean image, or one for each channel.
  size_t mean_numbers(const std::string& weights) {
    const Safetensors file = load_safetensors(folder_ / weights);
    const HostArray* image = file.find("input.mean");
    return image != nullptr ? static_cast<size_t>(image->size()) : nlohmann::json::parse(file.metadata.at("mean")).size();
  }

  TemporaryFolder folder_;
};

const std::string kData = "--dataset synthetic --synthetic-images 32 --crop-size 16 -b 16 --iterations 2 ";
const std::string kSmall = kData + "--output run ";

TEST_F(TrainImagenet, SubtractsTheMeanImageWhereImagesHaveOneSize) {
  ASSERT_EQ(train(kSmall), 0) << read_bytes(folder_ / "err");
  EXPECT_EQ(mean_numbers("run/last.safetensors"), 16U * 16 * 3);
  std::filesystem::remove_all(folder_ / "run");
  ASSERT_EQ(train(kSmall + "--mean channel"), 0) << read_bytes(folder_ / "err");
  EXPECT_EQ(mean_numbers("run/last.safetensors"), 3U);
  std::filesystem::remove_all(folder_ / "run");
  ASSERT_EQ(train(kSmall + "--mean 0.5,0.25,1"), 0) << read_bytes(folder_ / "err");
  EXPECT_EQ(load_safetensors(folder_ / "run/last.safetensors").metadata.at("mean"), "[127.5,63.75,255.0]");
  // The file of settings makes the same run.
  const std::string weights = read_bytes(folder_ / "run/last.safetensors");
  ASSERT_EQ(train("--config run/config.toml --output again"), 0) << read_bytes(folder_ / "err");
  EXPECT_TRUE(read_bytes(folder_ / "again/last.safetensors") == weights);
}

TEST_F(TrainImagenet, DoesNotOverwriteARun) {
  ASSERT_EQ(train(kSmall), 0) << read_bytes(folder_ / "err");
  const std::string log = read_bytes(folder_ / "run/log.jsonl");
  const std::string weights = read_bytes(folder_ / "run/best.safetensors");
  ASSERT_EQ(train(kSmall + "--lr 0.01"), 2);
  EXPECT_THAT(error(), AllOf(HasSubstr("already holds a run"), HasSubstr("--resume auto --output 'run'")));
  EXPECT_EQ(read_bytes(folder_ / "run/log.jsonl"), log);
  EXPECT_TRUE(read_bytes(folder_ / "run/best.safetensors") == weights);
  ASSERT_EQ(train(kSmall + "--resume auto"), 0) << read_bytes(folder_ / "err");
  EXPECT_THAT(read_bytes(folder_ / "out"), HasSubstr("resumed at iteration 2 of 2: nothing left to do"));
}

TEST_F(TrainImagenet, GoesOnWithTheSettingsOfItsFolder) {
  ASSERT_EQ(train(kSmall + "--lr 0.01 --model plain20"), 0) << read_bytes(folder_ / "err");
  ASSERT_EQ(train("--output run --resume auto --iterations 3"), 0) << read_bytes(folder_ / "err");
  EXPECT_THAT(read_bytes(folder_ / "out"), AllOf(HasSubstr("plain20"), HasSubstr("resumed at iteration 2 of 3")));
  EXPECT_THAT(read_bytes(folder_ / "run/config.toml"), AllOf(HasSubstr("iterations = 3\n"), HasSubstr("lr = 0.01\n")));
  // Into another folder, which then has all that belongs to a run.
  ASSERT_EQ(train("--resume run/checkpoint-2.safetensors --output other --iterations 4"), 0) << read_bytes(folder_ / "err");
  for (const char* file : {"config.toml", "best.safetensors", "last.safetensors", "checkpoint-4.safetensors", "log.jsonl"}) {
    EXPECT_TRUE(std::filesystem::exists(folder_ / "other/" + file)) << file;
  }
}

TEST_F(TrainImagenet, DoesNotResumeIntoTheFolderOfAnotherRun) {
  ASSERT_EQ(train(kSmall), 0) << read_bytes(folder_ / "err");
  ASSERT_EQ(train(kData + "--output other"), 0) << read_bytes(folder_ / "err");
  const std::string log = read_bytes(folder_ / "other/log.jsonl");
  ASSERT_EQ(train("--resume run/checkpoint-2.safetensors --output other --iterations 4"), 2);
  EXPECT_THAT(error(), HasSubstr("'other'"));
  EXPECT_EQ(read_bytes(folder_ / "other/log.jsonl"), log);
  ASSERT_EQ(train("--resume run/checkpoint-2.safetensors --iterations 4"), 0) << read_bytes(folder_ / "err");
  EXPECT_THAT(read_bytes(folder_ / "out"), HasSubstr("resumed at iteration 2 of 4"));
}

TEST_F(TrainImagenet, TheAdviceOfARefusalWorksWhenPasted) {
  ASSERT_EQ(train(kData), 0) << read_bytes(folder_ / "err");
  ASSERT_EQ(train(kData), 2);
  const std::string message = error();
  const size_t advice = message.find("--resume auto");
  ASSERT_NE(advice, std::string::npos) << message;
  ASSERT_EQ(train(kData + message.substr(advice, message.size() - advice - 1)), 0) << read_bytes(folder_ / "err");
  EXPECT_THAT(read_bytes(folder_ / "out"), HasSubstr("resumed at iteration 2 of 2"));
}

TEST_F(TrainImagenet, ResumeAutoDestroysNothing) {
  ASSERT_EQ(train(kSmall), 0) << read_bytes(folder_ / "err");
  const std::string weights = read_bytes(folder_ / "run/best.safetensors");
  const std::string log = read_bytes(folder_ / "run/log.jsonl");
  std::filesystem::remove(folder_ / "run/checkpoint-2.safetensors");
  ASSERT_EQ(train(kSmall + "--resume auto"), 2);
  EXPECT_THAT(error(), AllOf(HasSubstr("no checkpoint to resume from"), HasSubstr("run/last.safetensors")));
  EXPECT_TRUE(read_bytes(folder_ / "run/best.safetensors") == weights);
  EXPECT_EQ(read_bytes(folder_ / "run/log.jsonl"), log);
  std::filesystem::remove(folder_ / "run/best.safetensors");
  std::filesystem::remove(folder_ / "run/last.safetensors");
  ASSERT_EQ(train(kSmall + "--resume auto"), 0) << read_bytes(folder_ / "err");
  EXPECT_THAT(read_bytes(folder_ / "out"), HasSubstr("is now run/log-1.jsonl, and a new run starts"));
  EXPECT_EQ(read_bytes(folder_ / "run/log-1.jsonl"), log);
}

TEST_F(TrainImagenet, ARunThatWasMovedWritesWhereItIsNow) {
  ASSERT_EQ(train(kSmall), 0) << read_bytes(folder_ / "err");
  std::filesystem::rename(folder_ / "run", folder_ / "moved");
  ASSERT_EQ(train("--resume moved/checkpoint-2.safetensors --iterations 3"), 0) << read_bytes(folder_ / "err");
  EXPECT_THAT(read_bytes(folder_ / "out"), HasSubstr("output in moved"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run"));
  std::filesystem::rename(folder_ / "moved", folder_ / "again");
  ASSERT_EQ(train("--resume auto --output again --iterations 4"), 0) << read_bytes(folder_ / "err");
  EXPECT_THAT(read_bytes(folder_ / "out"), AllOf(HasSubstr("output in again"), HasSubstr("resumed at iteration 3 of 4")));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "moved"));
}

TEST_F(TrainImagenet, NamesTheFolderAfterTheLastPartOfThePath) {
  for (const char* split : {"train", "val"}) {
    for (const char* name : {"a", "b"}) {
      const std::string class_folder = folder_ / "photos/" + split + "/" + name;
      std::filesystem::create_directories(class_folder);
      write_bytes(class_folder + "/1.ppm", "P6\n1 1\n255\nabc");
    }
  }
  const std::string small = " --model resnet20 --crop-size 16 -b 2 --iterations 1";
  ASSERT_EQ(train("photos/ --data-only" + small), 0) << read_bytes(folder_ / "err");
  EXPECT_THAT(read_bytes(folder_ / "out"), Not(HasSubstr("output in")));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "runs"));
  ASSERT_EQ(train("photos/" + small), 0) << read_bytes(folder_ / "err");
  EXPECT_TRUE(std::filesystem::exists(folder_ / "runs/resnet20-photos/last.safetensors"));
  ASSERT_EQ(train("photos --evaluate --weights runs/resnet20-photos/last.safetensors"), 0) << read_bytes(folder_ / "err");
  EXPECT_THAT(read_bytes(folder_ / "out"), Not(HasSubstr("output in")));
}

TEST_F(TrainImagenet, SaysWhichFileToUseInstead) {
  ASSERT_EQ(train(kSmall), 0) << read_bytes(folder_ / "err");
  ASSERT_EQ(train(kData + "--output other --weights run/checkpoint-2.safetensors"), 2);
  EXPECT_THAT(error(), HasSubstr("is a checkpoint for resuming a run, not a weights file: use run/last.safetensors"));
  ASSERT_EQ(train("--dataset synthetic --evaluate --weights run/checkpoint-2.safetensors"), 2);
  EXPECT_THAT(error(), HasSubstr("use run/last.safetensors"));
  ASSERT_EQ(train(kSmall + "--resume run/best.safetensors"), 2);
  EXPECT_THAT(error(), HasSubstr("holds weights, not the state of a run: resume from run/checkpoint-2.safetensors"));
  write_bytes(folder_ / "resnet.pth", std::string("PK\x03\x04\x00\x00\x08\x08", 8) + "archive/data.pkl");
  ASSERT_EQ(train(kData + "--output other --weights resnet.pth"), 2);
  EXPECT_THAT(error(), AllOf(HasSubstr("resnet.pth is a PyTorch file"), HasSubstr("tools/convert-weights"),
                             HasSubstr("'resnet.safetensors'")));
}

TEST_F(TrainImagenet, DoesNotGoOnWithOtherImages) {
  ASSERT_EQ(train(kSmall), 0) << read_bytes(folder_ / "err");
  ASSERT_EQ(train("--output run --resume auto --synthetic-images 48 --iterations 4"), 2);
  EXPECT_THAT(error(), HasSubstr("made with 32 training images, but this run has 48"));
}

TEST_F(TrainImagenet, GoesOnWithoutTheWeightsThatItBeganFrom) {
  ASSERT_EQ(train(kData + "--output first"), 0) << read_bytes(folder_ / "err");
  ASSERT_EQ(train(kSmall + "--weights first/last.safetensors"), 0) << read_bytes(folder_ / "err");
  std::filesystem::remove_all(folder_ / "first");
  ASSERT_EQ(train("--output run --resume auto --iterations 3"), 0) << read_bytes(folder_ / "err");
}

TEST_F(TrainImagenet, ScalesTheLossOfARunThatGoesOnInFp16) {
  const auto loss_scale = [this](int iteration) {
    const Safetensors checkpoint = load_safetensors(folder_ / fmt::format("run/checkpoint-{}.safetensors", iteration));
    return nlohmann::json::parse(checkpoint.metadata.at("residua.train_state")).at("loss_scale").get<double>();
  };
  ASSERT_EQ(train(kSmall + "--precision fp32"), 0) << read_bytes(folder_ / "err");
  EXPECT_EQ(loss_scale(2), 1);
  ASSERT_EQ(train("--output run --resume auto --precision fp16 --iterations 3"), 0) << read_bytes(folder_ / "err");
  EXPECT_GT(loss_scale(3), 1000);
  ASSERT_EQ(train("--output run --resume auto --precision fp32 --iterations 4"), 0) << read_bytes(folder_ / "err");
  EXPECT_EQ(loss_scale(4), 1);
}

TEST_F(TrainImagenet, EvaluatesTheValidationFolderAloneAndNamesWhatItCannotRead) {
  for (const char* split : {"train", "val"}) {
    for (const char* name : {"a", "b"}) {
      const std::string class_folder = folder_ / "photos/" + split + "/" + name;
      std::filesystem::create_directories(class_folder);
      for (const char* file : {"/1.ppm", "/2.ppm"}) {
        write_bytes(class_folder + file, "P6\n1 1\n255\nabc");
      }
    }
  }
  ASSERT_EQ(train("photos --model resnet20 --crop-size 16 -b 2 --iterations 1 --output run"), 0) << read_bytes(folder_ / "err");
  std::filesystem::remove_all(folder_ / "photos/train");
  write_bytes(folder_ / "photos/val/b/2.ppm", "P6\n1 1\n255\na");
  ASSERT_EQ(train("photos --evaluate --weights run/last.safetensors"), 0) << read_bytes(folder_ / "err");
  EXPECT_THAT(read_bytes(folder_ / "out"), AllOf(HasSubstr("validation of 3 images"), HasSubstr("1 of the 4 images could not"),
                                                 HasSubstr("b/2.ppm"), Not(HasSubstr("training images"))));
}

TEST_F(TrainImagenet, EvaluatesWeightsByWhatTheirFileSays) {
  for (const char* input : {"--mean 0.9,0.1,0.5 --std 0.1,0.5,1", "--shortcut-pad both --shortcut-pool average"}) {
    std::filesystem::remove_all(folder_ / "run");
    ASSERT_EQ(train(kSmall + "--model resnet32 --lr 0.01 " + input), 0) << read_bytes(folder_ / "err");
    std::istringstream lines(read_bytes(folder_ / "run/log.jsonl"));
    std::string line;
    for (std::string next; std::getline(lines, next);) {
      line = next;  // the validation is the last
    }
    const nlohmann::json record = nlohmann::json::parse(line);
    const std::string evaluate = "--dataset synthetic --synthetic-images 32 --evaluate --weights run/last.safetensors ";
    for (const char* more : {"", "--output run --resume auto"}) {
      ASSERT_EQ(train(evaluate + more), 0) << read_bytes(folder_ / "err");
      EXPECT_THAT(read_bytes(folder_ / "out"),
                  AllOf(HasSubstr("resnet32"),
                        HasSubstr(fmt::format("loss {:.4f}, top-1 error {:.2f} %", record.at("loss").get<double>(),
                                              record.at("top1_error").get<double>()))))
          << more;
    }
  }
}

TEST_F(TrainImagenet, RefusesWeightsOfOtherClasses) {
  ASSERT_EQ(train(kSmall), 0) << read_bytes(folder_ / "err");
  const std::vector<std::string> names = {"ship", "truck", "plane", "car", "cat", "dog", "deer", "frog", "horse", "bird"};
  Safetensors weights = load_safetensors(folder_ / "run/last.safetensors");
  weights.metadata["classes"] = nlohmann::json(names).dump();
  save_safetensors(folder_ / "other.safetensors", views(weights.arrays), weights.metadata);
  ASSERT_EQ(train("--dataset synthetic --synthetic-images 32 --evaluate --weights run/last.safetensors"), 0);
  for (const char* action : {"--evaluate", "--output new"}) {
    ASSERT_EQ(train("--dataset synthetic --synthetic-images 32 --weights other.safetensors " + std::string(action)), 2);
    EXPECT_THAT(error(), AllOf(HasSubstr("other.safetensors"), HasSubstr("\"ship\""))) << action;
  }
}

TEST_F(TrainImagenet, TakesAnOutputFolderOfAnyName) {
  ASSERT_EQ(train(kData + "--output 'sp ace \xc3\xbc\"q'"), 0) << read_bytes(folder_ / "err");
  ASSERT_EQ(train("--config 'sp ace \xc3\xbc\"q/config.toml' --resume auto"), 0) << read_bytes(folder_ / "err");
  EXPECT_THAT(read_bytes(folder_ / "out"), HasSubstr("resumed at iteration 2"));
}

TEST_F(TrainImagenet, PrintsNothingIntoItsFilesWhereTheStandardStreamsAreClosed) {
  const std::string command = "cd " + folder_.path() + " && " RESIDUA_BINARY_DIR "/train-imagenet " + kSmall + "<&- >&- 2>&-";
  ASSERT_EQ(std::system(command.c_str()), 0);
  std::istringstream lines(read_bytes(folder_ / "run/log.jsonl"));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    EXPECT_TRUE(nlohmann::json::accept(line)) << line;
  }
  EXPECT_GT(count, 0);
}

TEST_F(TrainImagenet, RefusesMoreThreadsThanOneDnnTakes) {
  ASSERT_EQ(train(kSmall, "OMP_NUM_THREADS=1025 "), 2);
  EXPECT_THAT(error(), HasSubstr("1025 OpenMP threads, wanted at most 1024: set OMP_NUM_THREADS lower"));
}

TEST_F(TrainImagenet, RefusesInOneLineAndWithExitCode2) {
  for (const char* split : {"train", "val"}) {
    for (const char* name : {"a", "b"}) {
      const std::string class_folder = folder_ / "photos/" + split + "/" + name;
      std::filesystem::create_directories(class_folder);
      write_bytes(class_folder + "/1.ppm", "P6\n1 1\n255\nabc");
    }
  }
  ASSERT_EQ(train("photos --mean photos/train/a/1.ppm"), 2);
  EXPECT_THAT(error(), HasSubstr("photos/train/a/1.ppm"));
  ASSERT_EQ(train("photos --lr nan"), 2);
  EXPECT_THAT(error(), HasSubstr("got 'nan', wanted a number above 0"));
  ASSERT_EQ(train("nowhere"), 2);
  EXPECT_THAT(error(), HasSubstr("nowhere does not exist"));
  ASSERT_EQ(train("photos --model resnet2O"), 2);
  EXPECT_THAT(error(), HasSubstr("resnet2O"));
  ASSERT_EQ(train(kSmall + "--lr-steps 5,3"), 2);
  EXPECT_THAT(error(), HasSubstr("--lr-steps: got '5,3', wanted each larger"));
  ASSERT_EQ(train(kSmall + "--resume nofile"), 2);
  EXPECT_THAT(error(), HasSubstr("got 'nofile', wanted auto, or a file that exists"));
  ASSERT_EQ(train(kSmall + "--resume ''"), 2);
  EXPECT_THAT(error(), HasSubstr("--resume"));
  write_bytes(folder_ / "file", "not a folder");
  ASSERT_EQ(train(kData + "--output file"), 2);
  EXPECT_THAT(error(), HasSubstr("cannot create the output folder file"));
}

}  // namespace
}  // namespace residua::test
