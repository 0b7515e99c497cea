#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/data/loader.h"
#include "core/evaluate/protocol.h"

namespace residua {

/// Images to evaluate on, as a protocol sees them: a loader for each of its passes, whose batches hold the same samples.
class EvaluationLoader {
 public:
  /// `protocol` must outlive this. `input_size` is the network's, in pixels a side. `options` are those of every loader, except
  /// for the view and the crop size, which are the protocol's. `batch_size` is for one view of `input_size`: where a sample has
  /// more pixels than that, a batch has fewer samples, and takes no more memory in any pass. The passes share the workers, and
  /// their bad images count once. Fails with UsageError on options that replace bad images, shuffle or drop the last batch.
  EvaluationLoader(const std::shared_ptr<const ImageSource>& source, const Protocol& protocol, int64_t input_size,
                   LoaderOptions options);

  /// Begins anew: each image once.
  void start();
  /// A batch of each pass, the same samples in all of them; empty at the end. They hold until the following call. Fails as
  /// Loader::next() does.
  std::span<const Batch* const> next();

  const Protocol& protocol() const { return protocol_; }
  size_t passes() const { return loaders_.size(); }
  /// Views of a sample in one pass, and in all of them.
  int64_t views(size_t pass) const { return loaders_[pass]->views_per_sample(); }
  int64_t views() const;
  const ImageSource& source() const { return loaders_.front()->source(); }
  DataErrors& errors() { return loaders_.front()->errors(); }
  const DataErrors& errors() const { return loaders_.front()->errors(); }

 private:
  const Protocol& protocol_;
  std::vector<std::unique_ptr<Loader>> loaders_;
  std::vector<const Batch*> batches_;  // of next()
};

}  // namespace residua
