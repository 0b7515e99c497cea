#include "core/data/input_options.h"

#include <filesystem>

#include "core/base/join.h"

namespace residua {
namespace {

/// A run that goes on may name a file that is gone: its own weights have the mean.
bool names_a_file(const std::string& word) {
  return word.ends_with(".safetensors") || word.find('/') != std::string::npos || std::filesystem::is_regular_file(word);
}

void declare_mean(Settings& s, InputOptions& o) {
  const std::string name = "mean";
  const std::string wanted = kWantedMean;
  const auto set = [&o, name, wanted](const Words& words) {
    if (words.empty()) {
      o.mean = MeanKind::by_source;
    } else if (words.size() == 1 && (words[0] == "pixel" || words[0] == "channel")) {
      o.mean = words[0] == "pixel" ? MeanKind::pixel : MeanKind::channel;
    } else if (words.size() == 3) {
      for (size_t i = 0; i < 3; ++i) {
        o.mean_values[i] = config_detail::parse_number(name, words[i], between(0, 1), wanted);
      }
      o.mean = MeanKind::values;
    } else if (words.size() == 1 && names_a_file(words[0])) {
      o.mean_file = words[0];
      o.mean = MeanKind::file;
    } else {
      fail_setting(name, join(words, ","), wanted);
    }
  };
  const auto get = [&o]() -> Words {
    switch (o.mean) {
      case MeanKind::by_source: return {};
      case MeanKind::pixel: return {"pixel"};
      case MeanKind::channel: return {"channel"};
      case MeanKind::file: return {o.mean_file};
      case MeanKind::values: break;
    }
    Words words;
    for (const double value : o.mean_values) {
      words.push_back(fmt::format("{}", value));
    }
    return words;
  };
  s.add(
      {.name = name,
       .help = "Mean to subtract from each image. pixel: the training set's mean image (section 3.4 of the paper). channel: "
               "its mean per channel. R,G,B: these values, each from 0 to 1. FILE: the mean image in a safetensors file, such "
               "as a run's weights.",
       .wanted = wanted,
       .default_note = "that of --weights, if given; else pixel if all images have the size of the input, channel if they all "
                       "have another size, and ImageNet's mean per channel if sizes vary",
       .placeholder = "pixel|channel|R,G,B|FILE",
       .kind = WordKind::number,
       .list = true,
       .set = set,
       .get = get});
}

}  // namespace

void declare(Settings& s, InputOptions& o) {
  s.choice("augment", o.view, Registry<ViewKind>::names(), "Augmentation of training images. " + help_of_kinds<ViewKind>());
  o.views.declare(s);
  s.number("crop-size", o.crop_size, between(8, 4096), "Side of the network's input in pixels.")
      .default_is("the images' own size, with Fashion-MNIST padded to 32");
  declare_mean(s, o);
  s.numbers("std", o.std, between(1e-4, 1), "Standard deviation to divide each channel by, each from 0.0001 to 1.")
      .shown_as("R,G,B")
      .checked_by([&o] {
        if (!o.std.empty() && o.std.size() != 3) {
          std::vector<std::string> words;
          for (const double value : o.std) {
            words.push_back(fmt::format("{}", value));
          }
          fail_setting("std", join(words, ","), "three numbers R,G,B");
        }
      })
      .default_is("that of the same images as the mean's");
  s.flag("no-shuffle", o.no_shuffle, "Read the training images in the data set's order in every epoch.");
}

}  // namespace residua
