#include "core/train/run_config.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/join.h"
#include "core/config/auto_or_number.h"
#include "core/run/run_folder.h"
#include "models/recipes.h"

namespace residua {
namespace {

constexpr double kMost = std::numeric_limits<int32_t>::max();

/// "the command line's", "the file's", "the recipe's".
const char* of(Layer layer) {
  switch (layer) {
    case Layer::command_line: return "the command line's";
    case Layer::file: return "the file's";
    case Layer::recipe: return "the recipe's";
    case Layer::defaults: break;
  }
  return "the default";
}

/// lr-steps have the unit of the length given in the same layer, or of the run's length if they come from the command line. A
/// recipe's length does not set the unit of steps that a user gives.
void check_unit_of_steps(const Settings& s, const RunConfig& c) {
  const TrainingOptions& t = c.training;
  if (c.schedule.steps.empty() || (!t.epochs && !t.iterations)) {
    return;
  }
  const Layer steps = s.layer("lr-steps");
  const Layer length = s.layer(t.iterations ? "iterations" : "epochs");
  const bool in_iterations = t.iterations.has_value();
  const bool own_in_iterations =
      steps == Layer::command_line && length > Layer::recipe ? in_iterations : s.given("iterations", steps);
  if (own_in_iterations == in_iterations) {
    return;
  }
  const std::string got = join(s.find("lr-steps")->get(), ",");
  if (length == Layer::recipe && steps > Layer::recipe) {
    fail_setting("lr-steps", got,
                 "the run's length too: epochs if the steps are in epochs, iterations if they are in iterations");
  }
  fail_setting("lr-steps", got,
               fmt::format("steps in {}, the unit of the run's length; {} lr-steps are in {}: give lr-steps too",
                           in_iterations ? "iterations" : "epochs", of(steps), own_in_iterations ? "iterations" : "epochs"));
}

}  // namespace

void declare(Settings& s, FirstWeights& o) {
  s.choice("init", o.initialization, "Mode of He initialization: fan-in (the paper) or fan-out (torchvision).");
  s.flag(
      "zero-gamma", o.zero_gamma,
      "Start gamma of the last batch norm of each residual block at 0: each block starts as its shortcut (Goyal et al. 2017). "
      "Plain networks have no such norms.");
  s.text("weights", o.file, "Safetensors file with the initial weights, or with the weights to evaluate.")
      .without_result();  // its contents count, not its path
  s.flag("reset-classifier", o.reset_classifier,
         "Take all weights but the classifier from --weights, and initialize the classifier: for data with other classes.");
  s.text("freeze-until", o.freeze_until,
         "Train only what comes after this module, such as layer3. The weights of --weights up to it stay as they are. Batch "
         "norms among them use their running statistics.");
}

void declare(Settings& s, TrainingOptions& o) {
  s.number("batch-size", o.batch_size, between(1, 1 << 20), "Global batch size: the images of one optimizer step.").alias("b");
  s.number("accumulate", o.accumulate, between(1, 1 << 20),
           "Passes of one step: the batch goes through the network in N equal parts, whose gradients are summed. Takes "
           "less memory; the step stays that of the mean loss over the batch. Batch norm sees each part alone.");
  s.number("bn-group", o.bn_group, between(0, 1 << 20),
           "Ghost batch norm: training normalizes over groups of N images instead of over the batch; the last group may "
           "be smaller. The running statistics take in the mean over groups. 0: one group.");
  s.flag(
      "sync-bn", o.sync_bn,
      "With several processes, training normalizes over the images of all of them together instead of each over its own. Needs "
      "bn-group 0.");
  s.number("exact-bn", o.exact_bn, between(0, kMost),
           "Training images over which the batch-norm statistics are computed anew after the last step, instead of running "
           "averages; the last validation and the test use them. 0: none.");
  s.number("epochs", o.epochs, above(0), "Length of the run in epochs; fractions are allowed.");
  s.number("iterations", o.iterations, between(1, 1e12),
           "Length of the run in iterations; overrides epochs of the same layer: flags, file or recipe.");
  s.number("label-smoothing", o.label_smoothing, between(0, 1),
           "Label smoothing: the share of the target spread evenly over all classes, from 0 to 1.");
  s.choice("precision", o.precision,
           "Data type of activations and their gradients; weights and sums are always fp32. auto: bf16 if the device supports "
           "it, else fp32.")
      .chosen_by_run();
  s.text("device", o.device,
         "Device to run on: auto, cpu, cuda or cuda:N. auto uses a GPU if there is one; of several ranks, each uses its own.")
      .without_result();
  s.choice("cuda-graph", o.cuda_graph, "Whether to replay the training step as one CUDA graph.")
      .without_result()
      .same_on_all_ranks();
  s.flag("allow-nondeterministic", o.plans.nondeterministic,
         "Also use nondeterministic CUDA convolutions; results may differ in the last bits from run to run.")
      .without_result();
  s.flag("allow-runtime-compilation", o.plans.runtime_compilation,
         "Also use CUDA convolutions that cuDNN compiles at run time. Compiling takes about a minute for a network, and some "
         "of them are nondeterministic.")
      .without_result();
  s.flag(
       "deterministic", o.deterministic,
       "Make runs give the same bits. CUDA plans are chosen by a fixed rule instead of by timing, which may cost speed. On the "
       "CPU results depend on the number of threads: a resumed run must have as many as before.")
      .without_result()
      .same_on_all_ranks();
  s.add(auto_or_number(
            "threads", o.threads, between(0, 1024),
            "Compute threads of each process on the CPU. 0: one per core; ranks on the same machine divide the cores. "
            "auto: one per core, and fewer while other programs make that faster; the last bits then depend on them. Not for "
            "several ranks."))
      .without_result();
  declare_rank_timeout(s, o.rank_timeout);
  s.number("seed", o.seed, between(0, 1e15), "Random seed for initialization, shuffling and augmentation.").chosen_by_run();
}

namespace {

/// "10m" for minutes, "500" for iterations.
CheckpointInterval interval_of(const std::string& name, const std::string& word) {
  const std::string wanted = "a number of iterations, such as 500, or of minutes with m, such as 10m";
  if (word.ends_with('m')) {
    return {.minutes = config_detail::parse_number(name, word.substr(0, word.size() - 1), above(0), wanted)};
  }
  return {.iterations = config_detail::parse_whole(name, word, between(1, kMost), wanted)};
}

void declare_checkpoint_every(Settings& s, CheckpointInterval& interval) {
  const std::string name = "checkpoint-every";
  s.add({.name = name,
         .help = "Save the run's state this often between validations: in minutes with m, such as 10m, or in iterations, such "
                 "as 500. The run also saves with each validation, at the end, and when it is stopped.",
         .wanted = "iterations, or minutes with m",
         .set =
             [&interval, name](const Words& words) {
               interval = interval_of(name, config_detail::single(name, words, "one word: iterations, or minutes with m"));
             },
         .get = [&interval]() -> Words {
           return {interval.iterations > 0 ? fmt::format("{}", interval.iterations) : fmt::format("{}m", interval.minutes)};
         }})
      .without_result();
}

}  // namespace

void declare(Settings& s, OutputOptions& o) {
  s.text("output", o.folder, "Output folder for settings, logs, curves, weights and checkpoints.")
      .alias("o")
      .without_result()
      .default_is("runs/<model>-<data set>");
  s.text("resume", o.resume,
         "Resume a run. auto: from the newest checkpoint in the output folder that is not damaged, or from the start if there "
         "is none. FILE: from that checkpoint. Settings come from the config.toml beside the checkpoint unless --config names "
         "another file; flags "
         "override both.")
      .action();
  s.flag("overwrite", o.overwrite,
         "Remove a run that is already in the output folder, and start a new one. Without it, the program refuses.")
      .action();
  declare_checkpoint_every(s, o.checkpoint_every);
  s.number("keep-checkpoints", o.keep_checkpoints, between(1, kMost),
           "Number of checkpoints to keep. An older one is removed only once a newer one is safe on the disk.")
      .without_result();
  s.number("log-every", o.log_every, between(1, kMost), "Iterations between progress lines.")
      .without_result()
      .same_on_all_ranks();
  s.number("evaluate-every", o.evaluate_every, above(0), "Epochs between validations.");
  s.number("clean-train", o.clean_train, between(0, kMost),
           "Number of training images to evaluate at each validation, without augmentation and with the running batch-norm "
           "statistics. The same images each time; 0: none.")
      .chosen_by_run();
  s.text("trace", o.trace, "Write a timeline of steps 11 to 20 to this file, in Chrome's trace format. On the CPU device.")
      .without_result()
      .same_on_all_ranks();
}

void declare(Settings& s, RunConfig& c) {
  s.group("Data");
  declare(s, c.dataset);
  s.number("holdout", c.holdout, between(0, kMost),
           "Number of training images to hold out for validation, the same ones in every run. The validation split then serves "
           "as test set and is evaluated once, at the end. The paper holds out 5000 images of CIFAR-10.");
  declare(s, c.input);
  declare(s, c.loader);
  s.group("Model");
  declare(s, c.model);
  declare(s, c.weights);
  s.group("Training");
  s.choice("recipe", c.recipe, recipe_names(), "Named set of values for the settings that are not given.")
      .without_result()
      .default_is("photos if image sizes vary, else small-images");
  declare(s, c.training);
  declare(s, c.sgd);
  declare(s, c.schedule);
  declare(s, c.divergence);
  s.group("Evaluation");
  declare(s, c.evaluation);
  s.group("Output");
  declare(s, c.output);
}

void apply_recipe(Settings& s, RunConfig& c, bool photos) {
  if (c.recipe.empty()) {
    s.assign("recipe", {std::string(default_recipe(photos))}, Layer::recipe);
  }
  const Recipe& recipe = find_recipe(c.recipe);
  if (!c.output.has_settings || s.layer("recipe") == Layer::command_line) {
    s.assign(recipe.settings(), Layer::recipe, fmt::format("recipe {}", recipe.name));
  }
  settle(s, c);
}

void settle(Settings& s, RunConfig& c) {
  if (c.training.epochs && c.training.iterations) {
    s.reset(s.layer("epochs") > s.layer("iterations") ? "iterations" : "epochs");
  }
  if (c.schedule.rate_batch_size && s.layer("lr") > s.layer("lr-batch-size")) {
    s.reset("lr-batch-size");
  }
  if (c.schedule.warmup_epochs) {
    const Layer epochs = s.layer("warmup-epochs");
    const Layer iterations = s.layer("warmup-iterations");
    const bool in_iterations = iterations > epochs || (iterations == epochs && c.schedule.warmup_iterations > 0);
    s.reset(in_iterations ? "warmup-epochs" : "warmup-iterations");
  }
  check_unit_of_steps(s, c);
}

device_api::PlanOptions TrainingOptions::plan_options() const {
  device_api::PlanOptions options = plans;
  options.by_rule = deterministic;
  return options;
}

RunLength run_length(const TrainingOptions& o, int64_t iterations_per_epoch) {
  if (!o.epochs && !o.iterations) {
    fail_usage("the run has no length: set epochs or iterations");
  }
  const int64_t of_epochs = o.epochs ? std::llround(*o.epochs * static_cast<double>(iterations_per_epoch)) : 0;
  return {.total_iterations = o.iterations.value_or(std::max<int64_t>(1, of_epochs)),
          .iterations_per_epoch = iterations_per_epoch,
          .step_unit = o.iterations ? StepUnit::iterations : StepUnit::epochs};
}

std::string default_output(std::string_view model, const DatasetOptions& data) {
  return default_run_folder(model, data.name == "auto" ? folder_name(data.folder) : data.name);
}

}  // namespace residua
