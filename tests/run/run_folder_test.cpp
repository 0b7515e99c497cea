#include "core/run/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/run/checkpoint.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_file_system.h"

namespace residua::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(RunFolder, IsMadeAndBelongsToOneRun) {
  const TemporaryFolder parent;
  const std::string path = parent / "runs/mine";
  std::optional<RunFolder> first;
  first.emplace(path, Existing::start);
  EXPECT_TRUE(std::filesystem::is_directory(path));
  EXPECT_EQ(first->path(), path);
  EXPECT_EQ(first->file(kBestFile), path + "/best.safetensors");
  EXPECT_EQ(first->note(), "");
  EXPECT_TRUE(fails_with([&] { RunFolder(path, Existing::resume); },
                         {"another run is writing to", path, fmt::format("process {}", ::getpid())}));
  first.reset();
  EXPECT_NO_THROW(RunFolder(path, Existing::resume));
}

TEST(RunFolder, TheLockOfADeadProcessDoesNotBlock) {
  const TemporaryFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    const RunFolder own(folder.path(), Existing::start);
    ::raise(SIGKILL);
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_THAT(read_bytes(folder / "run.lock"), HasSubstr(fmt::format("process {}", child)));
  EXPECT_NO_THROW(RunFolder(folder.path(), Existing::start));
  EXPECT_THAT(read_bytes(folder / "run.lock"), HasSubstr(fmt::format("process {}\n", ::getpid())));
}

TEST(RunFolder, OverwriteRemovesWhatRunsWriteAndNothingElse) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "worst");
  const std::vector<std::string> of_the_run = {"checkpoint.safetensors",
                                               "checkpoint-7.safetensors",
                                               "best.safetensors",
                                               "last.safetensors",
                                               "log.jsonl",
                                               "config.toml",
                                               "run.json",
                                               "result.json",
                                               "evaluation.json",
                                               "worst/12.png",
                                               "curves.png",
                                               "curves.svg",
                                               "report.html",
                                               "events.out.tfevents.1.2.host.3"};
  const std::vector<std::string> of_the_user = {"notes.txt",           "checkpoint-best.safetensors",
                                                "weights.safetensors", "worst/mine.png",
                                                "worst/12.txt",        "log-1.jsonl",
                                                "plan.json",           "events.csv"};
  for (const auto* names : {&of_the_run, &of_the_user}) {
    for (const std::string& name : *names) {
      write_bytes(folder / name, "bytes");
    }
  }
  {
    const RunFolder other(folder.path(), Existing::resume);
    EXPECT_TRUE(fails_with([&] { RunFolder(folder.path(), Existing::overwrite); }, {"another run is writing"}));
  }
  EXPECT_TRUE(std::filesystem::exists(folder / "log.jsonl"));
  const RunFolder output(folder.path(), Existing::overwrite);
  EXPECT_THAT(output.note(), AllOf(HasSubstr("removed the run"), HasSubstr("14 files")));
  for (const std::string& name : of_the_run) {
    EXPECT_FALSE(std::filesystem::exists(folder / name)) << name;
  }
  for (const std::string& name : of_the_user) {
    EXPECT_EQ(read_bytes(folder / name), "bytes") << name;
  }
  EXPECT_EQ(checkpoints_in(folder.path()).size(), 0U);
}

TEST(RunFolder, DoesWithoutLocksWhereThereAreNone) {
  const TemporaryFolder folder;
  TestFileSystem files(TestFileSystem::Fault::fail, 2, ENOLCK);
  const ScopedFileSystem in_force(files);
  EXPECT_NO_THROW(RunFolder(folder.path(), Existing::start));
  EXPECT_EQ(files.operations().at(2), "lock");
}

