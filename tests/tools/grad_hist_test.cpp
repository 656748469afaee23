// `protolith grad-hist` as a user runs it.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "tests/engine/environment.h"
#include "tests/tools/program.h"

namespace protolith::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// 5-way episodes of 15 images: 10 queries, 50 pairs.
const std::string kSmallEpisodes = "--preset demo --train-way 5 --train-query 2 --threads 1 ";

/// The f32 data of a .npy file that numpy would read as `shape`.
std::vector<float> read_npy(const fs::path& file, const std::string& shape) {
  const std::string bytes = slurp(file);
  REQUIRE(bytes.size() > 128);
  CHECK(bytes.substr(0, 8) == std::string("\x93NUMPY\x01\x00", 8));
  const auto length = static_cast<std::size_t>(static_cast<unsigned char>(bytes[8])) +
                      256 * static_cast<std::size_t>(static_cast<unsigned char>(bytes[9]));
  CHECK((10 + length) % 64 == 0);
  CHECK(contains(bytes.substr(0, 10 + length), "'descr': '<f4'"));
  CHECK(contains(bytes.substr(0, 10 + length), "'shape': (" + shape + ")"));
  std::vector<float> values((bytes.size() - 10 - length) / 4);
  std::memcpy(values.data(), bytes.data() + 10 + length, 4 * values.size());
  return values;
}

/// Counts in double over f32 edges; the last bin is closed.
std::vector<std::int64_t> recount(const std::vector<float>& values,
                                  const std::vector<double>& edges, bool magnitudes) {
  std::vector<std::int64_t> counts(edges.size() - 1, 0);
  for (const float f : values) {
    const double v = magnitudes ? std::fabs(static_cast<double>(f)) : static_cast<double>(f);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const bool last = i + 1 == counts.size() && v == edges[i + 1];
      if (v >= edges[i] && (v < edges[i + 1] || last)) ++counts[i];
    }
  }
  return counts;
}

std::vector<double> as_f32(const json& edges) {
  std::vector<double> values;
  for (const json& edge : edges) values.push_back(double{edge.get<float>()});
  return values;
}

}  // namespace

TEST_CASE("grad-hist: every histogram is a recount of the raw values, exactly") {
  const TemporaryFolder scratch;
  const fs::path out = scratch / "out";
  const ProgramResult result =
      run_program("grad-hist " + kSmallEpisodes +
                  "--metric sed,lsed:4:0.1 --at 0,3 --json --out '" + out.string() + "'");
  INFO(result.errors);
  REQUIRE(result.code == 0);
  const json printed = json::parse(result.output);
  CHECK(printed == json::parse(slurp(out / "summary.json")));
  REQUIRE(printed["results"].size() == 4);
  const json all = json::parse(slurp(out / "histograms.json"));
  REQUIRE(all.size() == 4);
  const std::pair<const char*, const char*> files[] = {{"log_gradient_softmax", "softmax_gradient"},
                                                       {"log_gradient_euclidean", "gradient"},
                                                       {"distance_softmax", "softmax_distance"},
                                                       {"distance_euclidean", "distance"}};
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::string metric = i < 2 ? "sed" : "lsed:4:0.1";
    const std::string folder = i < 2 ? "sed" : "lsed-4-0.1";
    CHECK(printed["results"][i]["metric"] == metric);
    CHECK(printed["results"][i]["iteration"] == (i % 2 == 0 ? 0 : 3));
    const fs::path place = out / folder / (i % 2 == 0 ? "iteration-0" : "iteration-3");
    for (const auto& entry : files) {
      const std::string quantity = entry.first;
      CAPTURE(quantity);
      const json& bins = all[i][quantity];
      const bool gradient = quantity.starts_with("log_gradient");
      const auto values = read_npy(place / (std::string(entry.second) + ".npy"), "10, 5");
      CHECK(values.size() == 50);
      const auto edges = as_f32(bins[gradient ? "magnitude_edges" : "edges"]);
      CHECK(bins["counts"].get<std::vector<std::int64_t>>() == recount(values, edges, gradient));
      CHECK(bins["nan"] == 0);
      CHECK(bins["above"] == 0);
    }
    const auto raw = read_npy(place / "softmax_gradient.npy", "10, 5");
    const auto logs = read_npy(place / "log_softmax_gradient.npy", "10, 5");
    std::int64_t below = 0;
    for (std::size_t k = 0; k < raw.size(); ++k) {
      const double magnitude = std::fabs(static_cast<double>(raw[k]));
      CHECK(logs[k] == static_cast<float>(std::log(magnitude + 1e-5)));
      below += magnitude < 1e-5 ? 1 : 0;
    }
    CHECK(printed["results"][i]["share_below_1e-5"].get<double>() ==
          doctest::Approx(static_cast<double>(below) / 50));
  }
  for (const char* name :
       {"histograms.csv", "figure.csv", "figure.svg", "figure.png", "config.toml"}) {
    CHECK_MESSAGE(fs::exists(out / name), name);
  }
}

