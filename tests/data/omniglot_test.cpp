#include "data/omniglot.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <vector>

#include "engine/check.h"
#include "tests/data/fixtures.h"
#include "tests/engine/temporary_folder.h"

namespace protolith {
namespace {

using testing::contains;
using testing::error_of;
using testing::Files;
using testing::kMiniRanges;
using testing::mini_background;
using testing::mini_evaluation;
using testing::mini_path;
using testing::TemporaryFolder;
using testing::write_folder;
using testing::write_zip;

Dataset open_mini(const TemporaryFolder& folder) {
  DatasetOptions options;
  options.use_cache = false;
  return open_omniglot(folder.path(), options, kMiniRanges);
}

bool same_pixels(const Dataset& a, const Dataset& b) {
  return a.images.shape() == b.images.shape() &&
         std::memcmp(a.images.raw(), b.images.raw(), a.images.bytes()) == 0;
}

TEST_CASE("resampling takes the pixel at floor((i + 0.5) * 3.75)") {
  const std::vector<std::int32_t> table = {1,  5,  9,  13, 16, 20, 24, 28, 31, 35, 39, 43, 46, 50,
                                           54, 58, 61, 65, 69, 73, 76, 80, 84, 88, 91, 95, 99, 103};
  for (std::int32_t i = 0; i < 28; ++i) {
    CHECK(nearest_source_index(i, 105, 28) == table[static_cast<std::size_t>(i)]);
    // As PIL's NEAREST computes it, exact here because 3.75 is a binary fraction.
    CHECK(nearest_source_index(i, 105, 28) ==
          static_cast<std::int32_t>(std::floor((i + 0.5) * 3.75)));
  }
  for (std::int32_t i = 0; i < 28; ++i) CHECK(nearest_source_index(i, 28, 28) == i);
}

TEST_CASE("the split has 1028, 172 and 423 of the 1623 characters, each once") {
  std::map<Split, int> counts;
  std::set<std::pair<std::string_view, int>> characters;
  std::set<std::string_view> alphabets;
  for (const CharacterRange& range : vinyals_split()) {
    for (int number = range.first; number <= range.last; ++number) {
      CHECK(characters.emplace(range.alphabet, number).second);
      ++counts[range.split];
    }
    alphabets.insert(range.alphabet);
  }
  CHECK(counts[Split::train] == 1028);
  CHECK(counts[Split::val] == 172);
  CHECK(counts[Split::test] == 423);
  CHECK(alphabets.size() == 50);
  for (const std::string_view alphabet : alphabets) {  // no gaps: numbers start at 1 and follow on
    int number = 1;
    while (characters.contains({alphabet, number})) characters.erase({alphabet, number++});
  }
  CHECK(characters.empty());
}

TEST_CASE("pixels, classes and quarter turns of a small Omniglot") {
  const TemporaryFolder folder;
  write_zip(folder / "images_background.zip", mini_background());
  write_zip(folder / "images_evaluation.zip", mini_evaluation());
  const Dataset dataset = open_mini(folder);
  REQUIRE(dataset.images.shape() == Shape{testing::kMiniCharacters * 20, 28, 28, 1});
  CHECK(dataset.scale == std::vector<float>{1.0F / 255.0F});
  CHECK(dataset.shift == std::vector<float>{0.0F});
  CHECK_FALSE(dataset.from_cache);

  const std::uint8_t* pixel = dataset.images.data<std::uint8_t>();
  std::int32_t first = 0;
  std::map<Split, std::size_t> position;
  int wrong = 0;
  for (const CharacterRange& range : kMiniRanges) {
    const std::string alphabet(range.alphabet);
    for (int number = range.first; number <= range.last; ++number, first += 20) {
      for (int turns = 0; turns < 4; ++turns) {
        const ImageClass c = dataset.classes(range.split).at(position[range.split]++);
        CHECK(c.name == fmt::format("{}/character{:02}/rot{:03}", alphabet, number, turns * 90));
        CHECK(c == ImageClass{c.name, first, 20, turns});
      }
      for (int drawing = 1; drawing <= 20; ++drawing) {
        for (int i = 0; i < 28 * 28; ++i) {
          const int y = static_cast<int>(std::floor((i / 28 + 0.5) * 3.75));
          const int x = static_cast<int>(std::floor((i % 28 + 0.5) * 3.75));
          const bool ink = testing::mini_ink(alphabet, number, drawing, x, y);
          wrong += *pixel++ != (ink ? 255 : 0) ? 1 : 0;
        }
      }
    }
  }
  CHECK(wrong == 0);
  CHECK(dataset.classes(Split::train).size() == 16);
  CHECK(dataset.classes(Split::val).size() == 4);
  CHECK(dataset.classes(Split::test).size() == 8);
}

TEST_CASE("zips, folders and a mix of both give identical data") {
  const TemporaryFolder zips;
  write_zip(zips / "images_background.zip", mini_background());
  write_zip(zips / "images_evaluation.zip", mini_evaluation());
  const TemporaryFolder folders;
  write_folder(folders.path(), mini_background());
  write_folder(folders.path(), mini_evaluation());
  const TemporaryFolder mix;
  write_folder(mix.path(), mini_background());
  Files extras = mini_evaluation();  // what archivers and desktops leave behind is ignored
  extras["__MACOSX/images_evaluation/Gamma/character01/._7101_01.png"] = "rubbish";
  extras["images_evaluation/Gamma/.DS_Store"] = "rubbish";
  extras["readme.txt"] = "rubbish";
  write_zip(mix / "images_evaluation.zip", extras);

  const Dataset dataset = open_mini(zips);
  for (const TemporaryFolder* folder : {&folders, &mix}) {
    const Dataset other = open_mini(*folder);
    CHECK(same_pixels(dataset, other));
    CHECK(other.content_hash == dataset.content_hash);
    CHECK(other.splits == dataset.splits);
  }
}

/// What opening a mini data set says when `spoil` has had its way with the files of both halves.
template <class Spoil>
void check_refused(Spoil spoil, const std::vector<std::string>& expected) {
  Files background = mini_background();
  Files evaluation = mini_evaluation();
  spoil(background, evaluation);
  for (const bool zip : {true, false}) {
    const TemporaryFolder folder;
    if (zip) {
      write_zip(folder / "images_background.zip", background);
      write_zip(folder / "images_evaluation.zip", evaluation);
    } else {
      write_folder(folder.path(), background);
      write_folder(folder.path(), evaluation);
    }
    const std::string message = error_of([&] { open_mini(folder); });
    CAPTURE(message);
    for (const std::string& part : expected) CHECK(contains(message, part));
    CHECK(contains(message, "brendenlake/omniglot"));  // the remedy
  }
}

TEST_CASE("a damaged drawing is refused by its name") {
  const std::string path = mini_path("Gamma", 2, 7);
  const auto spoil_with = [&](auto change) {
    return [&path, change](Files&, Files& evaluation) { change(evaluation.at(path)); };
  };
  check_refused(spoil_with([](std::string& png) { png.resize(png.size() / 2); }),
                {path, "ends after"});
  check_refused(spoil_with([](std::string& png) { png[200] = static_cast<char>(~png[200]); }),
                {path, "checksum"});
  check_refused(spoil_with([](std::string& png) { png = "<html>"; }),
                {path, "not a PNG, JPEG or BMP"});
  check_refused(spoil_with([](std::string& png) { png.clear(); }), {path});
  check_refused(spoil_with([](std::string& png) {
                  png = testing::png(28, 105, [](int, int) { return true; });
                }),
                {path, "28x105 pixels instead of 105x105"});
  check_refused(spoil_with([](std::string& png) { png = testing::png_file(60000, 60000, ""); }),
                {path});
  // A few kilobytes can decode to this much: refused by its size, before memory is taken.
  check_refused(spoil_with([](std::string& png) { png = testing::png_file(4000, 4000, ""); }),
                {path, "4000x4000 pixels, at most 44100 are accepted"});
  check_refused(spoil_with([](std::string& png) { png.append(1U << 17U, ' '); }), {path, "65536"});
}

TEST_CASE("missing and surplus drawings and characters are named") {
  check_refused([](Files& b, Files&) { b.erase(mini_path("Beta", 1, 20)); },
                {"Beta/character01: 19 drawings instead of 20"});
  check_refused(
      [](Files& b, Files&) {
        b["images_background/Beta/character01/9999_21.png"] = b.begin()->second;
      },
      {"Beta/character01: more than 20 drawings"});
  check_refused(
      [](Files& b, Files&) {
        auto drawing = b.extract(mini_path("Beta", 1, 3));
        drawing.key() = "images_background/Beta/character01/6601_21.png";
        b.insert(std::move(drawing));
      },
      {"Beta/character01: 6601_04.png where a file ending in _03.png belongs"});
  check_refused(
      [](Files& b, Files&) {
        for (int d = 1; d <= 20; ++d) b.erase(mini_path("Alpha", 2, d));
      },
      {"alphabet Alpha: no drawings of characters 2"});
}

TEST_CASE("only the first problems are shown") {
  check_refused(
      [](Files& b, Files&) {
        for (int d = 1; d <= 20; ++d) b[mini_path("Alpha", 2, d)] = "rubbish";
      },
      {"character02/6502_01.png", "and 17 more problems, which `protolith verify` lists"});
}

TEST_CASE("a missing folder, half or a half-downloaded zip says what to do") {
  const TemporaryFolder folder;
  CHECK(contains(error_of([&] { open_dataset("omniglot:" + (folder / "nowhere").string()); }),
                 "there is no folder"));
  write_zip(folder / "images_background.zip", mini_background());
  std::string message = error_of([&] { open_mini(folder); });
  CHECK(contains(message, "has neither images_evaluation.zip nor a folder images_evaluation"));
  CHECK(contains(message, "download images_evaluation.zip"));

  write_zip(folder / "images_evaluation.zip", mini_evaluation());
  const std::string whole = testing::slurp(folder / "images_evaluation.zip");
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{10}, whole.size() / 3, whole.size() / 2}) {
    testing::spill(folder / "images_evaluation.zip", whole.substr(0, size));
    message = error_of([&] { open_mini(folder); });
    CAPTURE(size);
    CHECK(contains(message, "images_evaluation.zip"));
    CHECK(contains(message, "replace"));
  }
}

TEST_CASE("a zip with a flipped byte is refused or reads the same") {
  // Flips in fields that are not used do no harm; those in data fail the zip's own checksum, those
  // in names leave a drawing missing.
  const TemporaryFolder folder;
  write_zip(folder / "images_background.zip", mini_background());
  write_zip(folder / "images_evaluation.zip", mini_evaluation());
  const Dataset intact = open_mini(folder);
  const std::string whole = testing::slurp(folder / "images_evaluation.zip");
  for (std::size_t i = 0; i < whole.size(); i += whole.size() / 60) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    testing::spill(folder / "images_evaluation.zip", damaged);
    CAPTURE(i);
    bool same = false;
    const std::string message = error_of([&] { same = same_pixels(open_mini(folder), intact); });
    CAPTURE(message);
    CHECK(same != contains(message, "brendenlake/omniglot"));
  }
}

}  // namespace
}  // namespace protolith
