// The program on a miniImageNet of noise: presets, cache, resume, and a test split that is absent.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "data/mini_imagenet_split.h"
#include "tests/data/fixtures.h"
#include "tests/engine/environment.h"
#include "tests/engine/temporary_folder.h"
#include "tests/tools/program.h"

namespace protolith {
namespace {

using testing::contains;
using testing::Environment;
using testing::Files;
using testing::ProgramResult;
using testing::run_program;
using testing::TemporaryFolder;

/// Every class of train and val with as many images as one query takes.
Files noise_images() {
  Files files;
  unsigned state = 1;
  for (const ImagenetClass& c : ravi_split()) {
    if (c.split == Split::test) continue;
    for (int i = 0; i < 2; ++i) {
      files[fmt::format("{}/{}/{}.jpg", to_string(c.split), c.wnid, i)] =
          testing::png(84, 84, [&](int, int) {
            state = state * 1664525U + 1013904223U;
            return (state >> 31U) != 0;
          });
    }
  }
  return files;
}

TEST_CASE("train, resume, eval and verify on miniImageNet without its test split") {
  const TemporaryFolder folder;
  const Environment cache("PROTOLITH_CACHE", (folder / "cache").c_str());
  testing::write_archive(folder / "mini.tar.zst", noise_images());
  const ProgramResult trained = run_program(
      "train --preset mini-5w1s-lsed --data mini-imagenet:mini.tar.zst --train-way 4 --train-query "
      "1 --val-query 1 --val-episodes 1 --epoch-episodes 1 --episodes 1 --out run --json",
      folder.path());
  CAPTURE(trained.errors);
  REQUIRE(trained.code == 0);
  CHECK(contains(trained.errors, "64 classes of the train split do not have 600 images"));
  CHECK(nlohmann::json::parse(trained.output)["best_epoch"] == 1);

  const ProgramResult resumed = run_program("train --resume run --episodes 2", folder.path());
  CAPTURE(resumed.errors);
  CHECK(resumed.code == 0);
  CHECK_FALSE(contains(resumed.errors, "600 images"));  // from the cache

  const std::string eval = "eval run --episodes 2 --split ";
  CHECK(run_program(eval + "val --query 1", folder.path()).code == 0);
  const ProgramResult test = run_program(eval + "test --query 1", folder.path());
  CHECK(test.code == 2);
  CHECK(contains(test.errors, "has no test split"));
  CHECK(contains(test.errors, "mini.tar.zst"));
  const ProgramResult many = run_program(eval + "val --query 2", folder.path());
  CHECK(many.code == 2);
  CHECK(contains(many.errors, "class 'n01855672' of the val split has 2 images"));

  const ProgramResult verified =
      run_program("verify mini-imagenet:mini.tar.zst --json", folder.path());
  CHECK(verified.code == 1);  // 2 images in a class are not 600
  const auto report = nlohmann::json::parse(verified.output);
  CHECK(report["splits"]["train"]["classes"] == 64);
  CHECK(report["splits"]["val"]["images"] == 32);
  CHECK(report["problems"].size() == 2);
  CHECK(contains(report["cache"], "intact"));
}

TEST_CASE("a preset says which data it needs") {
  const ProgramResult result = run_program("train --preset mini-5w1s-sed --episodes 1");
  CHECK(result.code == 2);
  CHECK(contains(result.errors, "mini-imagenet:PATH"));
}

}  // namespace
}  // namespace protolith