TEST(RunFolder, KeepsWhatARunHasLeft) {
  const TemporaryFolder folder;
  for (const char* file : {"checkpoint.safetensors", "checkpoint-12.safetensors", "best.safetensors", "last.safetensors"}) {
    write_bytes(folder / file, "precious");
    try {
      RunFolder(folder.path(), Existing::start);
      FAIL() << "a run was to be overwritten";
    } catch (const RunExists& error) {
      EXPECT_EQ(error.folder(), folder.path());
      EXPECT_EQ(error.setting(), "output");
      EXPECT_THAT(error.what(), AllOf(HasSubstr("already holds one"), HasSubstr(file), HasSubstr("resume to auto")));
    }
    EXPECT_NO_THROW(RunFolder(folder.path(), Existing::resume));
    EXPECT_EQ(read_bytes(folder / file), "precious");
    std::filesystem::remove(folder / file);
  }
  write_bytes(folder / "config.toml", "of a run that saved nothing");
  EXPECT_NO_THROW(RunFolder(folder.path(), Existing::start));
}

TEST(RunFolder, WeightsWithoutACheckpointAreNotStartedOver) {
  const TemporaryFolder folder;
  for (const char* file : {"best.safetensors", "last.safetensors"}) {
    write_bytes(folder / file, "precious");
    write_bytes(folder / "log.jsonl", "{}\n");
    EXPECT_TRUE(fails_with([&] { RunFolder(folder.path(), Existing::resume_or_start); },
                           {folder.path(), "no checkpoint to resume from", "weights " + folder / file, "another output"}));
    EXPECT_EQ(read_bytes(folder / file), "precious");
    EXPECT_EQ(read_bytes(folder / "log.jsonl"), "{}\n");
    std::filesystem::remove(folder / file);
  }
  // With a checkpoint it goes on: the log is the run's.
  write_bytes(folder / "best.safetensors", "precious");
  write_bytes(folder / "checkpoint.safetensors", "precious");
  const RunFolder output(folder.path(), Existing::resume_or_start);
  EXPECT_EQ(output.note(), "");
  EXPECT_EQ(read_bytes(folder / "log.jsonl"), "{}\n");
}

TEST(RunFolder, ALogAloneIsRenamedAndThatIsSaid) {
  const TemporaryFolder folder;
  write_bytes(folder / "log-1.jsonl", "older");
  for (const Existing existing : {Existing::resume_or_start, Existing::start}) {
    const std::string kept = folder / (existing == Existing::start ? "log-3.jsonl" : "log-2.jsonl");
    write_bytes(folder / "log.jsonl", "{}\n");
    const RunFolder output(folder.path(), existing);
    EXPECT_THAT(output.note(), AllOf(HasSubstr(folder.path()), HasSubstr("is now " + kept), HasSubstr("a new run starts")));
    EXPECT_FALSE(std::filesystem::exists(folder / "log.jsonl"));
    EXPECT_EQ(read_bytes(kept), "{}\n");
  }
  EXPECT_EQ(read_bytes(folder / "log-1.jsonl"), "older");
  write_bytes(folder / "log.jsonl", "");  // nothing to keep
  EXPECT_EQ(RunFolder(folder.path(), Existing::start).note(), "");
  write_bytes(folder / "log.jsonl", "{}\n");
  EXPECT_EQ(RunFolder(folder.path(), Existing::resume).note(), "");  // from a checkpoint of another name
  EXPECT_EQ(read_bytes(folder / "log.jsonl"), "{}\n");
}

TEST(RunFolder, TheEvaluationOfAnEarlierRunIsRemoved) {
  const TemporaryFolder folder;
  for (const Existing existing : {Existing::resume_or_start, Existing::start}) {
    write_bytes(folder / "evaluation.json", "of an earlier run");
    const RunFolder output(folder.path(), existing);
    EXPECT_FALSE(std::filesystem::exists(folder / "evaluation.json"));
  }
  write_bytes(folder / "evaluation.json", "of this run");
  const RunFolder output(folder.path(), Existing::resume);
  EXPECT_EQ(read_bytes(folder / "evaluation.json"), "of this run");
}

