// No contract without a CUDA kernel, no kernel that the tests do not run. The list comes from the headers of core/kernels.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "core/autograd/tape.h"
#include "core/kernels/profile.h"
#include "core/nn/initialization.h"
#include "core/train/train_step.h"
#include "models/catalog.h"
#include "tests/support/contracts.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

constexpr Device kDevice{Device::Type::cuda, 0};

TEST(EveryContract, IsFoundInTheHeaders) {
  EXPECT_THAT(contracts_in("namespace cuda {\nvoid run(const Add& args, Stream& stream);\n"
                           "void run(const ReluForward& args, Stream& stream);\n}"),
              ::testing::ElementsAre("Add", "ReluForward"));
  EXPECT_THAT(declared_contracts(), ::testing::IsSupersetOf({"Add", "BatchNormApply", "ConvolutionForward", "SgdUpdate"}));
}

TEST(EveryContract, HasACudaKernelOrAVendorsFunction) {
  std::set<std::string> defined = contracts_in_folder(RESIDUA_SOURCE_DIR "/cuda/kernels", {".cu"});
  const std::string vendor = RESIDUA_SOURCE_DIR "/cuda/vendor";
  if (std::filesystem::exists(vendor)) {
    defined.merge(contracts_in_folder(vendor, {".cpp"}));
  }
  for (const std::string& contract : declared_contracts()) {
    EXPECT_TRUE(defined.contains(contract)) << contract << " is declared in core/kernels, but defined in no file of cuda/";
  }
}

/// What run(device, args) has run since it was made.
class Recorded {
 public:
  std::set<std::string> contracts() const {
    std::set<std::string> names;
    for (const auto& [key, entry] : recorder_.entries()) {
      names.insert(key.second);
    }
    return names;
  }

 private:
  profile::Recorder recorder_;
};

void run_operations() {
  for (const OpCase& c : op_cases()) {
    Random random(c.full_name());
    const DType dtype = c.dtypes.back();
    const std::vector<Tensor> inputs = make_inputs(c, dtype, draw_inputs(c, dtype, random), kDevice, Leaves::require_gradients);
    const Tensor y = c.run(inputs).front();
    if (c.differentiable()) {
      backward(projected(y, to_tensor(draw_projection(y.size(), y.dtype(), random), y.shape(), y.dtype(), kDevice)));
    }
  }
}

/// A step of an ImageNet network and one of a CIFAR network.
void run_training_steps() {
  for (const char* name : {"resnet18", "resnet20"}) {
    ResNetSpec spec = model_spec(name);
    spec.width = 4;
    spec.classes = 3;
    spec.stored_in_channels = stored_input_channels(DType::f16);
    ResNet model(spec);
    ParameterStore store(model, {.device = kDevice, .compute = DType::f16});
    initialize(store, 1);
    Sgd sgd(store, {.loss_scaling = LossScaling{}});
    TrainStep step(model, store, sgd,
                   {.input = {.channels = model.input_channels(),
                              .dtype = DType::f16,
                              .mean = full({3}, 127.0f, DType::f32, kDevice),
                              .inverse_std = full({3}, 0.02f, DType::f32, kDevice)},
                    .capture = Capture::off});
    Batch batch;
    batch.images = full({2, 32, 32, 3}, 99.0f, DType::u8);
    batch.labels = zeros({2}, DType::i32);
    batch.top = zeros({2}, DType::i32);
    batch.left = zeros({2}, DType::i32);
    batch.flip = zeros({2}, DType::u8);
    batch.colour_shift = zeros({2, 3}, DType::f32);
    batch.height = batch.width = 32;
    step.train(batch);
    step.train(batch);
    MetricsSum sum(kDevice);
    step.evaluate(batch, sum);
  }
}

TEST(EveryContract, IsRunByACaseOrATrainingStep) {
  const Recorded recorded;
  run_operations();
  run_training_steps();
  const std::set<std::string> ran = recorded.contracts();
  for (const std::string& contract : declared_contracts()) {
    EXPECT_TRUE(ran.contains(contract)) << "no operation's case and no training step runs " << contract;
  }
}

}  // namespace
}  // namespace residua::test
