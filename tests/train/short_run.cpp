#include "tests/train/short_run.h"

#include <cmath>
#include <filesystem>

#include "core/nn/state_dict.h"
#include "tests/data/image_fixtures.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

NamedArrays parameters_of(const ParameterStore& store) {
  NamedArrays arrays;
  for (const HostArray& weight : snapshot(store).weights) {
    arrays[weight.name] = weight.to_floats();
  }
  return arrays;
}

void set_all(SmallRun& run, const Flags& flags) {
  for (const auto& [name, words] : flags) {
    run.set(name, words);
  }
}

void write_set(const std::string& folder, const std::vector<std::string>& classes, int damaged) {
  for (const std::string& name : classes) {
    for (const char* split : {"train", "val"}) {
      const std::string path = folder + "/" + split + "/" + name;
      std::filesystem::create_directories(path);
      for (int i = 0; i < 8; ++i) {
        const bool bad = damaged > 0 && std::string(split) == "train";
        damaged -= bad ? 1 : 0;
        write_bytes(fmt::format("{}/{}.jpg", path, i),
                    bad ? "damaged" : with_orientation(encode_jpeg(photo_image(20, 24, static_cast<uint64_t>(i))), 6));
      }
    }
  }
}

}  // namespace

double norm(const NamedArrays& arrays, const std::string& name) {
  double sum = 0;
  for (const float x : arrays.at(name)) {
    sum += static_cast<double>(x) * static_cast<double>(x);
  }
  return std::sqrt(sum);
}

double norm(const NamedArrays& arrays) {
  double sum = 0;
  for (const auto& [name, values] : arrays) {
    sum += std::pow(norm(arrays, name), 2);
  }
  return std::sqrt(sum);
}

double ShortRun::distance() const {
  NamedArrays difference = last;
  for (auto& [name, values] : difference) {
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] -= first.at(name)[i];
    }
  }
  return norm(difference);
}

double ShortRun::rate_after(const std::vector<double>& errors, const std::string& patience) const {
  SmallRun run("no folder");
  set_all(run, flags);
  run.set("lr-patience", {patience});
  const auto schedule = make_schedule(run.config.schedule, run_length(run.config.training, 4), 16);
  for (const double error : errors) {
    schedule->observe(error);
  }
  return schedule->rate(0);
}

ShortRun short_run(const Flags& flags, const std::function<void(SmallRun&)>& prepare) {
  const TemporaryFolder folder;
  ShortRun result;
  result.flags = flags;
  SmallRun run(folder.path());
  run.training = nullptr;
  run.validation = nullptr;
  run.settings.assign({{"iterations", {"4"}}, {"log-every", {"1"}}, {"evaluate-every", {"1"}}}, Layer::file, "the short run");
  prepare(run);
  set_all(run, flags);
  result.capture = run.config.training.cuda_graph;
  result.plans = run.config.training.plans;
  try {
    ParameterStore& store = run.trainer().store();
    result.first = parameters_of(store);
    run.train();
    result.last = parameters_of(store);
    result.state = run_state(load_checkpoint(newest_checkpoint(folder.path())));
    result.metadata = load_safetensors_metadata(folder / kLastFile);
  } catch (const Error& error) {
    result.error = error.what();
    return result;
  }
  result.rates = logged(folder.path(), "train", "lr");
  result.epochs = logged(folder.path(), "train", "epoch");
  result.validation_losses = logged(folder.path(), "validation", "loss");
  for (const double images : logged(folder.path(), "clean_train", "images")) {
    result.clean_images.push_back(static_cast<int64_t>(images));
  }
  return result;
}

const std::string& image_folders() {
  static const TemporaryFolder folder;
  static const std::string path = [] {
    write_set(folder / "photos", {"people", "places"}, 2);
    write_set(folder / "drawings", {"castles", "clouds"}, 0);
    return folder.path();
  }();
  return path;
}

}  // namespace residua::test
