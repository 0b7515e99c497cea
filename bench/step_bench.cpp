// step-bench: the time of a whole training step (input, forward, loss, backward, update) on synthetic images, in one process or
// in several ranks that a launcher starts.
#include <fmt/format.h>
#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "bench/ranks/rank_times.h"
#include "bench/ranks/step_clock.h"
#include "bench/ranks/timed_ranks.h"
#include "bench/step/tables.h"
#include "bench/step/timed_steps.h"
#include "core/device/device_api.h"
#include "core/device/precision.h"
#include "core/device/profile.h"
#include "core/distributed/connect.h"
#include "core/distributed/processors.h"
#include "core/io/atomic_file.h"
#include "core/nn/initialization.h"
#include "core/nn/parameter_store.h"
#include "core/nn/summary.h"
#include "core/optim/sgd.h"
#include "core/train/run_config.h"
#include "core/train/train_step.h"
#include "models/network.h"
#include "tools/cli/ranks.h"
#include "tools/cli/run_app.h"

namespace residua::bench {
namespace {

struct Options {
  std::string model = "resnet18";
  std::string shortcut;
  std::optional<int64_t> size = {};
  int64_t batch = 32;  // of all ranks together
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
  bool rehearse = false;
  bool compare_overlap = false;
};

/// A rank's part of a batch.
Batch synthetic_batch(int64_t count, int64_t whole, int64_t size, int64_t classes) {
  std::mt19937_64 random(std::random_device{}());
  Batch batch;
  batch.images = empty({count, size, size, 3}, DType::u8);
  std::ranges::generate(batch.images.span<uint8_t>(), [&] { return static_cast<uint8_t>(random()); });
  batch.labels = empty({count}, DType::i32);
  std::ranges::generate(batch.labels.span<int32_t>(),
                        [&] { return static_cast<int32_t>(random() % static_cast<uint64_t>(classes)); });
  batch.views = zeros({count, sizeof(SampleView)}, DType::u8);
  batch.height = batch.width = size;
  batch.whole = whole;
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

Network network_of(const Options& o, DType precision) {
  ModelOptions chosen;
  Settings settings;
  declare(settings, chosen);
  settings.assign("model", {o.model}, Layer::command_line);
  if (!o.shortcut.empty()) {
    settings.assign("shortcut", {o.shortcut}, Layer::command_line);
  }
  const std::vector<std::string> classes(static_cast<size_t>(o.classes.value_or(0)));
  return make_network(chosen, {.size = o.size.value_or(0), .class_names = classes}, precision);
}

/// Prints the figures of all ranks, and writes them to the file.
void report(const Options& o, const nlohmann::json& about, const TimedSteps& timed, double flops, Communicator& all) {
  const RankTimes times = of_all_ranks(all, timed.steps);
  const nlohmann::json overlap = o.compare_overlap ? compare_overlap(times.seconds, timed.held, all) : nlohmann::json();
  const int64_t peak_bytes = largest(all, peak_resident_bytes());
  if (!all.leads()) {
    return;
  }
  const double step = median(times.seconds);
  const auto [fastest, slowest] = std::ranges::minmax(times.seconds);
  const double rate = static_cast<double>(o.batch) / step;
  nlohmann::json result = about;
  result.update({{"images_per_second", rate},
                 {"median_ms", step * 1e3},
                 {"fastest_ms", fastest * 1e3},
                 {"slowest_ms", slowest * 1e3},
                 {"gflops_per_second", flops / step * 1e-9},
                 {"peak_memory_bytes", peak_bytes}});
  std::string waiting;
  if (!times.waiting_shares.empty()) {
    double sum = 0;
    for (const double share : times.waiting_shares) {
      sum += share;
    }
    const double mean = sum / static_cast<double>(all.world());
    const auto [least, most] = std::ranges::minmax(times.waiting_shares);
    result["waiting_share"] = mean;
    result["waiting_shares"] = times.waiting_shares;
    waiting = fmt::format(", {:.1f} % of it waiting for the ranks ({:.1f} to {:.1f})", 100 * mean, 100 * least, 100 * most);
  } else if (!all.alone()) {
    waiting = ", the time waiting for the ranks is unknown: --cuda-graph off shows it";
  }
  if (o.rehearse || !times.waiting_shares.empty()) {
    result["exchange"] = sum_times(timed.steps);
  }
  if (o.compare_overlap) {
    result["overlap"] = overlap;
  }
  fmt::print(
      "{} {}x{} batch {} {} on {}{}: {:.1f} img/s, median {:.2f} ms ({:.2f} to {:.2f}){}, {:.0f} GFLOP/s, peak memory {} MiB\n",
      o.model, about["size"].get<int64_t>(), about["size"].get<int64_t>(), o.batch, about["precision"].get<std::string>(),
      about["device"].get<std::string>(), all.alone() ? "" : fmt::format(", {} ranks", all.world()), rate, step * 1e3,
      fastest * 1e3, slowest * 1e3, waiting, flops / step * 1e-9, peak_bytes >> 20);
  if (!o.json.empty()) {
    atomic_write(o.json, result.dump(2) + "\n");
  }
}

int run_benchmark(const Options& o, Ranks& ranks) {
  const Launch& launch = ranks.launch();
  if (o.batch % launch.world != 0) {
    fail_setting("batch-size", fmt::format("{}", o.batch), fmt::format("a multiple of {}, the number of ranks", launch.world));
  }
  if (o.rehearse && launch.world > 1) {
    fail_setting("rehearse-ranks", fmt::format("{} ranks", launch.world), "one process");
  }
  if (o.compare_overlap && launch.world == 1) {
    fail_setting("compare-overlap", "one process", "several ranks, for example mpirun -n 2");
  }
  const Device device = device_of_rank(o.device, launch);
  if ((o.rehearse || o.compare_overlap) && o.cuda_graph == "on" && device_api::can_capture(device)) {
    fail_setting(o.rehearse ? "rehearse-ranks" : "compare-overlap", "a step that is replayed as a graph", "--cuda-graph off");
  }
  const DType precision = compute_type(from_text<Precision>("precision", o.precision), device);
  device_api::set_plan_options(device, o.plans);
  Communicator& all = ranks.connect(device, TrainingOptions{}.rank_timeout);
  if (o.threads > 0) {
    omp_set_num_threads(o.threads);
  } else if (!all.alone()) {
    omp_set_num_threads(static_cast<int>(processors_of_rank(all).count));
  }
  const Network network = network_of(o, precision);
  const int64_t size = network.input.size;
  Module& model = *network.module;
  ParameterStore store(model, {.device = device, .compute = precision});
  initialize(store, 0);  // alike on all ranks
  GradScaler scaler(device, precision == DType::f16 ? std::optional(LossScaling{}) : std::nullopt);
  Sgd sgd(store, scaler);
  scaler.set_learning_rate(0.01f);
  const InputFormat input{.channels = network.input_channels,
                          .dtype = precision,
                          .mean = full({3}, 127.5f, DType::f32, device),
                          .inverse_std = full({3}, 1.0f / 64.0f, DType::f32, device)};
  StepClock clock(device);
  TimedRanks timed(all, clock, o.rehearse ? 2 : all.world());
  TrainStep step(model, store, scaler, sgd,
                 {.input = input,
                  .capture = o.cuda_graph == "off" ? Capture::off : Capture::on,
                  .ranks = timed.alone() ? nullptr : &timed});
  const Batch batch = synthetic_batch(o.batch / all.world(), o.batch, size, network.classes());
  const device_api::Pinned pinned(device, batch.images.data(), batch.images.bytes());  // as in the loader

  const int untimed = o.explain_plans ? std::max(o.warmup, 1) : o.warmup;
  for (int i = 0; i < untimed; ++i) {
    step.train(batch);
  }
  device_api::synchronize(device);
  if (o.explain_plans) {
    if (all.leads()) {
      print_plans(device);
    }
    return 0;
  }
  if (o.profile) {
    const profile::Recorder recorder;
    for (int i = 0; i < o.steps; ++i) {
      step.train(batch);
    }
    if (all.leads()) {
      print_profile(recorder, o.steps);
    }
    return 0;
  }
  const TimedSteps found = time_steps(step, batch, o.steps, o.compare_overlap, clock, timed);
  all.check();
  const nlohmann::json about = {{"model", o.model},
                                {"size", size},
                                {"batch", o.batch},
                                {"precision", name(precision)},
                                {"device", device.string()},
                                {"device_name", device_api::describe(device).name},
                                {"ranks", all.world()},
                                {"threads", omp_get_max_threads()},
                                {"allow_nondeterministic", o.plans.nondeterministic},
                                {"allow_runtime_compilation", o.plans.runtime_compilation},
                                {"steps", o.steps},
                                {"pool_peak_bytes", device_api::memory_use(device).peak_bytes}};
  report(o, about, found, 6.0 * static_cast<double>(summarize(model, {o.batch, size, size, 3}).multiply_adds), all);
  return 0;
}

}  // namespace
}  // namespace residua::bench

int main(int argc, char** argv) {
  residua::bench::Options o;
  residua::Ranks ranks;
  CLI::App app("Times whole training steps on synthetic images, in one process or in the ranks that a launcher starts.",
               "step-bench");
  app.option_defaults()->always_capture_default();
  app.add_option("-m,--model", o.model, "name of the network; train-imagenet --list-models lists them");
  app.add_option("--shortcut", o.shortcut, "shortcut of residual blocks: A, B or C (default: depends on the model)");
  app.add_option("--size", o.size, "side of the input in pixels (default: 224, or 32 for a CIFAR network)")
      ->check(CLI::Range(8, 4096));
  app.add_option("-b,--batch-size", o.batch, "images per step, of all ranks together")->check(CLI::Range(1, 1 << 20));
  app.add_option("--classes", o.classes, "number of classes (default: 1000, or 10 for a CIFAR network)")
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--precision", o.precision, "data type of activations: auto, fp32, bf16 or fp16");
  app.add_option("--device", o.device, "device to run on: auto, cpu, cuda or cuda:N");
  app.add_option("--cuda-graph", o.cuda_graph, "replay the training step as one CUDA graph")
      ->check(CLI::IsMember({"on", "off"}));
  app.add_flag("--allow-nondeterministic", o.plans.nondeterministic, "also use nondeterministic CUDA convolutions");
  app.add_flag("--allow-runtime-compilation", o.plans.runtime_compilation,
               "also use CUDA convolutions that cuDNN compiles at run time");
  app.add_option("--threads", o.threads, "compute threads of the CPU device; 0: one per core, which ranks divide")
      ->check(CLI::Range(0, 1024));
  app.add_option("--warmup", o.warmup, "number of untimed steps at the start")->check(CLI::Range(0, 1000000));
  app.add_option("--steps", o.steps, "number of timed steps")->check(CLI::Range(1, 1000000));
  app.add_option("--json", o.json, "write the result to this JSON file");
  app.add_flag("--rehearse-ranks", o.rehearse,
               "one process does what a rank does, without the others: --json says when each sum over the ranks could start");
  app.add_flag("--compare-overlap", o.compare_overlap,
               "of several ranks: after each timed step time another one whose sums over the ranks start only after the "
               "backward pass")
      ->excludes("--rehearse-ranks");
  app.add_flag("--profile", o.profile, "print the time of each kernel and layer instead of the step's");
  app.add_flag("--explain-plans", o.explain_plans,
               "run only the warm-up steps, then print every plan of each convolution and matrix product with its time")
      ->excludes("--profile");
  return residua::run_app(app, argc, argv, ranks, [&] { return residua::bench::run_benchmark(o, ranks); });
}
