#include "data/mini_imagenet.h"

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <map>
#include <set>
#include <vector>

#include "data/verify.h"
#include "engine/check.h"
#include "tests/data/fixtures.h"
#include "tests/engine/child_process.h"
#include "tests/engine/temporary_folder.h"

namespace protolith {
namespace {

using testing::contains;
using testing::error_of;
using testing::Files;
using testing::slurp;
using testing::spill;
using testing::TemporaryFolder;
using testing::write_archive;
using testing::write_folder;

constexpr std::array<ImagenetClass, 4> kClasses = {{{"n00000001", Split::train},
                                                    {"n00000003", Split::train},
                                                    {"n00000002", Split::val},
                                                    {"n00000004", Split::test}}};
constexpr int kImages = 3;

std::string file_name(std::string_view wnid, int image) {
  return fmt::format("{}{:08}.jpg", wnid, image);
}

bool white(std::string_view wnid, int image, int x, int y) {
  const int seed = wnid.back() * 10 + image;
  return (x * seed + y * (seed / 3)) % 7 < 3;
}

/// A picture with pixels that are known exactly; the decoder goes by the content, not by the name.
std::string picture(std::string_view wnid, int image) {
  return testing::png(84, 84, [&](int x, int y) { return white(wnid, image, x, y); });
}

/// The classes of `splits` as SPLIT/WNID/FILE.
Files class_folders(const std::set<Split>& splits = {Split::train, Split::val, Split::test}) {
  Files files;
  for (const ImagenetClass& c : kClasses) {
    if (!splits.contains(c.split)) continue;
    for (int i = 0; i < kImages; ++i) {
      files[fmt::format("{}/{}/{}", to_string(c.split), c.wnid, file_name(c.wnid, i))] =
          picture(c.wnid, i);
    }
  }
  return files;
}

/// The same as images/FILE and a table for each split, the rows in no good order.
Files tables() {
  Files files;
  for (const ImagenetClass& c : kClasses) {
    std::string& table = files[to_string(c.split) + ".csv"];
    if (table.empty()) table = "filename,label\n";
    for (int i = kImages - 1; i >= 0; --i) {
      files["images/" + file_name(c.wnid, i)] = picture(c.wnid, i);
      table += fmt::format("{},{}\n", file_name(c.wnid, i), c.wnid);
    }
  }
  return files;
}

Files below(const std::string& folder, const Files& files) {
  Files moved;
  for (const auto& [path, bytes] : files) moved[folder + "/" + path] = bytes;
  return moved;
}

Dataset open(const std::filesystem::path& path) {
  DatasetOptions options;
  options.use_cache = false;
  return open_mini_imagenet(path, options, kClasses);
}

TEST_CASE("the split has 64, 16 and 20 classes of their own") {
  std::map<Split, int> counts;
  std::set<std::string_view> names;
  Split last = Split::train;
  for (const ImagenetClass& c : ravi_split()) {
    CHECK(names.insert(c.wnid).second);
    CHECK(c.wnid.size() == 9);
    CHECK(c.split >= last);
    last = c.split;
    ++counts[c.split];
  }
  CHECK(counts[Split::train] == 64);
  CHECK(counts[Split::val] == 16);
  CHECK(counts[Split::test] == 20);
}

TEST_CASE("pixels, classes and constants of a small miniImageNet") {
  const TemporaryFolder folder;
  write_folder(folder.path(), class_folders());
  const Dataset dataset = open(folder.path());
  CHECK(dataset.kind == "mini-imagenet");
  REQUIRE(dataset.images.shape() == Shape{kClasses.size() * kImages, 84, 84, 3});
  CHECK(dataset.classes(Split::train) ==
        std::vector<ImageClass>{{"n00000001", 0, 3, 0}, {"n00000003", 3, 3, 0}});
  CHECK(dataset.classes(Split::val) == std::vector<ImageClass>{{"n00000002", 6, 3, 0}});
  CHECK(dataset.classes(Split::test) == std::vector<ImageClass>{{"n00000004", 9, 3, 0}});
  const std::uint8_t* pixel = dataset.images.data<std::uint8_t>();
  int wrong = 0;
  for (const ImagenetClass& c : kClasses) {
    for (int i = 0; i < kImages * 84 * 84 * 3; ++i) {
      const int image = i / (84 * 84 * 3), place = i / 3 % (84 * 84);
      wrong += *pixel++ != (white(c.wnid, image, place % 84, place / 84) ? 255 : 0) ? 1 : 0;
    }
  }
  CHECK(wrong == 0);

  // x = (p / 255 - mean) / deviation
  const std::array<double, 3> mean = {0.485, 0.456, 0.406}, deviation = {0.229, 0.224, 0.225};
  REQUIRE(dataset.scale.size() == 3);
  REQUIRE(dataset.shift.size() == 3);
  for (std::size_t c = 0; c < 3; ++c) {
    for (const double p : {0.0, 100.0, 255.0}) {
      CHECK(p * static_cast<double>(dataset.scale[c]) + static_cast<double>(dataset.shift[c]) ==
            doctest::Approx((p / 255 - mean[c]) / deviation[c]).epsilon(1e-6));
    }
  }
}

TEST_CASE("both layouts, packed or not, in one archive or several, give identical data") {
  const TemporaryFolder reference;
  write_folder(reference.path(), class_folders());
  const Dataset expected = open(reference.path());
  const auto check = [&](const std::filesystem::path& path) {
    CAPTURE(path.string());
    const Dataset dataset = open(path);
    CHECK(dataset.content_hash == expected.content_hash);
    CHECK(dataset.splits == expected.splits);
  };
  const TemporaryFolder folder;
  write_folder(folder / "ravi", tables());
  check(folder / "ravi");
  write_folder(folder / "outer", below("mini_imagenet", class_folders()));
  check(folder / "outer");
  for (const char* name : {"a.zip", "a.tar", "a.tar.zst"}) {
    write_archive(folder / name, below("some/where", class_folders()));
    check(folder / name);
    write_archive(folder / name, tables());
    check(folder / name);
  }
  // An archive per split, one of them unpacked, among what else lies about.
  std::filesystem::create_directory(folder / "parts");
  write_archive(folder / "parts" / "train.tar", class_folders({Split::train}));
  write_archive(folder / "parts" / "val.zip", class_folders({Split::val}));
  Files rest = class_folders({Split::test});
  rest["TERMS.md"] = rest["test/README"] = rest["test/n00000004/.DS_Store"] = "text";
  write_folder(folder / "parts", rest);
  check(folder / "parts");
  // Tables beside an archive of the images, with lines as Windows ends them and another column.
  Files images = tables(), csv;
  for (const std::string name : {"train.csv", "val.csv", "test.csv"}) {
    const std::string end = name == "val.csv" ? ",x\r\n" : "\r\n";
    for (const char c : images[name]) csv[name] += c == '\n' ? end : std::string(1, c);
    images.erase(name);
  }
  std::filesystem::create_directory(folder / "split");
  write_archive(folder / "split" / "images.zip", images);
  write_folder(folder / "split", csv);
  check(folder / "split");
}

TEST_CASE("JPEG files of any size become 84x84") {
  const TemporaryFolder folder;
  Files files = class_folders();
  const auto path = [](int i) { return "val/n00000002/" + file_name("n00000002", i); };
  const std::string colour("\xc8\x64\x1e", 3);
  for (const auto& [image, width, height] : {std::tuple{0, 84, 84}, {1, 200, 100}, {2, 40, 91}}) {
    std::string rgb;
    for (int i = 0; i < width * height; ++i) rgb += colour;
    files[path(image)] = testing::jpeg_file(width, height, rgb);
  }
  write_folder(folder.path(), files);
  const Dataset dataset = open(folder.path());
  const std::uint8_t* pixel = dataset.images.data<std::uint8_t>() + 6 * 84 * 84 * 3;
  int worst = 0;
  for (int i = 0; i < 3 * 84 * 84 * 3; ++i) {
    const int expected = static_cast<unsigned char>(colour[static_cast<std::size_t>(i % 3)]);
    worst = std::max(worst, std::abs(pixel[i] - expected));
  }
  CHECK(worst <= 3);
}

TEST_CASE("a split may be absent; who needs it is told what is missing") {
  const TemporaryFolder folder;
  write_folder(folder.path(), class_folders({Split::train, Split::val}));
  const Dataset dataset = open(folder.path());
  CHECK(dataset.classes(Split::test).empty());
  CHECK(dataset.required_classes(Split::trainval).size() == 3);
  CHECK_THROWS_AS(dataset.required_classes(Split::test), UsageError);
  const std::string message = error_of([&] { dataset.required_classes(Split::test); });
  CHECK(contains(message, "has no test split"));
  CHECK(contains(message, folder.path().string()));
  CHECK(contains(message, "test/WNID/*.jpg"));
  CHECK(contains(message, "test.csv"));
  const TemporaryFolder tests_only;
  write_folder(tests_only.path(), class_folders({Split::test}));
  CHECK(open(tests_only.path()).required_classes(Split::test).size() == 1);
  CHECK(contains(error_of([&] { open(tests_only.path()).required_classes(Split::trainval); }),
                 "no train split"));
}

/// What opening says of these files, unpacked and packed.
void check_refused(const Files& files, const std::vector<std::string>& expected) {
  const TemporaryFolder folder;
  write_folder(folder / "files", files);
  write_archive(folder / "files.tar", files);
  for (const char* name : {"files", "files.tar"}) {
    const std::string message = error_of([&] { open(folder / name); });
    CAPTURE(message);
    for (const std::string& part : expected) CHECK(contains(message, part));
  }
}

TEST_CASE("wrong classes are named") {
  Files files = class_folders();
  std::erase_if(files, [](const auto& f) { return contains(f.first, "n00000003"); });
  check_refused(files, {"the train split has 1 of its 2 classes: no images of n00000003"});

  files = class_folders();
  files["val/n00000001/a.jpg"] = picture("n00000001", 0);
  check_refused(files, {"class n00000001 is in the val split", "val/n00000001/a.jpg",
                        "move it to the train split"});

  files = class_folders();
  files["val/dogs/a.jpg"] = picture("n00000001", 0);
  check_refused(files, {"'dogs'", "is no class of miniImageNet", "folder:PATH"});

  check_refused({{"train/readme.txt", "text"}}, {"no images were found", "train/WNID/FILE.jpg"});
}

TEST_CASE("an unreadable image is named") {
  const std::string path = "train/n00000001/" + file_name("n00000001", 1);
  Files files = class_folders();
  std::string rgb(84 * 84 * 3, 'x');
  for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<char>(i * i >> 4U);
  const std::string jpeg = testing::jpeg_file(84, 84, rgb);
  REQUIRE(jpeg.size() > 1000);
  files[path] = jpeg.substr(0, jpeg.size() - 2);
  check_refused(files, {path, "cut short"});
  files[path] = "<html>";
  check_refused(files, {path, "not a PNG, JPEG or BMP"});
  files[path] = "";
  check_refused(files, {path});
}

TEST_CASE("wrong tables are named, with the line") {
  const auto with_table = [](const std::string& text) {
    Files files = tables();
    files["val.csv"] = text;
    return files;
  };
  check_refused(with_table("file,label\nx.jpg,n00000002\n"),
                {"val.csv: no column 'filename' in its first line, 'file,label'"});
  check_refused(with_table("filename,class\n"), {"val.csv: no column 'label'"});
  check_refused(with_table("filename,label\n\nx.jpg\n"), {"val.csv, line 3: 1 cells"});
  check_refused(with_table(""), {"val.csv: the table is empty"});
  check_refused(with_table("filename,label\nx.jpg,n00000002\n"),
                {"val.csv: 1 images are not there, the first: line 2, images/x.jpg"});
  check_refused(with_table("filename,label\n" + file_name("n00000002", 0) + ",n00000001\n"),
                {"class n00000001 is in the val split"});
  const std::string row = file_name("n00000002", 0) + ",n00000002\n";
  check_refused(
      with_table("filename,label\n" + row + row),
      {"val.csv: 1 rows give an image a class for the second time", file_name("n00000002", 0),
       "n00000002 in", "val.csv, line 2", "val.csv, line 3", "remove the row"});
}

TEST_CASE("an image in two classes is named with both rows, in one table or two") {
  const std::string image = file_name("n00000001", 0);  // line 4 of train.csv
  Files files = tables();
  files["train.csv"] += image + ",n00000003\n";
  check_refused(files, {"train.csv: 1 rows", image + " is n00000001 in", "train.csv, line 4, and",
                        "n00000003 in", "train.csv, line 8"});
  files = tables();
  files["val.csv"] += image + ",n00000002\n";
  check_refused(files, {"val.csv: 1 rows", image + " is n00000001 in", "train.csv, line 4, and",
                        "n00000002 in", "val.csv, line 5"});
  // What is read of it is the same, packed or not.
  const TemporaryFolder folder;
  write_folder(folder / "files", files);
  write_archive(folder / "files.zip", files);
  for (const char* name : {"files", "files.zip"}) {
    const ImageContents contents = read_mini_imagenet(folder / name, kClasses);
    CHECK(contents.problems.size() == 1);
    CHECK(contents.images == std::array<std::int64_t, 3>{2 * kImages, kImages, kImages});
  }
}

TEST_CASE("a link that leads nowhere is named where a folder would be") {
  const TemporaryFolder folder;
  write_folder(folder.path(), class_folders({Split::train, Split::val}));
  const auto loop = [&](const std::string& name) {
    std::filesystem::create_symlink(folder / name, folder / name);
  };
  loop("train/n00000005");
  loop("other");
  ImageContents contents = read_mini_imagenet(folder.path(), kClasses);
  REQUIRE(contents.problems.size() == 1);
  CHECK(contains(contents.problems[0].what, "cannot read the folder"));
  CHECK(contains(contents.problems[0].what, "train/n00000005"));
  CHECK(contents.images == std::array<std::int64_t, 3>{2 * kImages, kImages, 0});
  loop("test");
  contents = read_mini_imagenet(folder.path(), kClasses);
  REQUIRE(contents.problems.size() == 2);
  CHECK(
      contains(contents.problems[0].what, "cannot read the folder " + (folder / "test").string()));
}

TEST_CASE("a table of nothing but commas takes no more memory than its bytes") {
  // Gathered as texts its cells would take 2 GiB.
  Files files = tables();
  files["val.csv"] = std::string(std::size_t{1} << 26, ',');
  const std::string outcome = testing::in_child([&] {
    const TemporaryFolder folder;
    write_archive(folder / "a.tar.zst", files);
    const std::size_t before = testing::peak_kib();
    const std::string message = error_of([&] { open(folder / "a.tar.zst"); });
    const bool small = testing::peak_kib() - before < std::size_t{512} << 10;
    return (small ? "" : "too much memory; ") + message;
  });
  CAPTURE(outcome);
  CHECK(contains(outcome, "val.csv: no column 'filename' in its first line"));
  CHECK_FALSE(contains(outcome, "too much memory"));
}

TEST_CASE("a wrong path and a damaged archive say what to do") {
  const TemporaryFolder folder;
  CHECK(contains(error_of([&] { open(folder / "nowhere"); }), "there is no file or folder"));
  CHECK(contains(error_of([&] { open(folder.path()); }), "holds no miniImageNet"));
  CHECK_THROWS_AS(open_dataset("mini-imagenet"), UsageError);
  spill(folder / "note.txt", "text");
  CHECK(contains(error_of([&] { open(folder / "note.txt"); }), "note.txt"));
  for (const char* name : {"a.zip", "a.tar.zst"}) {
    write_archive(folder / name, class_folders());
    const std::string whole = slurp(folder / name);
    for (const std::size_t size : {std::size_t{0}, whole.size() / 3, whole.size() / 2}) {
      spill(folder / name, whole.substr(0, size));
      const std::string message = error_of([&] { open(folder / name); });
      CAPTURE(message);
      CHECK(contains(message, name));
    }
  }
  write_archive(folder / "b.zip", class_folders());
  write_archive(folder / "a.zip", class_folders({Split::val}));
  std::filesystem::remove(folder / "a.tar.zst");
  CHECK(contains(error_of([&] { open(folder.path()); }), "an image comes twice"));
}

/// Opens and verifies through a cache, and keeps the warnings.
struct Cached {
  TemporaryFolder source, cache;
  std::vector<std::string> warnings;
  DatasetOptions options;

