#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/data/loader.h"
#include "core/evaluate/protocol.h"

namespace residua {

/// Loads images for an evaluation protocol: one loader per pass, with the same samples in each batch.
class EvaluationLoader {
 public:
  /// `input_size` is the side of the network's input in pixels. `options` apply to every loader,
  /// but the view and the crop size come from the protocol. `batch_size` counts views of `input_size`: if samples have more
  /// pixels, batches have fewer samples, so that no pass needs more memory. If sizes of views vary with those of images, a
  /// batch has one sample. The passes share the workers, and a bad image counts once. `average` says how the evaluator combines
  /// a sample's views. Fails with UsageError on options that replace bad images, shuffle or drop the last batch.
  EvaluationLoader(const std::shared_ptr<const ImageSource>& source, const Protocol& protocol, int64_t input_size,
                   LoaderOptions options, Average average = Average::softmax);

  /// Starts an evaluation of each image once.
  void start();
  /// Returns one batch per pass, with the same samples; empty at the end. The batches are valid until the next call. Fails as
  /// Loader::next() does.
  std::span<const Batch* const> next();

  Average average() const { return average_; }
  /// Whether sizes of views vary with those of images.
  bool sizes_vary() const;
  size_t passes() const { return loaders_.size(); }
  /// Threads that may load for all passes.
  int64_t most_workers() const;
  /// Views of a sample in one pass, and in all passes.
  int64_t views(size_t pass) const { return loaders_[pass]->views_per_sample(); }
  int64_t views() const;
  const ImageSource& source() const { return loaders_.front()->source(); }
  DataErrors& errors() { return loaders_.front()->errors(); }
  const DataErrors& errors() const { return loaders_.front()->errors(); }

 private:
  const Average average_;
  std::vector<std::unique_ptr<Loader>> loaders_;
  std::vector<const Batch*> batches_;  // the result of next()
};

}  // namespace residua
