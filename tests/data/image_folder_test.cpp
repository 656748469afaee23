#include "data/image_folder.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "data/verify.h"
#include "engine/check.h"
#include "tests/data/fixtures.h"
#include "tests/engine/child_process.h"
#include "tests/engine/environment.h"
#include "tests/engine/temporary_folder.h"
#include "tests/tools/program.h"

namespace protolith {
namespace {

using testing::contains;
using testing::Environment;
using testing::error_of;
using testing::Files;
using testing::ProgramResult;
using testing::run_program;
using testing::slurp;
using testing::spill;
using testing::TemporaryFolder;
using testing::write_folder;

std::string even_rgb(int width, int height, int red, int green, int blue) {
  std::string rgb;
  for (int i = 0; i < width * height; ++i) {
    for (const int value : {red, green, blue}) rgb += static_cast<char>(value);
  }
  return rgb;
}

/// Five classes of three images: a PNG, a JPEG and a BMP, each of its own size, with an even colour
/// that tells the class.
Files five_classes() {
  Files files;
  for (int c = 0; c < 5; ++c) {
    const std::string name = fmt::format("class {}", static_cast<char>('a' + c));
    files[name + "/1.png"] = testing::png(20, 30, [&](int, int) { return c % 2 == 0; });
    files[name + "/2.JPG"] = testing::jpeg_file(40, 25, even_rgb(40, 25, 50 * c, 100, 200));
    files[name + "/3.bmp"] = testing::bmp_file(9, 50, even_rgb(9, 50, 50 * c, 100, 200));
  }
  return files;
}

/// A folder with a cache beside it.
struct OwnImages {
  TemporaryFolder source, cache;
  std::vector<std::string> warnings;
  DatasetOptions options;