TEST_CASE("grad-hist: metrics start from one network and see the same episodes") {
  const TemporaryFolder scratch;
  const fs::path out = scratch / "out";
  REQUIRE(run_program("grad-hist " + kSmallEpisodes +
                      "--metric sed,lsed:4:0.1,lsed:0:0.01 --out '" + out.string() + "'")
              .code == 0);
  const auto values = [&](const char* metric, const char* name) {
    return read_npy(out / metric / "iteration-0" / name, "10, 5");
  };
  const auto d = values("sed", "distance.npy");
  CHECK(values("lsed-4-0.1", "distance.npy") == d);
  CHECK(values("sed", "softmax_distance.npy") == d);
  CHECK(values("sed", "softmax_gradient.npy") == values("sed", "gradient.npy"));
  const auto leaky = values("lsed-4-0.1", "softmax_distance.npy");
  const auto own = values("lsed-4-0.1", "softmax_gradient.npy");
  const auto euclidean = values("lsed-4-0.1", "gradient.npy");
  for (std::size_t i = 0; i < d.size(); ++i) {
    const double exact = static_cast<double>(d[i]);
    const double want = exact <= 4 ? exact : 4 + (exact - 4) * 0.1;  // eq. 6
    CHECK(static_cast<double>(leaky[i]) == doctest::Approx(want).epsilon(1e-6).scale(0));
    CHECK(euclidean[i] == own[i] * (d[i] <= 4.0F ? 1.0F : 0.1F));
  }
}

TEST_CASE("grad-hist after N iterations is what a run records after N episodes") {
  const TemporaryFolder scratch;
  const std::string run = (scratch / "run").string();
  const std::string out = (scratch / "out").string();
  REQUIRE(run_program("train " + kSmallEpisodes + "--val-way 5 --val-query 2 --val-episodes 2 " +
                      "--metric lsed --episodes 9 --epoch-episodes 9 --histogram-every 4 --out " +
                      run)
              .code == 0);
  REQUIRE(run_program("grad-hist " + kSmallEpisodes + "--metric lsed --at 4,8 --out " + out).code ==
          0);
  const json dumped = json::parse(slurp(out + "/histograms.json"));
  std::istringstream lines(slurp(run + "/histograms.jsonl"));
  std::string line;
  std::getline(lines, line);  // episode 0
  for (const std::size_t i : {0U, 1U}) {
    REQUIRE(std::getline(lines, line));
    const json recorded = json::parse(line);
    CHECK(recorded["episode"] == dumped[i]["iteration"]);
    CHECK(recorded["log_gradient"] == dumped[i]["log_gradient_softmax"]);
  }
}

