#include "tests/train/small_run.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "core/autograd/no_grad.h"
#include "core/nn/state_dict.h"
#include "core/run/checkpoint.h"
#include "tests/data/synthetic_source.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {

void Recorder::trained(const TrainRecord& record, int64_t total_iterations, double /*seconds_left*/) {
  steps.push_back(record);
  totals.push_back(total_iterations);
  on_trained(record);
}

void Recorder::evaluated(const EvaluationRecord& record) {
  if (record.type == "validation") {
    validations.push_back(record);
    on_evaluated(record);
  } else {
    evaluations.push_back(record);
  }
}

SmallRun::SmallRun(const std::string& folder) {
  declare(settings, config);
  const std::vector<Assignment> base = {
      {"dataset", {"synthetic"}}, {"synthetic-classes", {"4"}},  {"synthetic-images", {"64"}}, {"crop-size", {"16"}},
      {"augment", {"flip"}},      {"model", {"resnet20"}},       {"batch-size", {"16"}},       {"iterations", {"6"}},
      {"lr", {"0.05"}},           {"lr-schedule", {"constant"}}, {"precision", {"fp32"}},      {"device", {"cpu"}},
      {"workers", {"0"}},         {"evaluate-every", {"0.75"}},  {"log-every", {"2"}},         {"output", {folder}}};
  settings.assign(base, Layer::file, "the small run");
  training = open_synthetic(Split::train, {.image_size = 16, .classes = 4, .images = 64, .seed = 1});
  validation = open_synthetic(Split::val, {.image_size = 16, .classes = 4, .images = 5 * 64, .seed = 1});
}

SmallRun& SmallRun::set(const std::string& name, const Words& words) {
  settings.assign(name, words, Layer::command_line);
  return *this;
}

void SmallRun::make_network() {
  config.training.ranks = ranks != nullptr ? ranks->world() : 1;
  settle(settings, config);
  if (training == nullptr) {
    RunData data = open_data(config);
    training = std::move(data.train);
    validation = std::move(data.validation);
    test = std::move(data.test);
  }
  settle_with_data(settings, config, {.train = training, .validation = validation});
  const DType precision = compute_type(config.training.precision, parse_device(config.training.device));
  network_ = residua::make_network(config, training->class_names(), precision);
  settle_input(settings, config, checkpoint, training, network_->input, {});
}

Network& SmallRun::network() {
  if (!network_) {
    make_network();
  }
  return *network_;
}

Trainer& SmallRun::trainer() {
  if (trainer_ == nullptr) {
    Network& made = network();
    const Device device = parse_device(config.training.device);
    const bool writes = ranks == nullptr || ranks->leads();
    folder_ = writes
                  ? std::make_unique<RunFolder>(config.output.folder, checkpoint.empty() ? Existing::start : Existing::resume)
                  : std::make_unique<RunFolder>(config.output.folder);
    trainer_ = std::make_unique<Trainer>(
        TrainerSetup{.network = made,
                     .config = config,
                     .device = device,
                     .precision = compute_type(config.training.precision, device),
                     .data = {.train = training, .validation = validates ? validation : nullptr, .test = test},
                     .folder = *folder_,
                     .observer = observer,
                     .ranks = ranks,
                     .checkpoint = checkpoint,
                     .changes = changes,
                     .save_request = save_request});
  }
  return *trainer_;
}

std::string newest_checkpoint(const std::string& folder) {
  const std::vector<std::string> all = checkpoints_in(folder);
  return all.empty() ? "" : all.front();
}

std::vector<nlohmann::json> log_of(const std::string& folder, const std::string& type) {
  std::vector<nlohmann::json> found;
  std::istringstream lines(read_bytes(folder + "/log.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    nlohmann::json record = nlohmann::json::parse(line);
    if (record.at("type") == type) {
      found.push_back(std::move(record));
    }
  }
  return found;
}

std::vector<nlohmann::json> timeless_log_of(const std::string& folder, const std::string& type) {
  std::vector<nlohmann::json> found = log_of(folder, type);
  for (nlohmann::json& record : found) {
    record.erase("seconds");
  }
  return found;
}

std::vector<double> logged(const std::string& folder, const std::string& type, const std::string& key) {
  std::vector<double> numbers;
  for (const nlohmann::json& record : log_of(folder, type)) {
    const nlohmann::json& value = record.at(key);
    numbers.push_back(value.is_number() ? value.get<double>() : std::nan(""));
  }
  return numbers;
}

Batch batch_of(const ImageSource& source, const std::vector<int64_t>& images) {
  const auto count = static_cast<int64_t>(images.size());
  const ImageSize size = *source.fixed_size();
  Batch batch;
  batch.images = empty({count, size.height, size.width, 3}, DType::u8);
  batch.labels = empty({count}, DType::i32);
  batch.height = size.height;
  batch.width = size.width;
  auto to = batch.images.span<uint8_t>().begin();
  for (size_t i = 0; i < images.size(); ++i) {
    to = std::ranges::copy(source.load(images[i]).pixels, to).out;
    batch.labels.span<int32_t>()[i] = source.label(images[i]);
  }
  batch.views = view_tensor(std::vector<SampleView>(images.size(), SampleView{}));
  return batch;
}

double cross_entropy(std::span<const float> logits, int32_t label, double smoothing) {
  double sum = 0;
  for (const float logit : logits) {
    sum += std::exp(static_cast<double>(logit));
  }
  double loss = 0;
  for (size_t c = 0; c < logits.size(); ++c) {
    const double wanted =
        smoothing / static_cast<double>(logits.size()) + (static_cast<int32_t>(c) == label ? 1 - smoothing : 0);
    loss += wanted * (std::log(sum) - static_cast<double>(logits[c]));
  }
  return loss;
}

std::vector<float> answer(Module& module, const Tensor& x) { return module.forward(x, Mode::evaluate).to_vector(); }

Measured measured_one_by_one(const std::string& weights, const ImageSource& images, const Scores& scores) {
  const NoGrad no_grad;
  const Safetensors file = read_weights(weights);
  const Network network = network_from_weights(file, {}, DType::f32);
  ParameterStore store(*network.module, {.purpose = Purpose::inference});
  load_weights(file, store, "fc.");
  InputFormat format = input_format(network, DType::f32, Device{});
  Measured measured;
  for (int64_t i = 0; i < images.size(); ++i) {
    const Batch batch = batch_of(images, {i});
    format.height = batch.height;
    format.width = batch.width;
    const std::vector<float> logits = scores(*network.module, prepare_input(batch.images, batch.views, format));
    const int32_t label = images.label(i);
    const bool wrong = *std::ranges::max_element(logits) > logits[static_cast<size_t>(label)];
    measured.loss += cross_entropy(logits, label, 0) / static_cast<double>(images.size());
    measured.top1_error += (wrong ? 100.0 : 0.0) / static_cast<double>(images.size());
  }
  return measured;
}

}  // namespace residua::test