  explicit OwnImages(const Files& files) {
    write_folder(source.path(), files);
    options.cache_folder = cache.path().string();
    options.warn = [this](const std::string& text) { warnings.push_back(text); };
    options.folder.image_size = 16;
    options.folder.split_shares = "3,1,1";
  }
  Dataset open() const { return open_image_folder(source.path().string(), options); }
  std::string error() const {
    return error_of([&] { open(); });
  }
};

TEST_CASE("own images of any size and format become squares") {
  const OwnImages own(five_classes());
  const Dataset dataset = own.open();
  CHECK(dataset.kind == "folder");
  REQUIRE(dataset.images.shape() == Shape{15, 16, 16, 3});
  CHECK(dataset.classes(Split::train).size() == 3);
  CHECK(dataset.classes(Split::val).size() == 1);
  CHECK(dataset.classes(Split::test).size() == 1);
  CHECK(own.warnings.empty());
  const std::uint8_t* pixels = dataset.images.data<std::uint8_t>();
  std::int32_t first = 0;
  for (const Split split : {Split::train, Split::val, Split::test}) {
    for (const ImageClass& c : dataset.classes(split)) {
      CHECK(c == ImageClass{c.name, first, 3, 0});
      const int number = c.name.back() - 'a';
      const std::uint8_t* image = pixels + first * 16 * 16 * 3;
      CHECK(image[0] == (number % 2 == 0 ? 255 : 0));
      const int expected[] = {50 * number, 100, 200};
      for (int i = 0; i < 16 * 16 * 3; ++i) {
        if (std::abs(image[16 * 16 * 3 + i] - expected[i % 3]) > 3) FAIL_CHECK("JPEG " << i);
        if (image[2 * 16 * 16 * 3 + i] != expected[i % 3]) FAIL_CHECK("BMP " << i);
      }
      first += 3;
    }
  }
  CHECK(dataset.scale.size() == 3);
  CHECK(dataset.shift[0] == doctest::Approx(-0.485 / 0.229));
}

TEST_CASE("grey images have one channel in [0, 1]") {
  OwnImages own(five_classes());
  own.options.folder.image_mode = "grey";
  const Dataset dataset = own.open();
  CHECK(dataset.images.shape() == Shape{15, 16, 16, 1});
  CHECK(dataset.scale == std::vector<float>{1.0F / 255.0F});
  CHECK(dataset.shift == std::vector<float>{0.0F});
  CHECK(dataset.preprocessing != OwnImages(five_classes()).open().preprocessing);
}

TEST_CASE("lists decide the split; what they leave out is noted") {
  OwnImages own(five_classes());
  const TemporaryFolder lists;
  spill(lists / "train.txt", "class c\nclass a\n");
  spill(lists / "val.txt", "class e\n");
  own.options.folder.split_lists = lists.path().string();
  const Dataset dataset = own.open();
  CHECK(dataset.classes(Split::train) ==
        std::vector<ImageClass>{{"class a", 0, 3, 0}, {"class c", 3, 3, 0}});
  CHECK(dataset.classes(Split::val) == std::vector<ImageClass>{{"class e", 6, 3, 0}});
  CHECK(dataset.classes(Split::test).empty());
  CHECK(contains(error_of([&] { dataset.required_classes(Split::test); }), "test.txt"));
  REQUIRE(own.warnings.size() == 1);
  CHECK(contains(own.warnings[0], "2 classes are in no list"));
  CHECK(own.open().from_cache);
  spill(lists / "val.txt", "class d\n\n");
  CHECK(own.open().classes(Split::val)[0].name == "class d");
  spill(lists / "val.txt", "class x\n");
  CHECK(contains(own.error(), "there is no class 'class x'"));
}

TEST_CASE("what is no image is skipped with a note") {
  Files files = five_classes();
  files["notes.txt"] = files["class a/readme.txt"] = files["class a/deeper/1.png"] = "text";
  files["class b/.hidden.png"] = files[".git/config"] = "text";
  const OwnImages own(files);
  CHECK(own.open().images.shape()[0] == 15);
  REQUIRE(own.warnings.size() == 1);
  CHECK(contains(own.warnings[0], "3 files or folders are no images"));
  CHECK(contains(own.warnings[0], "class a/deeper"));
  const VerifyReport report = verify_image_folder(own.source.path(), own.options);
  CHECK(report.ok());
  REQUIRE(report.recognised.size() == 2);
  CHECK(contains(report.recognised[0], "5 classes, 15 images"));
  CHECK(contains(report.recognised[1], "3 files or folders"));
}

TEST_CASE("bad folders say what is wrong and what to do") {
  Files files = five_classes();
  files["class f/readme.txt"] = "text";
  std::string message = OwnImages(files).error();
  CHECK(contains(message, "class 'class f' has no images"));
  CHECK(contains(message, "remove the folder"));

  files = five_classes();
  files["class c/2.JPG"] = "<html>";
  message = OwnImages(files).error();
  CHECK(contains(message, "class c/2.JPG: not a PNG, JPEG or BMP image"));
  CHECK(contains(message, "replace or remove"));
  const std::string jpeg = five_classes()["class d/2.JPG"];
  files["class c/2.JPG"] = jpeg.substr(0, jpeg.size() / 2);
  CHECK(contains(OwnImages(files).error(), "class c/2.JPG: the JPEG is cut short"));
  files["class c/2.JPG"] = testing::png_file(30000, 30000, "");
  CHECK(contains(OwnImages(files).error(), "class c/2.JPG"));

  files.clear();
  files["only/1.png"] = testing::png(4, 4, [](int, int) { return true; });
  CHECK(contains(OwnImages(files).error(), "has 1 classes (folders of images), two"));
  files["other/1.png"] = files["only/1.png"];
  CHECK(contains(OwnImages(files).error(), "2 classes are too few for 3 splits"));
  files.erase("other/1.png");
  files["other/readme.txt"] = "text";
  CHECK(contains(OwnImages(files).error(), "class 'other' has no images"));
  CHECK(contains(OwnImages({}).error(), "has 0 classes"));
  CHECK(contains(error_of([] { open_dataset("folder:/no/such/folder"); }), "there is no folder"));
  CHECK_THROWS_AS(open_dataset("folder"), UsageError);
}

/// What is wrong, a line each.
std::string lines_of(const std::vector<Problem>& problems) {
  std::string text;
  for (const Problem& problem : problems) text += problem.what + "\n";
  return text;
}

TEST_CASE("links that lead nowhere are named, and keep nothing else from being read") {
  const OwnImages own(five_classes());
  const auto link = [&](const std::string& target, const std::string& name) {
    std::filesystem::create_symlink(target, own.source / name);
  };
  link("loop.png", "class a/loop.png");
  link("nowhere", "class b/lost.JPG");
  link("nowhere", "class c/notes");  // no image by its name
  const auto check_images = [&](const std::string& problems) {
    CHECK(contains(problems, (own.source / "class a/loop.png").string()));
    CHECK(contains(problems, (own.source / "class b/lost.JPG").string()));
  };
  check_images(own.error());
  link("loopd", "loopd");
  const VerifyReport report = verify_image_folder(own.source.path(), own.options);
  CHECK(report.problems.size() == 3);
  const std::string problems = lines_of(report.problems);
  CAPTURE(problems);
  check_images(problems);
  CHECK(contains(problems, "cannot read the folder " + (own.source / "loopd").string()));
  CHECK(report.splits[0].images + report.splits[1].images + report.splits[2].images == 15);
  CHECK(contains(report.recognised.at(1), "class c/notes"));
  CHECK(contains(own.error(), "cannot read the folder " + (own.source / "loopd").string()));
}

TEST_CASE("a class folder that may not be read is named") {
  const OwnImages own(five_classes());
  const std::string shut = own.source / "class b";
  chmod(own.source.path().c_str(), 0755);
  chmod(shut.c_str(), 0);
  const std::string outcome = testing::in_child([&] {
    // The superuser may read everything: be nobody.
    if (geteuid() == 0 && setuid(65534) != 0) return std::string("not nobody");
    ImageContents contents;
    list_image_classes(own.source.path(), contents);
    return lines_of(contents.problems) + "opening: " + own.error();
  });
  chmod(shut.c_str(), 0755);
  if (outcome == "not nobody") {
    MESSAGE("skipped: the superuser cannot become another user here");
    return;
  }
  CAPTURE(outcome);
  const std::string expected = "cannot read the folder " + shut + ": Permission denied";
  CHECK(outcome.starts_with(expected + "\nopening: " + expected));
}

TEST_CASE("the cache serves the same options and files, down to one overwritten in place") {
  OwnImages own(five_classes());
  const std::uint64_t hash = own.open().content_hash;
  CHECK(own.open().from_cache);
  CHECK(own.open().content_hash == hash);
  own.options.folder.split_seed = 2;
  CHECK_FALSE(own.open().from_cache);
  own.options.folder.split_seed = 1;
  CHECK(own.open().from_cache);
  CHECK(contains(verify_image_folder(own.source.path(), own.options).cache, "intact"));
  spill(own.source / "class a/1.png", testing::png(8, 8, [](int, int) { return false; }));
  const Dataset changed = own.open();
  CHECK_FALSE(changed.from_cache);
  CHECK(changed.content_hash != hash);
}

TEST_CASE("the program trains on own images, resumes and evaluates from elsewhere") {
  const TemporaryFolder folder;
  const Environment cache("PROTOLITH_CACHE", (folder / "cache").c_str());
  write_folder(folder / "mine", five_classes());
  const std::string data = "--data folder:mine --image-size 16 --split-shares 3,2,0";
  const std::string episode =
      " --train-way 2 --train-query 1 --val-way 2 --val-query 1 --val-episodes 1 "
      "--epoch-episodes 1 ";
  const ProgramResult trained = run_program(
      "train " + data + episode + "--episodes 1 --out run --last-pool on", folder.path());
  CAPTURE(trained.errors);
  REQUIRE(trained.code == 0);
  CHECK(contains(slurp(folder / "run" / "config.toml"), "image_size = 16"));
  std::filesystem::create_directory(folder / "elsewhere");
  const auto elsewhere = folder / "elsewhere";
  CHECK(run_program("train --resume ../run --episodes 2", elsewhere).code == 0);
  const std::string eval = "eval ../run --way 2 --query 1 --episodes 2 --split ";
  CHECK(run_program(eval + "val", elsewhere).code == 0);
  const ProgramResult test = run_program(eval + "test", elsewhere);
  CHECK(test.code == 2);
  CHECK(contains(test.errors, "has no test split"));
  CHECK(contains(test.errors, "--split-shares"));
  const ProgramResult other =
      run_program("train --resume ../run --episodes 3 --split-seed 5", elsewhere);
  CHECK(other.code == 2);
  CHECK(contains(other.errors, "split = "));
  const ProgramResult size = run_program(eval + "val --image-size 32", elsewhere);
  CHECK(size.code == 2);
  CHECK(contains(size.errors, "--image-size 16 --image-mode rgb"));
  write_folder(folder / "lists",
               {{"train.txt", "class a\nclass b\n"}, {"val.txt", "class c\nclass d\n"}});
  const ProgramResult listed =
      run_program("train --data folder:mine --image-size 16 --split-lists lists" + episode +
                      "--episodes 1 --out listed --last-pool on",
                  folder.path());
  CAPTURE(listed.errors);
  CHECK(listed.code == 0);
  CHECK(run_program("train --resume ../listed --episodes 2", elsewhere).code == 0);
  CHECK(run_program("verify folder:mine --split-shares 1,1,1 --json", folder.path()).code == 0);
  const ProgramResult bad = run_program("verify folder:mine --split-shares 1,1", folder.path());
  CHECK(bad.code == 2);
  CHECK(contains(bad.errors, "--split-shares 1,1: must be three shares"));
}

}  // namespace
}  // namespace protolith
