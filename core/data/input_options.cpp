#include "core/data/input_options.h"

#include "core/base/join.h"

namespace residua {
namespace {

void declare_mean(Settings& s, InputOptions& o) {
  const std::string name = "mean";
  const std::string wanted = "pixel, channel, or three numbers R,G,B from 0 to 1";
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
    } else {
      fail_setting(name, join(words, ","), wanted);
    }
  };
  const auto get = [&o]() -> Words {
    switch (o.mean) {
      case MeanKind::by_source: return {};
      case MeanKind::pixel: return {"pixel"};
      case MeanKind::channel: return {"channel"};
      case MeanKind::values: break;
    }
    Words words;
    for (const double value : o.mean_values) {
      words.push_back(fmt::format("{}", value));
    }
    return words;
  };
  s.add({.name = name,
         .help = "What is subtracted from each image. pixel: the mean image of the training set (section 3.4 of the paper). "
                 "channel: its mean color. R,G,B: a color, from 0 to 1.",
         .wanted = wanted,
         .default_note = "pixel where all images have the size of the input, channel where they have one other size, else "
                         "ImageNet's mean color",
         .kind = WordKind::number,
         .list = true,
         .set = set,
         .get = get});
}

}  // namespace

void declare(Settings& s, InputOptions& o) {
  s.choice("augment", o.view, Registry<ViewKind>::names(), "How training images are varied. " + help_of_kinds<ViewKind>());
  o.views.declare(s);
  s.number("crop-size", o.crop_size, between(8, 4096), "Pixels of a side of the network's input.")
      .default_is("the size of the images");
  declare_mean(s, o);
  s.numbers("std", o.std, between(1e-4, 1), "What each channel is divided by: R,G,B, from 0.0001 to 1.")
      .checked_by([&o] {
        if (!o.std.empty() && o.std.size() != 3) {
          std::vector<std::string> words;
          for (const double value : o.std) {
            words.push_back(fmt::format("{}", value));
          }
          fail_setting("std", join(words, ","), "three numbers R,G,B");
        }
      })
      .default_is("that of the training set, or of ImageNet where images have many sizes");
  s.flag("no-shuffle", o.no_shuffle, "Train on the images in the order of the set.");
}

}  // namespace residua
