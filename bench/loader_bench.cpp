// loader-bench: the speed of loading a folder of photos, stage by stage on one thread, and of the whole loader.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/data/codecs/decode.h"
#include "core/data/loader.h"
#include "core/data/source.h"
#include "core/data/subset.h"
#include "core/io/atomic_file.h"
#include "core/io/read_file.h"
#include "tools/cli/run_app.h"

namespace residua {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string folder;
  std::string view = "random-resized-crop";
  int64_t crop_size = 224;
  std::vector<int64_t> workers = {1, 2};
  int64_t images = 0;
  double seconds = 2;
  int rounds = 3;
  std::string json;
};

/// The images anywhere in a folder, all of one class.
class Photos final : public ImageSource {
 public:
  explicit Photos(const std::string& folder) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
      if (entry.is_regular_file() && is_image(entry.path().string())) {
        files_.push_back(entry.path().string());
      }
    }
    if (files_.empty()) {
      fail_usage("{} has no images", folder);
    }
    std::ranges::sort(files_);
  }
  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  int32_t label(int64_t /*i*/) const override { return 0; }
  std::string name(int64_t i) const override { return files_[static_cast<size_t>(i)]; }
  std::optional<ImageSize> fixed_size() const override { return std::nullopt; }
  void read(int64_t i, EncodedImage& out) const override {
    read_file(name(i), out.storage);
    out.set_file();
  }

 private:
  static bool is_image(const std::string& path) {
    std::vector<uint8_t> bytes;
    read_file(path, bytes);
    try {
      image_size(bytes, path);
      return true;
    } catch (const Error&) {
      return false;
    }
  }

  std::vector<std::string> files_;
  std::vector<std::string> class_names_{"photo"};
};

std::shared_ptr<const ImageSource> open(const std::string& folder) {
  try {
    return open_source({}, "auto", folder, Split::train);
  } catch (const UsageError&) {  // not a data set
    return std::make_shared<const Photos>(folder);
  }
}

/// The first `images` of a source. Few are taken several times: at the end of an epoch some workers have nothing to do.
std::shared_ptr<const ImageSource> epoch_of(const std::shared_ptr<const ImageSource>& source, int64_t images) {
  constexpr int64_t kLeast = 1000;
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < (kLeast + images - 1) / images * images; ++i) {
    indices.push_back(i % images);
  }
  return std::make_shared<const Subset>(source, std::move(indices));
}

/// What one thread does for an image, up to and including a stage.
enum class Stage : uint8_t { read, decode_all, decode_region, resize };

class OneThread {
 public:
  OneThread(const ImageSource& photos, const Options& o)
      : photos_(photos), view_(make_view(o.view, o.crop_size)), out_(static_cast<size_t>(o.crop_size * o.crop_size * 3)) {}

  void load(Stage stage, int64_t i, int64_t epoch) {
    photos_.read(i, encoded_);
    if (stage == Stage::read) {
      return;
    }
    if (stage == Stage::decode_all) {
      decode(encoded_, photos_.name(i), whole, image_);
      return;
    }
    PlacedView placed;
    const auto choose = [&](ImageSize size) {
      Random random(0, RandomPurpose::augmentation, static_cast<uint64_t>(epoch), static_cast<uint64_t>(i));
      placed = view_->place(size, random, 0);
      return source_region(placed.resize);
    };
    decode(encoded_, photos_.name(i), choose, image_);
    if (stage == Stage::resize) {
      scale(placed.resize, image_, out_.data(), resize_);
    }
  }

 private:
  const ImageSource& photos_;
  const std::unique_ptr<const ViewPolicy> view_;
  EncodedImage encoded_;
  Image image_;
  ResizeMemory resize_;
  std::vector<uint8_t> out_;
};

