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
#include <map>
#include <set>
#include <sstream>

#include "core/tensor/error.h"
#include "cuda/vendor/convolution.h"
#include "models/catalog.h"
#include "tests/support/op_case.h"
#include "tests/support/temporary_folder.h"

namespace residua::cuda {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string kFolder = std::string(RESIDUA_SOURCE_DIR) + "/tests/cuda/";
const std::string kTable = kFolder + "convolution_forms.txt";

std::string h100_properties() { return residua::testing::read_bytes(kFolder + "h100.json"); }

const CudnnDevice& h100() {
  static const CudnnDevice device = CudnnDevice::described_by(h100_properties());
  return device;
}

constexpr device_api::PlanOptions kDefault;

/// Whether cuDNN finds a driver's library, a real one or the stand-in that ctest runs these tests with a second time.
bool has_driver() {
  static const bool found = dlopen("libcuda.so.1", RTLD_NOW) != nullptr;
  return found;
}

constexpr DType kTypes[] = {DType::f16, DType::bf16, DType::f32};
constexpr ConvolutionForm kPlainForms[] = {ConvolutionForm::forward, ConvolutionForm::backward_data,
                                           ConvolutionForm::backward_weights};

bool is_plain(ConvolutionForm form) { return std::ranges::find(kPlainForms, form) != std::end(kPlainForms); }

/// The convolutions of a network at its paper's batch size, in the training type.
std::set<ConvolutionKey> convolutions(ResNetSpec spec, DType dtype) {
  const bool imagenet = spec.stem == Stem::imagenet;
  const int64_t size = imagenet ? 224 : 32;
  spec.stored_in_channels = stored_input_channels(dtype);
  std::set<ConvolutionKey> found;
  for (const LayerSummary& layer : summarize(ResNet(spec), {imagenet ? 256 : 128, size, size, 3}).layers) {
    if (layer.convolution) {
      found.insert({ConvolutionForm::forward, dtype, *layer.convolution});
    }
  }
  return found;
}

/// The convolutions of all networks up to 50 layers, and of the CIFAR ones, with every shortcut they can have; those of a type.
std::vector<ConvolutionKey> convolutions(DType dtype) {
  std::set<ConvolutionKey> found;
  for (const CatalogEntry& entry : model_catalog()) {
    if (entry.spec.stem == Stem::imagenet && entry.spec.depth() > 50) {
      continue;
    }
    const bool plain = entry.spec.shortcut == Shortcut::none;
    for (const Shortcut shortcut : plain ? std::vector{Shortcut::none} : std::vector{Shortcut::b, Shortcut::c}) {
      ResNetSpec spec = entry.spec;
      spec.shortcut = shortcut;
      found.merge(convolutions(spec, dtype));
    }
  }
  return {found.begin(), found.end()};
}

ConvolutionKey with_form(ConvolutionKey key, ConvolutionForm form) {
  key.form = form;
  return key;
}

bool builds(ConvolutionGraph& graph, size_t plan) {
  try {
    graph.build(plan);
    return true;
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr(graph.plans()[plan] + " of "));
    return false;
  }
}