  Cached() {
    options.cache_folder = cache.path().string();
    options.warn = [this](const std::string& text) { warnings.push_back(text); };
  }
  Dataset open() const { return open_mini_imagenet(source.path(), options, kClasses); }
  VerifyReport verify() const { return verify_mini_imagenet(source.path(), options, kClasses); }
};

TEST_CASE("the second start maps the first one's pixels, until the source changes") {
  Cached mini;
  write_folder(mini.source.path(), class_folders());
  const Dataset first = mini.open();
  CHECK_FALSE(first.from_cache);
  CHECK(mini.warnings.size() == 3);  // a line per split: these classes do not have 600 images
  CHECK(contains(mini.warnings[0],
                 "2 classes of the train split do not have 600 images: "
                 "n00000001 (3), n00000003 (3)"));
  Dataset again = mini.open();
  CHECK(again.from_cache);
  CHECK(again.content_hash == first.content_hash);
  CHECK(again.splits == first.splits);
  CHECK(again.scale == first.scale);
  CHECK(mini.warnings.size() == 3);

  const auto image = mini.source / ("val/n00000002/" + file_name("n00000002", 0));
  spill(mini.source / "new", picture("n00000001", 0));
  std::filesystem::rename(mini.source / "new", image);
  again = mini.open();
  CHECK_FALSE(again.from_cache);
  CHECK(again.content_hash != first.content_hash);
  CHECK(mini.open().from_cache);
  spill(image, picture("n00000001", 1));  // in place: for verify to find
  CHECK(mini.open().from_cache);
  const std::vector<Problem> problems = mini.verify().problems;
  REQUIRE(problems.size() == 4);
  CHECK(contains(problems[0].what, "differ from the files"));
}

TEST_CASE("a changed table or archive is read again") {
  Cached mini;
  Files files = tables();
  write_folder(mini.source.path(), files);
  mini.open();
  CHECK(mini.open().from_cache);
  std::string& table = files["val.csv"];
  table.resize(table.rfind('\n', table.size() - 2) + 1);  // a row less
  write_folder(mini.source.path(), files);
  const Dataset shorter = mini.open();
  CHECK_FALSE(shorter.from_cache);
  CHECK(shorter.classes(Split::val)[0].count == kImages - 1);
}

TEST_CASE("verify counts and doubts") {
  Cached mini;
  write_archive(mini.source / "a.tar.zst", class_folders({Split::train, Split::val}));
  VerifyReport report = mini.verify();
  CHECK(report.image_format == "84x84x3 u8");
  REQUIRE(report.recognised.size() == 1);
  CHECK(contains(report.recognised[0], "a.tar.zst: archive, 9 images"));
  CHECK(report.splits[0].classes == 2);
  CHECK(report.splits[0].images == 6);
  CHECK(report.splits[1].images == 3);
  CHECK(report.splits[2].classes == 0);
  REQUIRE(report.problems.size() == 2);
  CHECK(contains(report.problems[0].what, "600"));
  mini.open();
  CHECK(contains(mini.verify().cache, "intact"));
}

}  // namespace
}  // namespace protolith
