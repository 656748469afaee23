// The checkpoint that ships with the program.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

#include "tools/checkpoint.h"
#include "tools/session.h"

namespace protolith::testing {
namespace {

const std::filesystem::path kModel = std::filesystem::path(PROTOLITH_GOLDENS) /
                                     "../../models/pretrained/omniglot-20w1s-lsed.safetensors";

}  // namespace

TEST_CASE("the pretrained model loads and says what it is") {
  const auto backend = open_backend({});
  const Checkpoint checkpoint = load_model(*backend, kModel);
  CHECK(to_string(checkpoint.info.metric) == "lsed:0:0.01");
  CHECK(checkpoint.model->features() == 576);
  CHECK(std::filesystem::file_size(kModel) < 500'000);
}

TEST_CASE("the pretrained model classifies Omniglot's test characters") {
  const char* data = std::getenv("PROTOLITH_DATA");
  if (data == nullptr || !std::filesystem::exists(std::filesystem::path(data) / "omniglot")) {
    MESSAGE("skipped: set PROTOLITH_DATA to a folder that holds omniglot/");
    return;
  }
  const auto backend = open_backend({});
  const Dataset dataset = open_data(std::string("omniglot:") + data + "/omniglot", true);
  const Checkpoint checkpoint = load_model(*backend, kModel);
  CHECK(checkpoint.info.preprocessing == dataset.preprocessing);
  const EpisodeSampler sampler(dataset.classes(Split::test), {20, 1, 15}, 1, Split::test);
  const EpisodeScores scores =
      evaluate(*backend, *checkpoint.model, make_resident(*backend, dataset), sampler, 0, 20,
               {.metric = checkpoint.info.metric});
  // 95.53 % over 1,000 episodes, whose accuracies have a standard deviation of 2.5 points: 20 of
  // them are within 4 standard errors, 2.2 points.
  CHECK(std::abs(estimate(scores.accuracy).mean - 0.9553) < 0.022);
}

}  // namespace protolith::testing
