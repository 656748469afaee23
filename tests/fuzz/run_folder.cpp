// tools/run_folder, report_data and settings_file: the JSON of a run's folder.
#include "tools/run_folder.h"

#include <nlohmann/json.hpp>

#include "tests/fuzz/fuzz.h"
#include "tools/options.h"
#include "tools/presets.h"
#include "tools/report_data.h"
#include "tools/settings_file.h"

using namespace protolith;

namespace {

struct Run {
  fuzz::Folder folder;
  fuzz::MemoryFile config, metrics, histograms, evaluation, settings;
  Run() {
    folder.link("config.toml", config);
    folder.link("metrics.jsonl", metrics);
    folder.link("histograms.jsonl", histograms);
    folder.link("eval.json", evaluation);
    config.fill(to_toml(preset_config("demo")));
  }
};

constexpr std::string_view kEpoch = "{\"epoch\": 1, \"episodes\": 100}\n";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Run run;
  std::string_view input = fuzz::text_of(data, size);
  const int choice = fuzz::take_choice(input) % 4;
  run.metrics.fill(choice == 0 ? input : kEpoch);
  run.histograms.fill(choice == 1 ? input : "");
  run.evaluation.fill(choice == 2 ? input
                                  : "{\"split\": \"val\", \"way\": 5, \"shot\": 1, "
                                    "\"query\": 15, \"episodes\": 100}");
  run.settings.fill(choice == 3 ? input : "");
  fuzz::try_to([&] {
    if (choice == 3) {
      const nlohmann::json read = read_json_file(run.settings.path());
      fuzz::require(settings_difference(read, read).empty());
      settings_difference(read, {{"seed", 1}});
      return;
    }
    const std::vector<ReportedRun> runs = read_runs({run.folder.path().string()});
    fuzz::require(runs.size() == 1 && !runs[0].epochs.empty());
    RunFolder::open(run.folder.path()).last_metrics();
  });
  return 0;
}
