#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/check.h"
#include "tests/engine/environment.h"
#include "tests/tools/program.h"
#include "tools/plot.h"
#include "tools/presets.h"
#include "tools/report_data.h"
#include "tools/report_figures.h"
#include "tools/report_html.h"

namespace protolith {
namespace {

using nlohmann::json;
using testing::contains;
using testing::Environment;
using testing::ProgramResult;
using testing::run_program;
using testing::slurp;
using testing::spill;
using testing::TemporaryFolder;

json epoch_line(int epoch, bool best) {
  return {{"epoch", epoch},
          {"episodes", 20 * epoch},
          {"train_loss", 2.0 / epoch},
          {"train_accuracy", 1 - 0.5 / epoch},
          {"learning_rate", 0.001},
          {"seconds", 40.0},
          {"val_loss", 2.5 / epoch},
          {"val_accuracy", 1 - 0.625 / epoch},
          {"val_ci95", 0.0125},
          {"best", best}};
}

/// A run of three epochs of which the second is the best.
RunFolder make_run(const std::filesystem::path& path, const std::string& metric = "sed",
                   bool validated = true) {
  Config config = preset_config("demo");
  config.metric = Metric::parse(metric);
  RunFolder run = RunFolder::create(config, path.string());
  for (int epoch = 1; epoch <= 3; ++epoch) {
    json line = epoch_line(epoch, epoch <= 2);
    if (!validated) {
      for (const char* key : {"val_loss", "val_accuracy", "val_ci95", "best"}) line.erase(key);
    }
    run.append_metrics(line);
  }
  return run;
}

json histogram_line(int episode) {
  return {{"episode", episode},
          {"log_gradient",
           {{"edges", {-11.5, -6.0, 0.0}}, {"counts", {30, 10}}, {"below", 0}, {"above", 0}}},
          {"distance",
           {{"edges", {0.1, 1, 10, 100}}, {"counts", {0, 20, 12}}, {"above", 8}, {"nan", 0}}},
          {"share_below_1e-5", 0.5},
          {"share_inside", 0.25},
          {"gradient_median", 0.125},
          {"distance_median", 3.5},
          {"softmax_distance_median", 7.5},
          {"entropy", 1.5}};
}

void add_histograms(const RunFolder& run, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += histogram_line(8 * i).dump() + "\n";
  spill(run.path() / "histograms.jsonl", text);
}

void add_test(const RunFolder& run) {
  spill(run.path() / "eval.json",
        R"({"accuracy":0.875,"ci95":0.005,"episodes":600,"loss":0.25,"query":15,"shot":1,)"
        R"("split":"test","way":20})");
}

TEST_CASE("a run's numbers come back as they were written") {
  const TemporaryFolder folder;
  const RunFolder run = make_run(folder / "run", "lsed:4:0.01");
  add_histograms(run, 3);
  add_test(run);
  const ReportedRun read = read_runs({run.path().string()}).at(0);
  CHECK(read.name == "run");
  CHECK(read.epochs.size() == 3);
  CHECK(read.epochs[1].episodes == 40);
  CHECK(read.epochs[1].train_accuracy == 0.75);
  CHECK(read.best() == &read.epochs[1]);
  CHECK(read.best()->val_loss == 1.25);
  CHECK(read.seconds() == 120);
  CHECK(std::isnan(read.epochs[0].peak_memory_mb));
  CHECK(to_string(read.config.metric) == "lsed:4:0.01");
  REQUIRE(read.histograms.size() == 3);
  CHECK(read.histograms[2].episode == 16);
  CHECK(read.histograms[2].distance.total() == 40);
  CHECK(read.histograms[2].share_inside == 0.25);
  CHECK(read.histograms[2].distance_median == 7.5);  // what enters the softmax
  CHECK(read.test.value().accuracy == 0.875);
  CHECK(read.warnings.empty());
}

TEST_CASE("a run that validates nothing has no best epoch and no validation curves") {
  const TemporaryFolder folder;
  const RunFolder run = make_run(folder / "run", "sed", false);
  const std::vector<ReportedRun> runs = read_runs({run.path().string()});
  CHECK(runs[0].best() == nullptr);
  CHECK(curves_figure(runs).panels.size() == 2);
  const RunFolder other = make_run(folder / "other");
  CHECK(curves_figure(read_runs({run.path().string(), other.path().string()})).panels.size() == 4);
}

TEST_CASE("what is no run, a run twice or a run without an epoch is refused") {
  const TemporaryFolder folder;
  const std::string run = make_run(folder / "run").path().string();
  CHECK_THROWS_WITH_AS(read_runs({folder.path().string()}), doctest::Contains("holds no run"),
                       UsageError);
  CHECK_THROWS_AS(read_runs({run, (folder / "missing").string()}), UsageError);
  CHECK_THROWS_WITH_AS(read_runs({run, run}), doctest::Contains("are the same run"), UsageError);
  CHECK_THROWS_WITH_AS(read_runs({run, run + "/../run/"}), doctest::Contains("are the same run"),
                       UsageError);
  std::filesystem::create_directory_symlink(run, folder / "link");
  CHECK_THROWS_AS(read_runs({run, (folder / "link").string()}), UsageError);
  const RunFolder empty = RunFolder::create(preset_config("demo"), (folder / "empty").string());
  CHECK_THROWS_WITH_AS(read_runs({empty.path().string()}), doctest::Contains("finish an epoch"),
                       UsageError);
}

TEST_CASE("a last line that was cut short is left out with a warning") {
  const TemporaryFolder folder;
  const RunFolder run = make_run(folder / "run");
  add_histograms(run, 2);
  spill(run.metrics_file(), slurp(run.metrics_file()) + "{\"epoch\":4,\"epis");
  spill(run.path() / "histograms.jsonl", slurp(run.path() / "histograms.jsonl") + "{\"epi");
  const ReportedRun read = read_runs({run.path().string()}).at(0);
  CHECK(read.epochs.size() == 3);
  CHECK(read.histograms.size() == 2);
  CHECK(read.warnings == std::vector<std::string>{run.metrics_file().string(),
                                                  (run.path() / "histograms.jsonl").string()});
}

TEST_CASE("damaged lines are named") {
  const TemporaryFolder folder;
  const RunFolder run = make_run(folder / "run");
  const std::string good = slurp(run.metrics_file());
  const auto read = [&] { return read_runs({run.path().string()}); };
  for (const std::string bad :
       {"{\"epoch\":4,\"epis", "[]", "", "{\"episodes\":1}", "{\"epoch\":4}",
        "{\"epoch\":4,\"episodes\":80,\"val_loss\":\"low\"}", "{\"epoch\":3,\"episodes\":80}"}) {
    CAPTURE(bad);
    spill(run.metrics_file(), good + bad + "\n");
    CHECK_THROWS_WITH_AS(read(), doctest::Contains("metrics.jsonl:4: "), Error);
  }
  spill(run.metrics_file(), good + "[]\n");
  CHECK_THROWS_WITH_AS(read(), doctest::Contains("metrics.jsonl:4: is no JSON object"), Error);
  // A loss that is not finite is written as null.
  spill(run.metrics_file(), good + "{\"epoch\":4,\"episodes\":80,\"train_loss\":null}\n");
  CHECK(std::isnan(read().at(0).epochs.back().train_loss));
  std::filesystem::remove(run.metrics_file());
  CHECK_THROWS_WITH_AS(read(), doctest::Contains("finish an epoch"), UsageError);
}

TEST_CASE("damaged histograms and test results are named") {
  const TemporaryFolder folder;
  const RunFolder run = make_run(folder / "run");
  const auto read = [&] { return read_runs({run.path().string()}); };
  const json good = histogram_line(0);
  std::vector<json> lines(6, good);
  lines[0].erase("episode");
  lines[1]["log_gradient"]["edges"].push_back(1);
  lines[2]["distance"]["counts"] = json::array();
  lines[3]["distance"]["edges"] = {1, 0.5, 2, 3};
  lines[4]["distance"] = 3;
  lines[5]["log_gradient"]["counts"] = {"1", 2};
  for (const json& line : lines) {
    CAPTURE(line.dump());
    spill(run.path() / "histograms.jsonl", good.dump() + "\n" + line.dump() + "\n");
    CHECK_THROWS_WITH_AS(read(), doctest::Contains("histograms.jsonl:2: "), Error);
  }
  std::filesystem::remove(run.path() / "histograms.jsonl");
  for (const char* text : {"", "{", "[]", "{\"split\":1}", "{\"split\":\"test\"}"}) {
    CAPTURE(text);
    spill(run.path() / "eval.json", text);
    CHECK_THROWS_WITH_AS(read(), doctest::Contains("eval.json: "), Error);
  }
}

TEST_CASE("runs of one name are told apart by their paths") {
  const TemporaryFolder folder;
  const std::string a = make_run(folder / "a/run").path().string();
  const std::string b = make_run(folder / "b/run").path().string();
  const std::vector<ReportedRun> runs = read_runs({a, b});
  CHECK(runs[0].name == a);
  CHECK(runs[1].name == b);
}

TEST_CASE("a handful of records is chosen, first and last among them; bars are shares of all") {
  const TemporaryFolder folder;
  const RunFolder run = make_run(folder / "run");
  const auto chosen = [&](int count) {
    add_histograms(run, count);
    std::vector<std::int64_t> episodes;
    for (const HistogramRecord& record : chosen_records(read_runs({run.path().string()}).at(0))) {
      episodes.push_back(record.episode);
    }
    return episodes;
  };
  using Episodes = std::vector<std::int64_t>;
  CHECK(chosen(0).empty());
  CHECK(chosen(1) == Episodes{0});
  CHECK(chosen(2) == Episodes{0, 8});
  CHECK(chosen(10) == Episodes{0, 24, 48, 72});
  const Figure figure = histograms_figure(read_runs({run.path().string()}).at(0), 2);
  REQUIRE(figure.panels.size() == 8);
  CHECK(figure.panels[0].series[0].y == std::vector<double>{75, 25});
  CHECK(figure.panels[4].series[0].y == std::vector<double>{0, 50, 30});  // 8 of 40 lie above
  CHECK(figure.panels[4].x.range.min == 1.0);                             // an empty bin goes
  CHECK(figure.panels[4].x.range.max == 100.0);
}

TEST_CASE("many bins are put together and long curves thinned") {
  const TemporaryFolder folder;
  const RunFolder run = make_run(folder / "run");
  json line = histogram_line(0);
  std::vector<double> edges(206), counts(205, 1);
  for (std::size_t i = 0; i < edges.size(); ++i) edges[i] = static_cast<double>(i);
  line["log_gradient"] = {{"edges", edges}, {"counts", counts}};
  spill(run.path() / "histograms.jsonl", line.dump() + "\n");
  ReportedRun read = read_runs({run.path().string()}).at(0);
  const Series bars = histograms_figure(read, 0).panels[0].series[0];
  CHECK(bars.y.size() == 69);  // 68 of three, one of the last
  CHECK(bars.y.front() == doctest::Approx(300.0 / 205));
  CHECK(bars.y.back() == doctest::Approx(100.0 / 205));
  CHECK(bars.x.back() == 205);
  read.epochs.assign(2500, read.epochs[0]);
  CHECK(curves_are_thinned({read}));
  CHECK(curves_figure({read}).panels[0].series[0].y.size() == 834);
}

TEST_CASE("curves go by epochs where these are equally long, else by episodes") {
  const TemporaryFolder folder;
  std::vector<ReportedRun> runs =
      read_runs({make_run(folder / "a").path().string(), make_run(folder / "b").path().string()});
  CHECK(curves_figure(runs).panels[0].x.label == "epoch");
  CHECK(curves_figure(runs).panels[0].series[1].x == std::vector<double>{1, 2, 3});
  runs[1].config.epoch_episodes += 1;
  CHECK(curves_figure(runs).panels[0].x.label == "training episodes");
  CHECK(curves_figure(runs).panels[0].series[1].x == std::vector<double>{20, 40, 60});
}

TEST_CASE("text is escaped") {
  CHECK(html_escape("<a href=\"x\">'&'</a>") ==
        "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
}

TEST_CASE("a page holds everything, needs nothing and is the same each time") {
  if (!can_draw()) {
    MESSAGE("skipped: gnuplot is not installed");
    return;
  }
  const TemporaryFolder folder;
  const RunFolder first = make_run(folder / "<i>first & \"best\"", "lsed:4:0.01");
  const RunFolder second = make_run(folder / "it's second");
  add_histograms(first, 5);
  add_test(second);
  const std::vector<ReportedRun> runs = read_runs({first.path().string(), second.path().string()});
  const std::string page = report_page(runs);
  CHECK(page == report_page(runs));
  for (const char* text : {"<!DOCTYPE html>",
                           "&lt;i&gt;first &amp; &quot;best&quot;",
                           "it&#39;s second",
                           "lsed:4:0.01",
                           "2 of 3",
                           "68.75 &plusmn;&nbsp;1.25&nbsp;%",
                           "1.2500",
                           "2 min 00 s",
                           "Learning curves",
                           "after 0 episodes",
                           "after 32 episodes",
                           "87.50 &plusmn;&nbsp;0.50",
                           "20-way 1-shot, 15 queries per class",
                           "Only the settings in which the runs differ",
                           "lie under those of",
                           "role=\"img\"",
                           "aria-label=",
                           "<caption>",
                           "scope=\"row\"",
                           "protolith train --config"}) {
    CAPTURE(text);
    CHECK(contains(page, text));
  }
  CHECK_FALSE(contains(page, "<i>first"));
  CHECK_FALSE(contains(page, "<script"));
  CHECK_FALSE(contains(page, "src="));
  CHECK_FALSE(contains(page, "url(http"));
  CHECK_FALSE(contains(page, "@import"));
  CHECK_FALSE(contains(page, "<link"));
}

TEST_CASE("report writes its page where it is told, and says so") {
  if (!can_draw()) {
    MESSAGE("skipped: gnuplot is not installed");
    return;
  }
  const TemporaryFolder folder;
  make_run(folder / "a");
  make_run(folder / "b", "lsed:0:0.01");
  ProgramResult result = run_program("report a", folder.path());
  CHECK(result.code == 0);
  CHECK(result.output == "report: a/report.html\n");
  CHECK(contains(slurp(folder / "a/report.html"), "</html>"));
  result = run_program("report a b --out both.html --json", folder.path());
  CHECK(result.code == 0);
  const json object = json::parse(result.output);
  CHECK(object["report"] == "both.html");
  REQUIRE(object["runs"].size() == 2);
  CHECK(object["runs"][1]["name"] == "b");
  CHECK(object["runs"][1]["metric"] == "lsed:0:0.01");
  CHECK(object["runs"][1]["best_epoch"] == 2);
  CHECK(object["runs"][1]["val_accuracy"] == 0.6875);
  CHECK(object["runs"][1]["seconds"] == 120);
  CHECK(contains(slurp(folder / "both.html"), "</html>"));
}

TEST_CASE("report refuses wrong usage by its exit code") {
  const TemporaryFolder folder;
  make_run(folder / "a");
  CHECK(run_program("report", folder.path()).code == 2);
  CHECK(run_program("report missing", folder.path()).code == 2);
  CHECK(run_program("report a a", folder.path()).code == 2);
  CHECK(run_program("report a --out", folder.path()).code == 2);
  const ProgramResult result = run_program("report a --out no/such/page.html", folder.path());
  CHECK(result.code == 2);
  CHECK(contains(result.errors, "no/such"));
}

TEST_CASE("without gnuplot the numbers are written and the error says what to install") {
  const TemporaryFolder folder;
  add_histograms(make_run(folder / "a"), 2);
  add_histograms(make_run(folder / "b"), 2);
  const Environment path("PATH", "");
  const ProgramResult result = run_program("report a b", folder.path());
  CHECK(result.code == 1);
  CHECK(contains(result.errors,
                 "gnuplot is missing, so a/report.html was not written; install it with: apt-get "
                 "install gnuplot-nox (the numbers are in a/report-curves.csv, "
                 "a/report-histograms-1.csv, a/report-histograms-2.csv, a/report-shares.csv)"));
  CHECK(contains(slurp(folder / "a/report-curves.csv"), "Validation loss,b,2,,1.25,\n"));
  CHECK(contains(slurp(folder / "a/report-histograms-2.csv"), "after 8 episodes,,-11.5,-6,75,\n"));
  CHECK(contains(slurp(folder / "a/report-shares.csv"), ",a,8,,50,\n"));
  CHECK_FALSE(std::filesystem::exists(folder / "a/report.html"));
}

}  // namespace
}  // namespace protolith