/// The forms that have plans. Of those that have, one must come to be built.
std::vector<std::string> forms_of(const ConvolutionKey& key) {
  std::vector<std::string> forms;
  for (int i = 0; i < kConvolutionForms; ++i) {
    const ConvolutionKey of = with_form(key, static_cast<ConvolutionForm>(i));
    ConvolutionGraph graph(of, h100(), kDefault);
    if (graph.plans().empty()) {
      EXPECT_NE(graph.refusal(), "") << of.string();
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
    for (const ConvolutionKey& key : convolutions(dtype)) {
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
    residua::testing::write_bytes(kTable, found);
  }
  const std::vector<std::string> got = lines(found), want = lines(residua::testing::read_bytes(kTable));
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
      for (const ConvolutionKey& key : convolutions(model_spec(model), dtype)) {
        for (int i = 0; i < kConvolutionForms; ++i) {
          ConvolutionGraph graph(with_form(key, static_cast<ConvolutionForm>(i)), h100(), kDefault);
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
  EXPECT_LT(seconds, 15);
}

TEST(CudnnPlans, ThatAreCompiledAtRunTimeAreAnOption) {
  if (std::getenv("RESIDUA_STAND_IN_DRIVER") != nullptr) {
    ASSERT_TRUE(has_driver()) << dlerror();
  }
  // Of bf16 cuDNN 9.19 has no other plans for this form, and offers these only where it finds a driver.
  const ConvolutionKey key{ConvolutionForm::forward_statistics, DType::bf16, {256, 56, 56, 64, 64, 3, 3, 1, 1}};
  EXPECT_THAT(ConvolutionGraph(key, h100(), kDefault).plans(), IsEmpty());
  EXPECT_EQ(ConvolutionGraph(key, h100(), {.runtime_compilation = true}).plans().empty(), !has_driver());
}

TEST(CudnnPlans, ThatAreNotDeterministicAreAnOption) {
  const ConvolutionKey key{ConvolutionForm::backward_weights, DType::f16, {256, 56, 56, 64, 64, 3, 3, 1, 1}};
  const auto built = [&](const device_api::PlanOptions& options) {
    ConvolutionGraph graph(key, h100(), options);
    size_t count = 0;
    for (size_t i = 0; i < graph.plans().size(); ++i) {
      count += builds(graph, i) ? 1 : 0;
    }
    return count;
  };
  EXPECT_GT(built({.nondeterministic = true}), built(kDefault));
}

TEST(CudnnPlans, AreKnownForEveryPassOfEveryConvolution) {
  for (const DType dtype : kTypes) {
    const std::vector<ConvolutionKey> all = convolutions(dtype);
    EXPECT_GT(all.size(), 20);
    for (const ConvolutionKey& key : all) {
      for (const ConvolutionForm form : kPlainForms) {
        const ConvolutionGraph graph(with_form(key, form), h100(), kDefault);
        EXPECT_THAT(graph.plans(), Not(IsEmpty())) << with_form(key, form).string() << ": " << graph.refusal();
      }
    }
  }
}

/// The convolutions that the operations' cases run, by the shapes of x and w and the options in their names.
std::set<ConvolutionKey> convolutions_of_the_cases(DType dtype) {
  std::set<ConvolutionKey> found;
  for (const test::OpCase& c : test::op_cases()) {
    int stride = 0, padding = 0;
    const size_t options = c.name.find("stride_");
    if (!c.op.ends_with("conv2d") || options == std::string::npos ||
        std::sscanf(c.name.c_str() + options, "stride_%d_padding_%d", &stride, &padding) != 2) {
      continue;
    }
    const auto shape_of = [&](const char* name) { return std::ranges::find(c.inputs, name, &test::OpInput::name)->shape; };
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
        ConvolutionGraph graph(with_form(key, form), h100(), kDefault);
        bool built = false;
        for (size_t plan = 0; plan < graph.plans().size() && !built; ++plan) {
          built = builds(graph, plan);
        }
        EXPECT_TRUE(built) << with_form(key, form).string() << ": " << graph.plans().size() << " plans; " << graph.refusal();
      }
    }
  }
}

TEST(CudnnPlans, OfTf32AreNotBuiltForF32) {
  const ConvolutionShape shape{256, 56, 56, 64, 64, 3, 3, 1, 1};
  for (const ConvolutionForm form : kPlainForms) {
    ConvolutionGraph graph({form, DType::f32, shape}, h100(), kDefault);
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
  EXPECT_THAT(ConvolutionGraph({ConvolutionForm::backward_data, DType::f16, shape}, device, kDefault).plans(), Not(IsEmpty()));
  EXPECT_THAT(ConvolutionGraph({ConvolutionForm::backward_data_sums, DType::f16, shape}, device, kDefault).plans(), IsEmpty());
  EXPECT_THAT(ConvolutionGraph({ConvolutionForm::backward_data_sums, DType::f16, shape}, h100(), kDefault).plans(),
              Not(IsEmpty()));
}

TEST(CudnnPlans, NeedPropertiesThatCanBeRead) {
  for (const char* text : {"", "{", "{}", "[]", "\xff"}) {
    EXPECT_THROW(CudnnDevice::described_by(text), Error) << text;
  }
}

// What the engine makes of them: plans where cuDNN has the form, and the composition of plain kernels for each fused form.

float f32_vector[1];
uint8_t mask[1];

ConvolutionForward forward(const ConvolutionKey& key) {
  const bool activated = key.form == ConvolutionForm::activated_forward_statistics;
  return {key.dtype,
          key.shape,
          nullptr,
          nullptr,
          nullptr,
          activated ? InputActivation{f32_vector, f32_vector, f32_vector, f32_vector} : kNoInputActivation,
          key.form == ConvolutionForm::forward ? kNoOutputStatistics : OutputStatistics{0, f32_vector, f32_vector, f32_vector}};
}

ConvolutionBackwardData backward_data(const ConvolutionKey& key) {
  const GradientSums sums{f32_vector, mask, f32_vector, f32_vector, f32_vector, f32_vector, f32_vector, f32_vector};
  return {key.dtype, key.shape, nullptr, nullptr, nullptr, key.form == ConvolutionForm::backward_data ? kNoGradientSums : sums};
}

ConvolutionBackwardWeights backward_weights(const ConvolutionKey& key) {
  return {key.dtype,
          key.dtype,
          key.shape,
          nullptr,
          nullptr,
          nullptr,
          key.form == ConvolutionForm::backward_weights ? kNoInputActivation
                                                        : InputActivation{f32_vector, f32_vector, f32_vector, f32_vector}};
}

/// The names that the engine would choose when cuDNN's plans take `plan_ms` and the composition takes 1 ms.
template <class Args>
std::string chosen(const Args& args, double plan_ms) {
  std::string running;
  std::vector<Candidate<Args>> candidates = convolution_candidates(args, h100(), kDefault);
  for (Candidate<Args>& candidate : candidates) {
    // Plans are really built; only running them takes a GPU.
    candidate.build = [&running, name = candidate.name, build = candidate.build]() -> Way<Args> {
      build();
      return [&running, name](const Args&, Stream&) { running = name; };
    };
  }
  PlanCache cache("", "H100");
  Choice choice;
  Stream stream(0, 132, nullptr);
  const Clock clock = [&](const std::function<void()>& work) {
    work();
    return running == "composed" ? 1.0 : plan_ms;
  };
  choose<Args>(key_of(args).string(), candidates, args, stream, cache, clock, choice);
  return choice.name;
}

std::string chosen(const ConvolutionKey& key, double plan_ms) {
  switch (key.form) {
    case ConvolutionForm::forward:
    case ConvolutionForm::forward_statistics:
    case ConvolutionForm::activated_forward_statistics: return chosen(forward(key), plan_ms);
    case ConvolutionForm::backward_data:
    case ConvolutionForm::backward_data_sums: return chosen(backward_data(key), plan_ms);
    default: return chosen(backward_weights(key), plan_ms);
  }
}

TEST(CudnnPlans, AreChosenByTimeAndFallBackToTheComposition) {
  std::map<std::string, int> fused;
  for (const DType dtype : kTypes) {
    for (const ConvolutionKey& convolution : convolutions(dtype)) {
      for (int i = 0; i < kConvolutionForms; ++i) {
        const ConvolutionKey key = with_form(convolution, static_cast<ConvolutionForm>(i));
        SCOPED_TRACE(key.string());
        const std::vector<std::string> plans = ConvolutionGraph(key, h100(), kDefault).plans();
        if (plans.empty()) {
          EXPECT_EQ(chosen(key, 0.5), "composed");
          continue;
        }
        EXPECT_THAT(plans, Contains(chosen(key, 0.5)));
        if (!is_plain(key.form)) {
          EXPECT_EQ(chosen(key, 2.0), "composed");
          ++fused[name(dtype).data()];
        }
      }
    }
  }
  EXPECT_GT(fused["f16"], 50) << "both outcomes must come up";
}

TEST(CudnnPlans, AreKeptByWhatTheCallAsksFor) {
  const ConvolutionShape shape{256, 56, 56, 64, 128, 3, 3, 2, 1};
  for (int i = 0; i < kConvolutionForms; ++i) {
    const ConvolutionKey key{static_cast<ConvolutionForm>(i), DType::f16, shape};
    const ConvolutionForm got[] = {key_of(forward(key)).form, key_of(backward_data(key)).form,
                                   key_of(backward_weights(key)).form};
    EXPECT_THAT(got, Contains(key.form));
  }
  ConvolutionForward activated = forward({ConvolutionForm::activated_forward_statistics, DType::f16, shape});
  activated.statistics = kNoOutputStatistics;
  EXPECT_EQ(key_of(activated).form, ConvolutionForm::activated_forward_statistics) << "cuDNN has it with statistics only";

  const ConvolutionKey key{ConvolutionForm::forward_statistics, DType::bf16, shape};
  EXPECT_EQ(key.string(), "forward+statistics bf16 256x56x56x64 to 128, 3x3, stride 2, padding 1");
  EXPECT_FALSE(key < key);
  ConvolutionKey other = key;
  other.shape.padding = 0;
  EXPECT_TRUE(other < key);
}

}  // namespace
}  // namespace residua::cuda
