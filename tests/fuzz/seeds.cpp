// Writes the small files that the fuzzer starts from: FOLDER/TARGET/NAME. All are made here or by
// the program's own writers.
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "data/cache.h"
#include "engine/safetensors.h"
#include "tests/data/fixtures.h"
#include "tools/checkpoint_metadata.h"
#include "tools/options.h"
#include "tools/presets.h"

namespace {

namespace fs = std::filesystem;
using namespace protolith;

/// Numbered files in the folder of one target.
class Seeds {
 public:
  explicit Seeds(const fs::path& folder) : folder_(folder) { fs::create_directories(folder); }
  void add(const std::string& bytes) {
    std::ofstream(folder_ / std::to_string(++count_), std::ios::binary) << bytes;
  }
  /// With the first byte that chooses a variant.
  void add(char choice, const std::string& bytes) { add(choice + bytes); }
  fs::path scratch(const std::string& name) const { return folder_.parent_path() / name; }
  /// What `write` wrote to the path that it is given.
  template <class Write>
  std::string written(const std::string& name, Write write) const {
    const fs::path path = scratch(name);
    write(path);
    std::ifstream file(path, std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(file), {}};
    fs::remove(path);
    return bytes;
  }

 private:
  fs::path folder_;
  int count_ = 0;
};

std::string picture(int width, int height) {
  std::string rgb;
  for (int i = 0; i < width * height * 3; ++i) rgb += static_cast<char>(i * 37 % 256);
  return rgb;
}

/// An EXIF segment that says how to turn the image.
std::string with_orientation(const std::string& jpeg, char orientation) {
  const std::string tiff = std::string("MM\0*\0\0\0\x8\0\1\1\x12\0\3\0\0\0\1\0", 19) + orientation +
                           std::string(6, '\0');
  const std::string exif = std::string("Exif\0\0", 6) + tiff;
  const std::string head = {'\xff', '\xe1', '\0', static_cast<char>(exif.size() + 2)};
  return jpeg.substr(0, 2) + head + exif + jpeg.substr(2);
}

void image_seeds(const fs::path& root) {
  Seeds seeds(root / "image");
  const auto checkers = [](int x, int y) { return (x / 2 + y) % 3 == 0; };
  const std::string jpeg = testing::jpeg_file(24, 16, picture(24, 16));
  for (const char choice : {'\0', '\1'}) {
    seeds.add(choice, testing::png(11, 5, checkers));
    seeds.add(choice, jpeg);
    seeds.add(choice, with_orientation(jpeg, '\6'));
    seeds.add(choice, testing::bmp_file(7, 5, picture(7, 5)));
  }
}

void archive_seeds(const fs::path& root) {
  Seeds seeds(root / "archive");
  const testing::Files files = {{"a/b.png", "picture"}, {"a/train.csv", "filename,label\n"}};
  for (const char* name : {"a.zip", "a.tar", "a.tar.zst"}) {
    const std::string archive =
        seeds.written(name, [&](const fs::path& path) { testing::write_archive(path, files); });
    seeds.add('\0', archive);
    seeds.add('\1', archive);
  }
}

CheckpointInfo some_info() {
  CheckpointInfo info;
  info.metric = Metric::parse("lsed:0:0.01");
  info.preprocessing = "28x28 grey, version 1";
  return info;
}

void checkpoint_seeds(const fs::path& root) {
  Seeds files(root / "safetensors");
  SafeTensors contents;
  const float values[] = {1, 2, 3, 4};
  contents.tensors["encoder.0.0.weight"] = Tensor::of<const float>(values, {1, 1, 2, 2});
  contents.tensors["encoder.0.0.bias"] = Tensor::host({3}, DType::u8);
  contents.metadata = {{"protolith", info_text(some_info())}, {"format_version", "1"}};
  files.add(files.written("a.safetensors",
                          [&](const fs::path& path) { write_safetensors(path, contents); }));
  Seeds texts(root / "checkpoint");
  texts.add('\0', info_text(some_info()));
  TrainingState state;
  state.epoch = 3;
  state.best_loss = 0.1;
  state.identity = "seed = 1";
  texts.add('\1', state_text(state));
}

void cache_seeds(const fs::path& root) {
  Seeds seeds(root / "cache");
  Dataset dataset;
  dataset.kind = "test";
  dataset.images = Tensor::host({4, 2, 2, 3}, DType::u8);
  dataset.scale = dataset.shift = {1, 2, 3};
  dataset.splits = {{{{"a", 0, 2, 0}}, {{"b", 2, 2, 3}}, {}}};
  const CacheKey key{"test", "now"};
  const std::string file =
      seeds.written("a.cache", [&](const fs::path& path) { write_cache(path, key, dataset); });
  seeds.add('\0', file);
  // The description alone, between the header with the key and the pixels.
  constexpr std::size_t kHeader = 64, kKeyText = 8 + 4 + 8 + 3, kPixels = 4 * 2 * 2 * 3;
  const std::size_t end = file.find_last_not_of('\0', file.size() - kPixels - 1);
  seeds.add(static_cast<char>(kPixels), file.substr(kHeader + kKeyText, end - kHeader));
}

void text_seeds(const fs::path& root) {
  Seeds tables(root / "tables");
  tables.add("filename,label\na.jpg,n00000001\r\n\nb.jpg,n00000002\n");
  tables.add("x,label,filename\n1,n00000001,c.png\n");
  Seeds lists(root / "class_lists");
  lists.add(std::string("anchor\nfork\n\0house\r\n", 20));
  lists.add("64,16,20");
  Seeds configs(root / "config");
  for (const Preset& preset : presets()) configs.add(to_toml(preset.config));
  configs.add("a.b = [{c = \"\"\"x\"\"\"}, 1979-05-27T07:32:00Z]\n[d.e]\n[[f]]\nseed = 0x1F # x\n");
  Seeds runs(root / "run_folder");
  const std::string epoch =
      R"({"epoch": 1, "episodes": 100, "train_loss": 0.5, "train_accuracy": 0.9,
    "learning_rate": 1e-3, "seconds": 2, "val_loss": null, "best": true})";
  std::string line = epoch;
  std::erase(line, '\n');
  runs.add('\0', line + "\n");
  runs.add('\1', R"({"episode": 8, "log_gradient": {"edges": [0, 1], "counts": [2]}, )"
                 R"("distance": {"edges": [0, 1, 2], "counts": [2, 3], "nan": 1}})"
                 "\n");
  runs.add('\2',
           R"({"split": "val", "way": 5, "shot": 1, "query": 15, "episodes": 100, "loss": 1})");
  runs.add('\3', R"({"seed": 2, "metrics": ["sed"]})");
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::cerr << "usage: fuzz_seeds FOLDER\n";
    return 2;
  }
  const fs::path root = arguments[1];
  image_seeds(root);
  archive_seeds(root);
  checkpoint_seeds(root);
  cache_seeds(root);
  text_seeds(root);
  return 0;
}
