// Which forms of which convolutions cuDNN has plans for on an H100, found without one: plans are built from a file of its
// properties. What differs from the table beside it is a change of cuDNN's or of ours that somebody should look at.
#include <cudnn.h>
#include <dlfcn.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <set>
#include <sstream>

#include "core/base/error.h"
#include "cuda/libraries/cudnn_graph.h"
#include "cuda/libraries/space_to_depth.h"
#include "models/resnet.h"
#include "tests/cuda/h100.h"
#include "tests/support/op_case.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using namespace cuda;

using ::testing::IsEmpty;
using ::testing::Not;

const std::string kTable = RESIDUA_SOURCE_DIR "/tests/cuda/convolution_forms.txt";

/// Whether cuDNN finds a driver's library, a real one or the stand-in that ctest runs these tests with a second time.
bool has_driver() {
  static const bool found = dlopen("libcuda.so.1", RTLD_NOW) != nullptr;
  return found;
}

/// The forms that have plans. Of those that have, one must come to be built.
std::vector<std::string> forms_of(const ConvolutionKey& key) {
  std::vector<std::string> forms;
  for (int i = 0; i < kConvolutionForms; ++i) {
    const ConvolutionKey of = with_form(key, static_cast<ConvolutionForm>(i));
    ConvolutionGraph graph(of, h100(), kDefaultPlans);
    if (graph.plans().empty()) {
      EXPECT_NE(graph.rejection_reason(), "") << of.string();
      continue;
    }
    bool built = false;
    for (size_t plan = 0; plan < graph.plans().size() && !built; ++plan) {
      built = builds(graph, plan);
    }
    EXPECT_TRUE(built) << "cuDNN says that it has plans, but builds none: " << of.string();
    forms.emplace_back(name(of.form));
  }
  return forms;
}

std::string table() {
  std::string text = fmt::format("cuDNN {} on an H100 has plans for these forms:\n", cudnnGetVersion());
  for (const DType dtype : kTypes) {
    std::vector<ConvolutionKey> keys = convolutions(dtype);
    for (size_t i = 0; i < keys.size(); ++i) {
      if (has_space_to_depth(dtype, keys[i].shape)) {
        keys.push_back({ConvolutionForm::forward, dtype, space_to_depth(keys[i].shape)});
      }
    }
    for (const ConvolutionKey& key : keys) {
      const std::string description = key.string();
      text += fmt::format("{}: {}\n", description.substr(description.find(' ') + 1), fmt::join(forms_of(key), ", "));
    }
  }
  return text;
}

std::vector<std::string> lines(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> all;
  for (std::string line; std::getline(stream, line);) {
    all.push_back(line);
  }
  return all;
}

TEST(CudnnPlans, HaveTheFormsOfTheTable) {
  const std::string found = table();
  if (std::getenv("RESIDUA_UPDATE_TABLES") != nullptr) {
    write_bytes(kTable, found);
  }
  const std::vector<std::string> got = lines(found), want = lines(read_bytes(kTable));
  if (got.front() != want.front()) {
    GTEST_SKIP() << "the table is of another version: " << want.front() << " Here: " << got.front()
                 << " RESIDUA_UPDATE_TABLES=1 writes it anew.";
  }
  for (size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
    EXPECT_EQ(got[i], want[i]);
  }
  EXPECT_EQ(got.size(), want.size()) << "RESIDUA_UPDATE_TABLES=1 writes " << kTable << " anew";
}

/// Seconds that this process has computed, on all its threads.
double cpu_seconds() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + 1e-6 * time.tv_usec; };
  return seconds(use.ru_utime) + seconds(use.ru_stime);
}

TEST(CudnnPlans, OfTwoNetworksBuildInLittleTime) {
  const double before = cpu_seconds();
  int plans = 0, built = 0;
  for (const DType dtype : {DType::f16, DType::bf16}) {
    for (const char* model : {"resnet18", "resnet50"}) {
      for (const ConvolutionKey& key : convolutions(named_resnet(model), dtype)) {
        for (int i = 0; i < kConvolutionForms; ++i) {
          ConvolutionGraph graph(with_form(key, static_cast<ConvolutionForm>(i)), h100(), kDefaultPlans);
          plans += static_cast<int>(graph.plans().size());
          for (size_t plan = 0; plan < graph.plans().size(); ++plan) {
            built += builds(graph, plan) ? 1 : 0;
          }
        }
      }
    }
  }
  // The processor's time, not the clock's: others may be busy on this machine.
  const double seconds = cpu_seconds() - before;
  std::printf("%d of %d plans were built in %.1f s of CPU time\n", built, plans, seconds);
  RecordProperty("cpu_seconds", fmt::format("{:.1f}", seconds));
  EXPECT_GT(built, 500);
  EXPECT_LT(seconds, 60) << "a plan that is compiled at run time takes a second or more";
}

TEST(CudnnPlans, ThatAreCompiledAtRunTimeAreAnOption) {
  if (std::getenv("RESIDUA_STAND_IN_DRIVER") != nullptr) {
    ASSERT_TRUE(has_driver()) << dlerror();
  }
  // Of bf16 cuDNN 9.19 has no other plans for this form, and offers these only where it finds a driver.
  const ConvolutionKey key{ConvolutionForm::forward_statistics, DType::bf16, {256, 56, 56, 64, 64, 3, 3, 1, 1}};
  EXPECT_THAT(ConvolutionGraph(key, h100(), kDefaultPlans).plans(), IsEmpty());
  EXPECT_EQ(ConvolutionGraph(key, h100(), {.runtime_compilation = true}).plans().empty(), !has_driver());
}

