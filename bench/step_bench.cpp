// step-bench: the time of a whole training step (input, forward, loss, backward, update) on synthetic images.
#include <fmt/format.h>
#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <deque>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "core/device/device_api.h"
#include "core/device/precision.h"
#include "core/device/profile.h"
#include "core/nn/initialization.h"
#include "core/nn/parameter_store.h"
#include "core/nn/summary.h"
#include "core/optim/sgd.h"
#include "core/train/train_step.h"
#include "models/network.h"
#include "tools/cli/version_flag.h"
#include "tools/cli/warnings.h"

namespace residua {
namespace {

struct Options {
  std::string model = "resnet18";
  std::string shortcut;
  std::optional<int64_t> size = {};
  int64_t batch = 32;
  std::optional<int64_t> classes = {};
  std::string precision = "auto";
  std::string device = "auto";
  std::string cuda_graph = "on";
  device_api::PlanOptions plans;
  int threads = 0;
  int warmup = 3;
  int steps = 10;
  std::string json;
  bool profile = false;
  bool explain_plans = false;
};

Batch synthetic_batch(int64_t count, int64_t size, int64_t classes) {
  std::mt19937_64 random(std::random_device{}());
  Batch batch;
  batch.images = empty({count, size, size, 3}, DType::u8);
  std::ranges::generate(batch.images.span<uint8_t>(), [&] { return static_cast<uint8_t>(random()); });
  batch.labels = empty({count}, DType::i32);
  std::ranges::generate(batch.labels.span<int32_t>(),
                        [&] { return static_cast<int32_t>(random() % static_cast<uint64_t>(classes)); });
  batch.views = zeros({count, sizeof(SampleView)}, DType::u8);
  batch.height = batch.width = size;
  return batch;
}

/// Peak resident memory of this process in bytes (VmHWM).
int64_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) {
      return std::stoll(line.substr(6)) * 1024;
    }
  }
  return 0;
}

void print_profile(const profile::Recorder& recorder, int steps) {
  std::map<std::string, profile::Entry> by_kernel;
  double total = 0;
  for (const auto& [key, entry] : recorder.entries()) {
    by_kernel[key.second].calls += entry.calls;
    by_kernel[key.second].seconds += entry.seconds;
    total += entry.seconds;
  }
  const double scale = 1e3 / steps;
  std::vector<std::pair<std::string, profile::Entry>> rows(by_kernel.begin(), by_kernel.end());
  std::ranges::sort(rows, [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  fmt::print("{:<34}{:>8}{:>12}{:>8}\n", "kernel", "calls", "ms/step", "share");
  for (const auto& [kernel, entry] : rows) {
    fmt::print("{:<34}{:>8}{:>12.3f}{:>7.1f}%\n", kernel, entry.calls / steps, entry.seconds * scale,
               100 * entry.seconds / total);
  }
  fmt::print("\n{:<26}{:<34}{:>12}{:>8}\n", "layer", "kernel", "ms/step", "share");
  for (const auto& [key, entry] : recorder.entries()) {
    fmt::print("{:<26}{:<34}{:>12.3f}{:>7.1f}%\n", key.first, key.second, entry.seconds * scale, 100 * entry.seconds / total);
  }
}

/// Prints the plans of each operation, fastest first, with a * at the chosen one.
void print_plans(Device device) {
  const std::vector<device_api::PlanChoice> choices = device_api::plan_choices(device);
  if (choices.empty()) {
    fmt::print("device {} does not time plans\n", device.string());
  }
  for (const device_api::PlanChoice& choice : choices) {
    fmt::print("{}\n", choice.work);
    std::vector<std::pair<std::string, double>> plans = choice.milliseconds;
    std::ranges::stable_sort(plans, {}, &std::pair<std::string, double>::second);
    for (const auto& [name, milliseconds] : plans) {
      fmt::print("  {} {:>9.4f} ms  {}\n", name == choice.chosen ? '*' : ' ', milliseconds, name);
    }
    if (!choice.rejection_reason.empty()) {
      fmt::print("  cannot be used: {}\n", choice.rejection_reason);
    }
  }
}

int run_benchmark(const Options& o) {
  const Device device = parse_device(o.device);
  const DType precision = compute_type(from_text<Precision>("precision", o.precision), device);
  device_api::set_plan_options(device, o.plans);
  if (o.threads > 0) {
    omp_set_num_threads(o.threads);
  }
  ModelOptions chosen;
  Settings settings;
  declare(settings, chosen);
  settings.assign("model", {o.model}, Layer::command_line);
  if (!o.shortcut.empty()) {
    settings.assign("shortcut", {o.shortcut}, Layer::command_line);
  }
  const std::vector<std::string> classes(static_cast<size_t>(o.classes.value_or(0)));
  const Network network = make_network(chosen, {.size = o.size.value_or(0), .class_names = classes}, precision);
  const int64_t size = network.input.size;
  Module& model = *network.module;
  ParameterStore store(model, {.device = device, .compute = precision});
  initialize(store, 0);
  GradScaler scaler(device, precision == DType::f16 ? std::optional(LossScaling{}) : std::nullopt);
  Sgd sgd(store, scaler);
  scaler.set_learning_rate(0.01f);
  const InputFormat input{.channels = network.input_channels,
                          .dtype = precision,
                          .mean = full({3}, 127.5f, DType::f32, device),
                          .inverse_std = full({3}, 1.0f / 64.0f, DType::f32, device)};
  TrainStep step(model, store, scaler, sgd, {.input = input, .capture = o.cuda_graph == "off" ? Capture::off : Capture::on});
  const Batch batch = synthetic_batch(o.batch, size, network.classes());
  const device_api::Pinned pinned(device, batch.images.data(), batch.images.bytes());  // as in the loader

  const int untimed = o.explain_plans ? std::max(o.warmup, 1) : o.warmup;
  for (int i = 0; i < untimed; ++i) {
    step.train(batch);
  }
  device_api::synchronize(device);
  if (o.explain_plans) {
    print_plans(device);
    return 0;
  }
  if (o.profile) {
    const profile::Recorder recorder;
    for (int i = 0; i < o.steps; ++i) {
      step.train(batch);
    }
    print_profile(recorder, o.steps);
    return 0;
  }
  // As in training, the device never waits between steps: the next batch is uploaded meanwhile.
  std::deque<device_api::Timestamp> ends;
  ends.emplace_back(device).record();
  for (int i = 0; i < o.steps; ++i) {
    step.train(batch);
    ends.emplace_back(device).record();
  }
  std::vector<double> seconds;
  for (size_t i = 1; i < ends.size(); ++i) {
    seconds.push_back(ends[i].seconds_since(ends[i - 1]));
  }
  std::ranges::sort(seconds);
  const double median = seconds[seconds.size() / 2];
  const double rate = static_cast<double>(o.batch) / median;
  const double flops = 6.0 * static_cast<double>(summarize(model, {o.batch, size, size, 3}).multiply_adds);
  const nlohmann::json result = {{"model", o.model},
                                 {"size", size},
                                 {"batch", o.batch},
                                 {"precision", name(precision)},
                                 {"device", device.string()},
                                 {"device_name", device_api::describe(device).name},
                                 {"threads", omp_get_max_threads()},
                                 {"allow_nondeterministic", o.plans.nondeterministic},
                                 {"allow_runtime_compilation", o.plans.runtime_compilation},
                                 {"steps", o.steps},
                                 {"images_per_second", rate},
                                 {"median_ms", median * 1e3},
                                 {"fastest_ms", seconds.front() * 1e3},
                                 {"slowest_ms", seconds.back() * 1e3},
                                 {"gflops_per_second", flops / median * 1e-9},
                                 {"pool_peak_bytes", device_api::memory_use(device).peak_bytes},
                                 {"peak_memory_bytes", peak_resident_bytes()}};
  fmt::print(
      "{} {}x{} batch {} {} on {}: {:.1f} img/s, median {:.2f} ms ({:.2f} to {:.2f}), {:.0f} GFLOP/s, peak memory {} MiB\n",
      o.model, size, size, o.batch, name(precision), device.string(), rate, median * 1e3, seconds.front() * 1e3,
      seconds.back() * 1e3, flops / median * 1e-9, peak_resident_bytes() >> 20);
  if (!o.json.empty()) {
    std::ofstream file(o.json);
    file << result.dump(2) << "\n";
    if (!file.flush()) {
      fail("cannot write {}", o.json);
    }
  }
  return 0;
}

}  // namespace
}  // namespace residua

