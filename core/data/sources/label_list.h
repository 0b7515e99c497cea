#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace residua {

/// Images that a text file lists with their labels.
struct LabelList {
  std::vector<std::string> files;
  std::vector<int32_t> labels;
  std::vector<std::string> class_names;
  std::string note;  // how the labels are read
};

/// Reads a file with a line "name label" for each image. The label is the last word: the name of a class or, if not all labels
/// are names, the position of the class in `class_names`, from 0, as in Caffe's val.txt. Without `class_names` the labels must
/// be names: the classes are these, sorted. Fails with UsageError on any other line, on an image that is listed twice, and on a
/// label that is neither.
LabelList read_label_list(const std::filesystem::path& list, std::vector<std::string> class_names);

}  // namespace residua
