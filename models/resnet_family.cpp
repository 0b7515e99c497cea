#include "models/model_family.h"
#include "models/resnet.h"

namespace residua {
namespace {

/// The networks of He et al. 2015.
class ResNetFamily : public ModelFamily {
 public:
  std::vector<ModelInfo> models() const override {
    std::vector<ModelInfo> all;
    for (const ResNetConfig& config : named_resnets()) {
      all.push_back({.name = config.name,
                     .description = config.description(),
                     .image_size = config.image_size(),
                     .classes = config.classes});
    }
    return all;
  }

  void declare(Settings& settings) override { residua::declare(settings, options_); }
  void resolve(const std::string& model) override { options_.shortcut = config(model).shortcut; }

  std::unique_ptr<Module> make(const std::string& model, int64_t classes, DType compute) const override {
    ResNetConfig made = config(model);
    made.classes = classes;
    made.stored_in_channels = stored_input_channels(compute);
    return std::make_unique<ResNet>(made);
  }
  int64_t input_channels(DType compute) const override { return stored_input_channels(compute); }
  std::string classifier() const override { return "fc"; }

  /// The same text as in checkpoints of all earlier versions.
  std::string describe(const std::string& model) override {
    const ResNetConfig made = config(model);
    return fmt::format("{}, shortcut {}, {}, {}, {}", model, to_text(made.shortcut), to_text(made.shortcut_pad),
                       to_text(made.shortcut_pool), to_text(made.bottleneck_stride));
  }

 private:
  ResNetConfig config(const std::string& model) const { return configured(named_resnet(model), options_); }

  ResNetOptions options_;
};

const auto kResNets = registered<ModelFamily, ResNetFamily>("resnet", "the plain and residual networks of He et al. 2015");

}  // namespace
}  // namespace residua