TEST(RunFolder, ALogThatCannotBeRenamedIsKept) {
  const TemporaryFolder folder;
  write_bytes(folder / "log.jsonl", "{}\n");
  TestFileSystem files(TestFileSystem::Fault::fail, 4, EACCES);
  const ScopedFileSystem in_force(files);
  EXPECT_TRUE(fails_with([&] { RunFolder(folder.path(), Existing::start); }, {"cannot rename", folder / "log.jsonl"}));
  EXPECT_EQ(files.operations().at(4), "rename log.jsonl log-1.jsonl");
  EXPECT_EQ(read_bytes(folder / "log.jsonl"), "{}\n");
}

TEST(RunFolder, IsClearedOfHalfWrittenFiles) {
  const TemporaryFolder folder;
  write_bytes(folder / ".checkpoint.safetensors.123-0.tmp", "half");
  write_bytes(folder / ".notes.tmp", "the user's");
  write_bytes(folder / "notes.tmp", "the user's");
  write_bytes(folder / ".hidden", "the user's");
  const RunFolder output(folder.path(), Existing::resume);
  EXPECT_FALSE(std::filesystem::exists(folder / ".checkpoint.safetensors.123-0.tmp"));
  EXPECT_TRUE(std::filesystem::exists(folder / ".notes.tmp"));
  EXPECT_TRUE(std::filesystem::exists(folder / "notes.tmp"));
  EXPECT_TRUE(std::filesystem::exists(folder / ".hidden"));
}

TEST(RunFolder, RefusesWhatIsNone) {
  const TemporaryFolder folder;
  write_bytes(folder / "file", "");
  EXPECT_TRUE(
      fails_with([&] { RunFolder(folder / "file", Existing::resume); }, {"cannot create the output folder", "another output"}));
  EXPECT_THROW(RunFolder(folder / "file/below", Existing::resume), UsageError);
}

TEST(RunFolder, IsNamedByTheLastPartOfThePathToTheData) {
  const TemporaryFolder folder;
  const std::string name = std::filesystem::path(folder.path()).filename().string();
  std::filesystem::create_directories(folder / "data/sub");
  std::filesystem::create_directory_symlink("data", folder / "link");
  std::filesystem::create_directory_symlink("data/sub", folder / "deep");
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder / "data");
  for (const auto& [path, wanted] : std::vector<std::pair<std::string, std::string>>{
           {"sub", "sub"},
           {"sub/", "sub"},
           {"sub//", "sub"},
           {"sub/.", "sub"},
           {"./sub/./", "sub"},
           {".", "data"},
           {"./", "data"},
           {"", "data"},
           {"..", name},
           {"../", name},
           {"sub/..", "data"},
           {"../link", "link"},
           {"../link/", "link"},
           {"../deep/..", "data"},  // as the system goes, not as the path reads
           {folder / "data/", "data"},
           {"/", "data"},
           {"nowhere/..", "data"},
           {"nowhere/photos.v2/", "photos.v2"},
       }) {
    EXPECT_EQ(folder_name(path), wanted) << path;
  }
  std::filesystem::current_path(before);
  EXPECT_EQ(default_run_folder("resnet20", "data"), "runs/resnet20-data");
}

TEST(RunFolder, OfACheckpointIsWhereThatIs) {
  EXPECT_EQ(folder_of_checkpoint("moved/run/checkpoint.safetensors"), "moved/run");
  EXPECT_EQ(folder_of_checkpoint("checkpoint.safetensors"), ".");
  const TemporaryFolder folder;
  EXPECT_EQ(weights_beside(folder / "checkpoint.safetensors"), "");
  write_bytes(folder / "best.safetensors", "");
  EXPECT_EQ(weights_beside(folder / "checkpoint.safetensors"), folder / "best.safetensors");
  write_bytes(folder / "last.safetensors", "");
  EXPECT_EQ(weights_beside(folder / "checkpoint.safetensors"), folder / "last.safetensors");
}

}  // namespace
}  // namespace residua::test