int main(int argc, char** argv) {
  residua::show_warnings();
  residua::Options o;
  CLI::App app("Times whole training steps on synthetic images.", "step-bench");
  app.option_defaults()->always_capture_default();
  residua::add_version_flag(app);
  app.add_option("-m,--model", o.model, "name of the network; train-imagenet --list-models lists them");
  app.add_option("--shortcut", o.shortcut, "shortcut of residual blocks: A, B or C (default: depends on the model)");
  app.add_option("--size", o.size, "side of the input in pixels (default: 224, or 32 for a CIFAR network)")
      ->check(CLI::Range(8, 4096));
  app.add_option("-b,--batch-size", o.batch, "images per step")->check(CLI::Range(1, 1 << 20));
  app.add_option("--classes", o.classes, "number of classes (default: 1000, or 10 for a CIFAR network)")
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--precision", o.precision, "data type of activations: auto, fp32, bf16 or fp16");
  app.add_option("--device", o.device, "device to run on: auto, cpu, cuda or cuda:N");
  app.add_option("--cuda-graph", o.cuda_graph, "replay the training step as one CUDA graph")
      ->check(CLI::IsMember({"on", "off"}));
  app.add_flag("--allow-nondeterministic", o.plans.nondeterministic, "also use nondeterministic CUDA convolutions");
  app.add_flag("--allow-runtime-compilation", o.plans.runtime_compilation,
               "also use CUDA convolutions that cuDNN compiles at run time");
  app.add_option("--threads", o.threads, "compute threads of the CPU device; 0: one per core")->check(CLI::Range(0, 1024));
  app.add_option("--warmup", o.warmup, "number of untimed steps at the start")->check(CLI::Range(0, 1000000));
  app.add_option("--steps", o.steps, "number of timed steps")->check(CLI::Range(1, 1000000));
  app.add_option("--json", o.json, "write the result to this JSON file");
  app.add_flag("--profile", o.profile, "print the time of each kernel and layer instead of the step's");
  app.add_flag("--explain-plans", o.explain_plans,
               "run only the warm-up steps, then print every plan of each convolution and matrix product with its time")
      ->excludes("--profile");
  try {
    app.parse(argc, argv);
    return residua::run_benchmark(o);
  } catch (const CLI::Success& success) {
    return app.exit(success);  // --help, --version
  } catch (const CLI::ParseError& error) {
    std::cerr << "step-bench: " << error.what() << "\n";
  } catch (const std::exception& error) {
    std::cerr << "step-bench: " << error.what() << "\n";
  }
  return 2;
}
