#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "core/base/error.h"
#include "core/distributed/connect.h"
#include "core/distributed/tcp_rendezvous.h"

namespace residua::test {
namespace {

using testing::HasSubstr;

std::map<std::string, std::string> variables;

Launch launch_with(std::map<std::string, std::string> set) {
  variables = std::move(set);
  return launch_of([](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

std::string error_with(std::map<std::string, std::string> set) {
  try {
    launch_with(std::move(set));
    return "";
  } catch (const UsageError& error) {
    return error.what();
  }
}

const std::map<std::string, std::string> kMpirun{
    {"OMPI_COMM_WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}};
const std::map<std::string, std::string> kTorchrun{
    {"RANK", "5"}, {"WORLD_SIZE", "8"}, {"LOCAL_RANK", "1"}, {"MASTER_ADDR", "node3"}, {"MASTER_PORT", "29500"}};
const std::map<std::string, std::string> kSrun{{"SLURM_STEP_NUM_TASKS", "6"}, {"SLURM_PROCID", "2"},
                                               {"SLURM_LOCALID", "0"},        {"SLURM_STEP_NODELIST", "node[07-09,11],gpu1"},
                                               {"SLURM_JOB_ID", "123456"},    {"SLURM_STEP_ID", "3"}};

std::map<std::string, std::string> with(std::map<std::string, std::string> set, const std::string& name,
                                        const std::string& value) {
  set[name] = value;
  return set;
}

TEST(Launch, WithoutALauncherIsOneProcess) {
  const Launch launch = launch_with({{"PATH", "/bin"}});
  EXPECT_EQ(launch.world, 1);
  EXPECT_EQ(launch.launcher, "");
  EXPECT_FALSE(launch.has_mpi);
}

TEST(Launch, ReadsMpirun) {
  const Launch launch = launch_with(kMpirun);
  EXPECT_EQ(launch.rank, 3);
  EXPECT_EQ(launch.world, 4);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.launcher, "mpirun");
  EXPECT_TRUE(launch.has_mpi);
  EXPECT_EQ(launch.address, "");
  EXPECT_EQ(launch_with(with(with(kMpirun, "MASTER_ADDR", "node1"), "MASTER_PORT", "4000")).address, "node1");
}

TEST(Launch, ReadsTorchrun) {
  const Launch launch = launch_with(kTorchrun);
  EXPECT_EQ(launch.rank, 5);
  EXPECT_EQ(launch.world, 8);
  EXPECT_EQ(launch.launcher, "torchrun");
  EXPECT_FALSE(launch.has_mpi);
  EXPECT_EQ(launch.address, "node3");
  EXPECT_EQ(launch.port, 29500);
  EXPECT_EQ(tcp_port(launch), 29501) << "torchrun itself listens at 29500";
  EXPECT_EQ(tcp_port(launch_with(with(kTorchrun, "MASTER_PORT", "65535"))), 65534);
}

TEST(Launch, ReadsSrunWithPmix) {
  const Launch launch = launch_with(with(kSrun, "PMIX_RANK", "2"));
  EXPECT_EQ(launch.launcher, "srun");
  EXPECT_TRUE(launch.has_mpi);
  EXPECT_EQ(launch.world, 6);
}

TEST(Launch, ReadsSrunWithoutPmix) {
  const Launch launch = launch_with(kSrun);
  EXPECT_EQ(launch.launcher, "srun without PMIx");
  EXPECT_FALSE(launch.has_mpi);
  EXPECT_EQ(launch.rank, 2);
  EXPECT_EQ(launch.address, "node07");
  EXPECT_GE(launch.port, 20000);
  EXPECT_LT(launch.port, 32000);
  EXPECT_EQ(launch_with(with(kSrun, "SLURM_PROCID", "0")).port, launch.port) << "all ranks of a step agree";
  EXPECT_NE(launch_with(with(kSrun, "SLURM_STEP_ID", "4")).port, launch.port);
  EXPECT_NE(launch_with(with(kSrun, "SLURM_JOB_ID", "123457")).port, launch.port);
  const Launch told = launch_with(with(with(kSrun, "MASTER_ADDR", "10.0.0.1"), "MASTER_PORT", "4000"));
  EXPECT_EQ(told.address, "10.0.0.1");
  EXPECT_EQ(told.port, 4000);
}

TEST(Launch, SeesWhetherTheLauncherChoosesGpus) {
  for (const auto& variables_of : {kMpirun, kTorchrun, kSrun}) {
    EXPECT_FALSE(launch_with(variables_of).chooses_gpus);
    EXPECT_TRUE(launch_with(with(variables_of, "CUDA_VISIBLE_DEVICES", "0")).chooses_gpus);
  }
}

TEST(Launch, FindsTheFirstHostOfAList) {
  for (const auto& [list, first] : std::map<std::string, std::string>{{"node1", "node1"},
                                                                      {"node1,node2", "node1"},
                                                                      {"node[1-3]", "node1"},
                                                                      {"node[10,02-05].cluster,a", "node10.cluster"},
                                                                      {"rack[1-2]n[03-04]", "rack1n03"}}) {
    EXPECT_EQ(launch_with(with(kSrun, "SLURM_STEP_NODELIST", list)).address, first) << list;
  }
}

TEST(Launch, ABatchScriptIsOneProcess) {
  const Launch launch =
      launch_with({{"SLURM_NTASKS", "6"}, {"SLURM_PROCID", "0"}, {"SLURM_LOCALID", "0"}, {"SLURM_JOB_ID", "5"}});
  EXPECT_EQ(launch.world, 1);
}

TEST(Launch, NamesVariablesThatAreWrong) {
  EXPECT_THAT(error_with(with(kMpirun, "OMPI_COMM_WORLD_RANK", "4")),
              HasSubstr("OMPI_COMM_WORLD_RANK to '4'; wanted a number from 0 to 3"));
  EXPECT_THAT(error_with(with(kMpirun, "OMPI_COMM_WORLD_SIZE", "0")), HasSubstr("OMPI_COMM_WORLD_SIZE to '0'"));
  EXPECT_THAT(error_with(with(kTorchrun, "RANK", "-1")), HasSubstr("RANK to '-1'"));
  EXPECT_THAT(error_with(with(kTorchrun, "RANK", "1x")), HasSubstr("RANK to '1x'"));
  EXPECT_THAT(error_with(with(kTorchrun, "WORLD_SIZE", "")), HasSubstr("WORLD_SIZE to ''"));
  EXPECT_THAT(error_with(with(kTorchrun, "WORLD_SIZE", "99999999999999999999")), HasSubstr("WORLD_SIZE"));
  EXPECT_THAT(error_with(with(kTorchrun, "MASTER_PORT", "70000")), HasSubstr("MASTER_PORT to '70000'"));
  EXPECT_THAT(error_with(with(kTorchrun, "MASTER_ADDR", "")), HasSubstr("MASTER_ADDR"));
  EXPECT_THAT(error_with(with(kSrun, "SLURM_JOB_ID", "job")), HasSubstr("SLURM_JOB_ID to 'job'"));
  EXPECT_THAT(error_with({{"OMPI_COMM_WORLD_SIZE", "2"}}),
              HasSubstr("OMPI_COMM_WORLD_RANK is not set, but other variables of a launcher are"));
}

TEST(Connect, OneRankNeedsNothing) { EXPECT_TRUE(connect({}, Device{}, 1)->alone()); }

TEST(Connect, SaysWhatToUseOnTheCpuDevice) {
  const auto error = [](const Launch& launch) -> std::string {
    try {
      connect(launch, Device{}, 1);
      return "";
    } catch (const UsageError& failed) {
      return failed.what();
    }
  };
  EXPECT_THAT(error(launch_with(kTorchrun)), HasSubstr("torchrun started 8 ranks"));
  EXPECT_THAT(error(launch_with(kTorchrun)), HasSubstr("mpirun -n 8"));
  EXPECT_THAT(error(launch_with(kSrun)), HasSubstr("--mpi=pmix"));
}

TEST(Connect, ARankOnTheCpuDeviceStaysThere) { EXPECT_EQ(device_of_rank("cpu", launch_with(kMpirun)), Device{}); }

}  // namespace
}  // namespace residua::test