TEST_CASE("grad-hist: a checkpoint's network instead of the initial one") {
  const TemporaryFolder scratch;
  const std::string run = (scratch / "run").string();
  REQUIRE(run_program("train " + kSmallEpisodes +
                      "--val-way 5 --val-query 2 --val-episodes 2 --metric sed " +
                      "--episodes 20 --epoch-episodes 20 --out " + run)
              .code == 0);
  const auto median = [&](const std::string& more) {
    static int number = 0;
    const ProgramResult result =
        run_program("grad-hist " + kSmallEpisodes + "--metric sed --json " + more + " --out '" +
                    (scratch / std::to_string(++number)).string() + "'");
    INFO(result.errors);
    REQUIRE(result.code == 0);
    return json::parse(result.output)["results"][0]["distance_median"].get<double>();
  };
  const double trained = median("--checkpoint " + run + "/best.safetensors");
  CHECK(trained != median(""));
  CHECK(trained == median("--checkpoint " + run));
  const ProgramResult other =
      run_program("grad-hist --preset demo --last-pool on --checkpoint " + run +
                  "/best.safetensors --out '" + (scratch / "other").string() + "'");
  CHECK(other.code == 2);
  CHECK(contains(other.errors, "--last-pool"));
}

TEST_CASE("grad-hist: without gnuplot all numbers are kept") {
  const TemporaryFolder scratch;
  const fs::path out = scratch / "out";
  const Environment path("PATH", "");
  const ProgramResult result = run_program(
      "grad-hist " + kSmallEpisodes + "--metric sed --at 0 --json --out '" + out.string() + "'");
  CHECK(result.code == 1);
  CHECK_MESSAGE(contains(result.errors, "gnuplot-nox"), result.errors);
  CHECK(json::parse(slurp(out / "summary.json")) == json::parse(result.output));
}

TEST_CASE("grad-hist: a diverged network's NaN gradients are counted and said") {
  const TemporaryFolder scratch;
  const fs::path out = scratch / "out";
  const ProgramResult result =
      run_program("grad-hist " + kSmallEpisodes +
                  "--metric sed --lr 1e30 --at 0,1,2 --json --out '" + out.string() + "'");
  CHECK(result.code == 1);
  CHECK_MESSAGE(contains(result.errors, "gradients are no numbers (NaN)"), result.errors);
  CHECK_MESSAGE(contains(result.errors, "the loss became"), result.errors);
  const json printed = json::parse(result.output);
  CHECK(printed["results"].front()["nan"] == 0);
  CHECK(printed["results"].back()["nan"].get<int>() > 0);
  const json all = json::parse(slurp(out / "histograms.json"));
  CHECK(all.back()["log_gradient_softmax"]["nan"] == printed["results"].back()["nan"]);
  CHECK(json::parse(slurp(out / "summary.json")) == printed);
}

TEST_CASE("grad-hist: wrong usage") {
  const TemporaryFolder scratch;
  spill(scratch / "file", "x");
  const std::vector<std::pair<std::string, std::string>> cases{
      {"--at 8,0", "0 does not come after 8"},
      {"--at 0,0", "0 does not come after 0"},
      {"--at=-1", "'-1' is not an iteration"},
      {"--at 0,x", "'x' is not an iteration"},
      {"--at ''", "--at: its value is empty"},
      {"--metric sed,sed", "is there twice"},
      {"--metric lsed:0:0.01,lsed:0:nan", "--metric lsed:0:nan: "},
      {"--metric euclid", "unknown metric 'euclid'"},
      {"--metric sed --r 0.1", "--r 0.1 has no effect with metric sed"},
      {"--gradient both", "--gradient both: must be softmax or euclidean"},
      {"--train-way 10000", "way"},
      {"--out .", "exists and is not empty"}};
  for (const auto& entry : cases) {
    CAPTURE(entry.first);
    const ProgramResult result =
        run_program("grad-hist --preset demo " + entry.first, scratch.path());
    CHECK(result.code == 2);
    CHECK_MESSAGE(contains(result.errors, entry.second), result.errors);
    CHECK(!fs::exists(scratch / "grad-hist"));
  }
  const ProgramResult missing =
      run_program("grad-hist --preset demo --checkpoint none.safetensors", scratch.path());
  CHECK(missing.code == 2);
  CHECK(contains(missing.errors, "none.safetensors"));
  CHECK(!fs::exists(scratch / "grad-hist"));
}

}  // namespace protolith::testing
