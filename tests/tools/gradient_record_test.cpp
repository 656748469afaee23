// Histograms and figures of query-prototype pairs, and their recording in training.
#include "tools/gradient_record.h"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/engine/temporary_folder.h"
#include "tests/tools/glyphs.h"
#include "tools/session.h"
#include "tools/trainer.h"

namespace protolith::testing {
namespace {

constexpr float kFloatNan = std::numeric_limits<float>::quiet_NaN();

/// A 5-way configuration that trains in a moment.
Config small_config(const std::string& metric) {
  Config config;
  config.train = {5, 1, 2, 10};
  config.val = {5, 1, 2, 2};
  config.epoch_episodes = 5;
  config.last_pool = false;
  config.metric = Metric::parse(metric);
  return config;
}

std::vector<nlohmann::json> lines_of(const std::filesystem::path& file) {
  std::vector<nlohmann::json> lines;
  std::istringstream text(slurp(file));
  for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

/// Trains to the configuration's end and returns the run's folder.
RunFolder train(const TemporaryFolder& scratch, const std::string& name, const Config& config) {
  RunFolder folder = RunFolder::create(config, (scratch / name).string());
  const auto backend = open_backend(config);
  Progress progress(true);
  Trainer(*backend, config, glyphs(), folder).run(progress, [] { return false; });
  return folder;
}

/// Trains on from the last checkpoint to `episodes`.
void resume(const RunFolder& folder, Config config, std::int64_t episodes) {
  config.train.episodes = episodes;
  const auto backend = open_backend(config);
  Progress progress(true);
  Trainer trainer(*backend, config, glyphs(), folder);
  trainer.resume();
  trainer.run(progress, [] { return false; });
}

}  // namespace

TEST_CASE("gradient bins go from 0 to 1 in equal steps of ln(|g| + 1e-5)") {
  const Bins bins = gradient_bins(40);
  CHECK(bins.magnitudes);
  CHECK(bins.edges.size() == 41);
  CHECK(bins.edges.front() == 0.0F);
  CHECK(bins.edges.back() == 1.0F);
  const std::vector<double> logs = log_edges(bins);
  CHECK(logs.front() == doctest::Approx(std::log(1e-5)));
  for (std::size_t i = 1; i < logs.size(); ++i) {
    CHECK(bins.edges[i - 1] < bins.edges[i]);
    // Near 0 an f32 edge is a multiple of about 1e-12.
    CHECK(logs[i] - logs[i - 1] == doctest::Approx(std::log(1.00001 / 1e-5) / 40).epsilon(1e-5));
  }
  CHECK_THROWS_AS(gradient_bins(0), UsageError);
}

TEST_CASE("distance bins: linear to a round number, geometric over whole decades") {
  const Bins linear = linear_bins(153.7, 50);
  CHECK(linear.edges.size() == 51);
  CHECK(linear.edges.front() == 0.0F);
  CHECK(linear.edges.back() == 160.0F);
  CHECK(linear_bins(0.0, 2).edges == std::vector<float>{0.0F, 0.5F, 1.0F});
  CHECK(linear_bins(8.0, 1).edges.back() == 8.0F);
  CHECK(linear_bins(8.1, 1).edges.back() == 10.0F);
  const Bins geometric = geometric_bins(0.02, 150.0, 1);
  CHECK(geometric.edges == std::vector<float>{0.01F, 0.1F, 1.0F, 10.0F, 100.0F, 1000.0F});
  CHECK(geometric_bins(1.0, 1.0, 2).edges.size() == 3);
  CHECK_THROWS_AS(linear_bins(1.0, 0), UsageError);
  CHECK_THROWS_AS(geometric_bins(0.0, 1.0), Error);
}

TEST_CASE("a summary's figures, by hand") {
  // p = (0.75, 0.25) with label 0, and a saturated query with label 1.
  PairValues pairs{.queries = 2,
                   .classes = 2,
                   .labels = {0, 1},
                   .distance = {1.0F, 2.0F, 300.0F, 4.0F},
                   .softmax_distance = {1.0F, 2.0F, 3.0F, 4.0F},
                   .gradient = {0, 0, 0, 0},
                   .softmax_gradient = {0.25F, -0.25F, -1.0F, 1.0F}};
  PairSummary s = summarize(pairs);
  CHECK(s.share_below == 0.0);
  CHECK(s.share_inside == 0.5);
  CHECK(s.gradient.min == 0.25);
  CHECK(s.gradient.median == 0.625);
  CHECK(s.gradient.max == 1.0);
  CHECK(s.distance.median == 3.0);
  CHECK(s.distance.max == 300.0);
  CHECK(s.softmax_distance.max == 4.0);
  // The second query's p is (1, 0): no entropy.
  const double entropy = -0.75 * std::log(0.75) - 0.25 * std::log(0.25);
  CHECK(s.entropy == doctest::Approx(entropy / 2));

  // The bounds themselves are outside; NaN counts apart.
  pairs.softmax_gradient = {1e-3F, -9.9e-6F, kFloatNan, 0.5F};
  s = summarize(pairs);
  CHECK(s.nan == 1);
  CHECK(s.share_below == doctest::Approx(1.0 / 3));
  CHECK(s.share_inside == doctest::Approx(2.0 / 3));  // 1e-3F lies above 1e-3
  CHECK(s.gradient.max == 0.5);
  const nlohmann::json object = to_json(s);
  CHECK(object["nan"] == 1);
  CHECK(object["share_below_1e-5"].get<double>() == s.share_below);
  CHECK(object["softmax_distance_max"] == 4.0);
}

TEST_CASE("LSED(0, 0.01) and temperature 100 train bit-identically for 100 episodes") {
  const TemporaryFolder scratch;
  Config lsed = small_config("lsed:0:0.01");
  Config temperature = small_config("temperature:100");
  for (Config* config : {&lsed, &temperature}) {
    config->train.episodes = 100;
    config->convolution = "direct";  // the quicker one under the address sanitizer
    config->epoch_episodes = 50;
    config->histogram_every = 20;
  }
  const RunFolder a = train(scratch, "lsed", lsed);
  const RunFolder b = train(scratch, "temperature", temperature);
  const auto backend = open_backend(lsed);
  const auto parameters = [&](const RunFolder& run) {
    const Checkpoint checkpoint = load_model(*backend, run.last_checkpoint());
    const Tensor host = backend->to_host(checkpoint.model->parameters().values());
    const auto span = host.host_span<const float>();
    return std::vector<float>(span.begin(), span.end());
  };
  CHECK(parameters(a) == parameters(b));
  CHECK(lines_of(a.histograms_file()) == lines_of(b.histograms_file()));
  // The comparison can tell metrics apart.
  Config sed = small_config("sed");
  Config leaky = small_config("lsed:0:0.01");
  CHECK(parameters(train(scratch, "sed", sed)) != parameters(train(scratch, "leaky", leaky)));
}

TEST_CASE("recording histograms changes no bit of the training") {
  const TemporaryFolder scratch;
  const Config plain = small_config("lsed");
  Config recording = plain;
  recording.histogram_every = 3;
  const RunFolder a = train(scratch, "plain", plain);
  const RunFolder b = train(scratch, "recording", recording);
  CHECK(slurp(a.last_checkpoint()) == slurp(b.last_checkpoint()));
  CHECK(!std::filesystem::exists(a.histograms_file()));
  const auto lines = lines_of(b.histograms_file());
  REQUIRE(lines.size() == 4);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    CHECK(lines[i]["episode"] == 3 * i);
    for (const char* name : {"log_gradient", "distance"}) {
      const nlohmann::json& bins = lines[i][name];
      CHECK(bins["edges"].size() == bins["counts"].size() + 1);
      std::int64_t total = bins["below"].get<std::int64_t>() + bins["above"].get<std::int64_t>() +
                           bins["nan"].get<std::int64_t>();
      for (const auto& count : bins["counts"]) total += count.get<std::int64_t>();
      CHECK(total == 10 * 5);
    }
  }
  CHECK(lines[0]["gradient_median"] != lines[1]["gradient_median"]);
}

TEST_CASE("a resumed run's histograms are those of an uninterrupted one") {
  const TemporaryFolder scratch;
  Config config = small_config("lsed");
  config.histogram_every = 2;
  const RunFolder whole = train(scratch, "whole", config);
  Config half = config;
  half.train.episodes = 7;
  const RunFolder parts = train(scratch, "parts", half);
  // As if it had been killed after two more records: they are dropped and written again.
  parts.append_histograms({{"episode", 8}, {"torn", true}});
  spill(parts.histograms_file(), slurp(parts.histograms_file()) + "{\"episode\":10");
  resume(parts, config, 10);
  CHECK(slurp(parts.histograms_file()) == slurp(whole.histograms_file()));
  CHECK(lines_of(whole.histograms_file()).size() == 5);
}

}  // namespace protolith::testing