TEST(CudnnPlans, ThatAreNotDeterministicAreAnOption) {
  const auto built = [](DType dtype, const device_api::PlanOptions& options) {
    int count = 0;
    for (const ConvolutionForm form : kPlainForms) {
      ConvolutionGraph graph({form, dtype, {256, 56, 56, 64, 64, 3, 3, 1, 1}}, h100(), options);
      for (size_t i = 0; i < graph.plans().size(); ++i) {
        count += builds(graph, i) ? 1 : 0;
      }
    }
    return count;
  };
  // cuDNN 9.19 notes some of its fp32 engines as such, none of those of 16 bits.
  EXPECT_GT(built(DType::f32, {.nondeterministic = true}), built(DType::f32, kDefaultPlans));
}

TEST(CudnnPlans, AreKnownForEveryPassOfEveryConvolution) {
  for (const DType dtype : kTypes) {
    const std::vector<ConvolutionKey> all = convolutions(dtype);
    EXPECT_GT(all.size(), 20);
    for (const ConvolutionKey& key : all) {
      for (const ConvolutionForm form : kPlainForms) {
        const ConvolutionGraph graph(with_form(key, form), h100(), kDefaultPlans);
        EXPECT_THAT(graph.plans(), Not(IsEmpty())) << with_form(key, form).string() << ": " << graph.rejection_reason();
      }
    }
  }
}

/// The convolutions that the operations' cases run, by the shapes of x and w and the options in their names.
std::set<ConvolutionKey> convolutions_of_the_cases(DType dtype) {
  std::set<ConvolutionKey> found;
  for (const OpCase& c : op_cases()) {
    int stride = 0, padding = 0;
    const size_t options = c.name.find("stride_");
    if (!c.op.ends_with("conv2d") || options == std::string::npos ||
        std::sscanf(c.name.c_str() + options, "stride_%d_padding_%d", &stride, &padding) != 2) {
      continue;
    }
    const auto shape_of = [&](const char* name) { return std::ranges::find(c.inputs, name, &OpInput::name)->shape; };
    const Shape x = shape_of("x"), w = shape_of("w");
    found.insert({ConvolutionForm::forward,
                  dtype,
                  {x.dim(0), x.dim(1), x.dim(2), x.dim(3), w.dim(0), w.dim(1), w.dim(2), stride, padding}});
  }
  return found;
}

TEST(CudnnPlans, ExistForTheConvolutionsOfTheTests) {
  for (const DType dtype : kTypes) {
    const std::set<ConvolutionKey> all = convolutions_of_the_cases(dtype);
    EXPECT_GT(all.size(), 15);
    for (const ConvolutionKey& key : all) {
      for (const ConvolutionForm form : kPlainForms) {
        ConvolutionGraph graph(with_form(key, form), h100(), kDefaultPlans);
        bool built = false;
        for (size_t plan = 0; plan < graph.plans().size() && !built; ++plan) {
          built = builds(graph, plan);
        }
        EXPECT_TRUE(built) << with_form(key, form).string() << ": " << graph.plans().size() << " plans; "
                           << graph.rejection_reason();
      }
    }
  }
}

TEST(CudnnPlans, OfTf32AreNotBuiltForF32) {
  const ConvolutionShape shape{.batch = 256,
                               .in_height = 56,
                               .in_width = 56,
                               .in_channels = 64,
                               .out_channels = 64,
                               .kernel_height = 3,
                               .kernel_width = 3,
                               .stride = 1,
                               .padding = 1};
  for (const ConvolutionForm form : kPlainForms) {
    ConvolutionGraph graph({form, DType::f32, shape}, h100(), kDefaultPlans);
    size_t built = 0;
    for (size_t i = 0; i < graph.plans().size(); ++i) {
      built += builds(graph, i) ? 1 : 0;
    }
    EXPECT_GT(built, 0) << name(form);
    // Nearly all engines of this architecture use tensor cores, which know fp32 as TF32 alone.
    EXPECT_LT(built, graph.plans().size() / 2) << name(form);
  }
}

TEST(CudnnPlans, DependOnTheDeviceThatIsDescribed) {
  std::string turing = h100_properties();
  const std::string hopper = "\"deviceVer\": 900";
  ASSERT_NE(turing.find(hopper), std::string::npos);
  turing.replace(turing.find(hopper), hopper.size(), "\"deviceVer\": 750");
  const CudnnDevice device = CudnnDevice::described_by(turing);
  const ConvolutionShape shape{256, 56, 56, 64, 64, 3, 3, 1, 1};
  EXPECT_THAT(ConvolutionGraph({ConvolutionForm::backward_data, DType::f16, shape}, device, kDefaultPlans).plans(),
              Not(IsEmpty()));
  EXPECT_THAT(ConvolutionGraph({ConvolutionForm::backward_data_sums, DType::f16, shape}, device, kDefaultPlans).plans(),
              IsEmpty());
  EXPECT_THAT(ConvolutionGraph({ConvolutionForm::backward_data_sums, DType::f16, shape}, h100(), kDefaultPlans).plans(),
              Not(IsEmpty()));
}

TEST(CudnnPlans, NeedPropertiesThatCanBeRead) {
  for (const char* text : {"", "{", "{}", "[]", "\xff"}) {
    EXPECT_THROW(CudnnDevice::described_by(text), Error) << text;
  }
}

}  // namespace
}  // namespace residua::test
