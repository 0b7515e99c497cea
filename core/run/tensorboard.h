#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/io/append_file.h"

namespace residua {

/// The names of TensorBoard's event files start with this.
inline constexpr const char* kEventFilePrefix = "events.out.tfevents.";

/// Writes scalars for TensorBoard to an event file in a run's folder. The file is a sequence of
/// TFRecord frames, each an encoded tensorflow.Event. A folder may hold several files; a resumed run adds one. Every member
/// throws Error, which names the file and the system's reason.
class TensorBoardWriter {
 public:
  /// Creates a file in `folder`. `resumed_step` >= 0 tells TensorBoard to discard later steps of earlier files.
  explicit TensorBoardWriter(const std::string& folder, int64_t resumed_step = -1);

  /// Writes one point of the curve `tag` ("train/loss") immediately.
  void scalar(std::string_view tag, int64_t step, double value);

  /// Writes the points that failed to be written.
  void flush() { file_.flush(); }

  const std::string& path() const { return file_.path(); }

 private:
  void write_event(std::string_view event);

  AppendFile file_;
};

/// CRC-32C (Castagnoli) of the bytes (RFC 3720, appendix B.4).
uint32_t crc32c(std::string_view bytes);

}  // namespace residua