/// Images per second of epochs that `run` does one after the other, each of `images` images, for at least `seconds`.
double speed(int64_t images, double seconds, const std::function<void(int64_t epoch)>& run) {
  const auto begin = std::chrono::steady_clock::now();
  double passed = 0;
  int64_t epoch = 0;
  for (; passed < seconds; ++epoch) {
    run(epoch);
    passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  return static_cast<double>(epoch * images) / passed;
}

struct Row {
  std::string name;
  std::function<void(int64_t epoch)> run;
  std::vector<double> speeds = {};

  double median() const {
    std::vector<double> sorted = speeds;
    std::ranges::sort(sorted);
    return sorted[sorted.size() / 2];
  }
};

void read_epoch(Loader& loader, int64_t epoch) {
  loader.start(epoch);
  while (loader.next() != nullptr) {
  }
}

int run_benchmark(const Options& o) {
  constexpr int64_t kBatch = 20;
  const std::shared_ptr<const ImageSource> source = open(o.folder);
  const int64_t images = o.images > 0 ? std::min(o.images, source->size()) : source->size();
  const auto photos = epoch_of(source, images);
  OneThread thread(*photos, o);
  std::vector<Row> rows;
  for (const auto& [name, stage] :
       std::to_array<std::pair<const char*, Stage>>({{"read", Stage::read},
                                                     {"read, decode all", Stage::decode_all},
                                                     {"read, decode region", Stage::decode_region},
                                                     {"read, decode region, resize", Stage::resize}})) {
    rows.push_back({name, [&thread, &photos, stage = stage](int64_t epoch) {
                      for (int64_t i = 0; i < photos->size(); ++i) {
                        thread.load(stage, i, epoch);
                      }
                    }});
  }
  for (const int64_t workers : o.workers) {
    const auto loader = std::make_shared<Loader>(photos, LoaderOptions{.batch_size = kBatch,
                                                                       .crop_size = o.crop_size,
                                                                       .view = make_view(o.view, o.crop_size),
                                                                       .shuffle = true,
                                                                       .workers = workers});
    rows.push_back({fmt::format("loader, {} worker{}", workers, workers == 1 ? "" : "s"),
                    [loader](int64_t epoch) { read_epoch(*loader, epoch); }});
  }

  rows.front().run(0);  // files come from the page cache from now on
  for (int round = 0; round < o.rounds; ++round) {
    for (Row& row : rows) {
      row.speeds.push_back(speed(photos->size(), o.seconds, row.run));
    }
  }
  const double regions = rows[2].median();
  nlohmann::ordered_json report = {{"images", images}, {"view", o.view}, {"crop_size", o.crop_size}};
  fmt::print("{} images, {} to {} pixels, median of {} rounds\n", images, o.view, o.crop_size, o.rounds);
  fmt::print("{:<30}{:>10}{:>10}{:>22}\n", "", "img/s", "ms", "of decoding regions");
  for (const Row& row : rows) {
    const double median = row.median();
    fmt::print("{:<30}{:>10.0f}{:>10.3f}{:>20.0f} %\n", row.name, median, 1e3 / median, 100 * median / regions);
    report["images_per_second"][row.name] = row.speeds;
  }
  if (!o.json.empty()) {
    atomic_write(o.json, report.dump(1) + "\n");
  }
  return 0;
}

}  // namespace
}  // namespace residua

int main(int argc, char** argv) {
  residua::Options o;
  CLI::App app("Measures how fast a folder of photos is loaded: each stage on one thread, then the whole loader.",
               "loader-bench");
  app.add_option("DIR", o.folder, "a data set, whose training images are loaded, or a folder with images at any depth")
      ->required()
      ->check(CLI::ExistingDirectory);
  app.add_option("--augment", o.view, "augmentation, as in train-imagenet")->capture_default_str();
  app.add_option("--crop-size", o.crop_size, "side of the network's input in pixels")
      ->check(CLI::Range(int64_t{1}, residua::kMaxCropSize))
      ->capture_default_str();
  app.add_option("--workers", o.workers, "threads of the loader, one row each")
      ->delimiter(',')
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--images", o.images, "use the first N images alone; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--seconds", o.seconds, "time of each row in each round")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--rounds", o.rounds, "rounds; a figure is their median")->check(CLI::Range(1, 100))->capture_default_str();
  app.add_option("--json", o.json, "write the figures of all rounds to this file");
  return residua::run_app(app, argc, argv, [&] { return residua::run_benchmark(o); });
}
