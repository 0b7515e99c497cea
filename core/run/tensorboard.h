#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/io/append_file.h"

namespace residua {

/// Scalars for TensorBoard, in an event file (events.out.tfevents.*) of a run's folder: TFRecord frames, each an encoded
/// tensorflow.Event of a few fields. A folder may hold several files; a resumed run adds one.
/// Every member throws Error that names the file and the system's reason.
class TensorBoardWriter {
 public:
  /// Starts a file in `folder`. With `resumed_step` >= 0 TensorBoard is told to forget what earlier files say of later steps.
  explicit TensorBoardWriter(const std::string& folder, int64_t resumed_step = -1);

  /// One point of the curve `tag` ("train/loss"), written at once.
  void scalar(std::string_view tag, int64_t step, double value);

  const std::string& path() const { return file_.path(); }

 private:
  void write_event(std::string_view event);

  AppendFile file_;
};

/// CRC-32C (Castagnoli) of the bytes. RFC 3720, appendix B.4.
uint32_t crc32c(std::string_view bytes);

}  // namespace residua
