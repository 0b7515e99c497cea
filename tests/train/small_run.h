#pragma once

#include <atomic>
#include <csignal>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/run/run_folder.h"
#include "core/train/run_setup.h"
#include "core/train/trainer.h"

namespace residua::test {

inline const std::sig_atomic_t kNeverStop = 0;

/// Keeps what the trainer tells, and does what a test wants done at such a moment.
class Recorder final : public RunObserver {
 public:
  void trained(const TrainRecord& record, int64_t total_iterations, double seconds_left) override;
  void evaluated(const EvaluationRecord& record) override;
  void note(const std::string& text) override { notes.push_back(text); }

  std::function<void(const TrainRecord&)> on_trained = [](const TrainRecord&) {};
  std::function<void(const EvaluationRecord&)> on_evaluated = [](const EvaluationRecord&) {};
  std::vector<TrainRecord> steps;
  std::vector<EvaluationRecord> validations;
  std::vector<EvaluationRecord> evaluations;  // of other images
  std::vector<int64_t> totals;                // that `trained` came with
  std::vector<std::string> notes;
};

/// A small run, made of its settings as train-imagenet makes one: ResNet-20 on 64 synthetic shapes of 16 x 16 pixels in 4
/// classes, in batches of 16; 6 iterations and a validation of 64 images each 3, on this thread alone.
class SmallRun {
 public:
  explicit SmallRun(const std::string& folder);
  SmallRun(const SmallRun&) = delete;
  SmallRun& operator=(const SmallRun&) = delete;

  /// Sets a setting as a command line does.
  SmallRun& set(const std::string& name, const Words& words);
  SmallRun& resume(const std::string& file) {
    checkpoint = file;
    return *this;
  }

  /// Made by the first call, from what was set until then.
  Trainer& trainer();
  Network& network();
  /// Once the trainer is made.
  const RunFolder& folder() const { return *folder_; }
  int train(const volatile std::sig_atomic_t& stop = kNeverStop) { return trainer().train(stop); }

  RunConfig config;
  Settings settings;
  std::shared_ptr<const ImageSource> training;    // null: as the settings say
  std::shared_ptr<const ImageSource> validation;  // likewise
  std::shared_ptr<const ImageSource> test;        // null: none, unless the settings hold images out
  bool validates = true;
  std::string checkpoint;
  std::vector<ChangedSetting> changes;
  volatile std::sig_atomic_t* save_request = nullptr;
  Communicator* ranks = nullptr;  // null: this run alone
  Recorder observer;

 private:
  void make_network();

  std::optional<Network> network_;
  std::unique_ptr<RunFolder> folder_;
  std::unique_ptr<Trainer> trainer_;
};

/// A source that calls `on_read` with the number of reads so far and the image's index before each read.
class WatchedSource final : public ImageSource {
 public:
  using OnRead = std::function<void(int64_t reads, int64_t image)>;
  WatchedSource(std::shared_ptr<const ImageSource> source, OnRead on_read)
      : source_(std::move(source)), on_read_(std::move(on_read)) {}
  int64_t size() const override { return source_->size(); }
  const std::vector<std::string>& class_names() const override { return source_->class_names(); }
  int32_t label(int64_t i) const override { return source_->label(i); }
  std::string name(int64_t i) const override { return source_->name(i); }
  std::optional<ImageSize> fixed_size() const override { return source_->fixed_size(); }
  void read(int64_t i, EncodedImage& out) const override {
    on_read_(reads_++, i);
    source_->read(i, out);
  }

 private:
  const std::shared_ptr<const ImageSource> source_;
  const OnRead on_read_;
  mutable std::atomic<int64_t> reads_ = 0;
};

/// A source under other class names.
class RenamedSource final : public ImageSource {
 public:
  RenamedSource(std::shared_ptr<const ImageSource> source, std::vector<std::string> class_names)
      : source_(std::move(source)), class_names_(std::move(class_names)) {}
  int64_t size() const override { return source_->size(); }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  int32_t label(int64_t i) const override { return source_->label(i); }
  std::string name(int64_t i) const override { return source_->name(i); }
  std::optional<ImageSize> fixed_size() const override { return source_->fixed_size(); }
  void read(int64_t i, EncodedImage& out) const override { source_->read(i, out); }

 private:
  const std::shared_ptr<const ImageSource> source_;
  const std::vector<std::string> class_names_;
};

/// The checkpoint of the highest iteration; "" if there is none.
std::string newest_checkpoint(const std::string& folder);

/// The records of a type in a folder's log.
std::vector<nlohmann::json> log_of(const std::string& folder, const std::string& type);
/// The same without their durations, which no two runs share.
std::vector<nlohmann::json> timeless_log_of(const std::string& folder, const std::string& type);
/// One number of each of them.
std::vector<double> logged(const std::string& folder, const std::string& type, const std::string& key);

/// The source's images as a batch that is neither moved nor mirrored.
Batch batch_of(const ImageSource& source, const std::vector<int64_t>& images);

/// -log of the softmax's share at `label`, with label smoothing, computed in double.
double cross_entropy(std::span<const float> logits, int32_t label, double smoothing);

/// A file of weights measured on one image after the other by the network's forward pass alone. `scores` are those of the
/// image whose input is x: by default the network's answer.
struct Measured {
  double loss = 0;
  double top1_error = 0;  // %
};
using Scores = std::function<std::vector<float>(Module& module, const Tensor& x)>;
std::vector<float> answer(Module& module, const Tensor& x);
Measured measured_one_by_one(const std::string& weights, const ImageSource& images, const Scores& scores = answer);

}  // namespace residua::test
