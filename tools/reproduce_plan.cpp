#include "tools/reproduce_plan.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "engine/check.h"
#include "tools/child_process.h"
#include "tools/nearest.h"

namespace protolith {
namespace {

using Words = std::vector<std::string>;

Words joined(std::initializer_list<Words> parts) {
  Words all;
  for (const Words& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

Assignment assignment(const char* key, const char* value) {
  return {find_option(key), value, "the target's own setting"};
}

/// What --quick makes of the published protocol: minutes on two cores.
Assignments quick_settings() {
  return {assignment("episodes", "200"), assignment("epoch_episodes", "40"),
          assignment("val_episodes", "20"), assignment("test_episodes", "100")};
}

class Planner {
 public:
  explicit Planner(const ReproduceOptions& options)
      : options_(options), flags_(options.flags), folder_(options.out) {
    if (options.quick) defaults_ = quick_settings();
    last_words_ = {"--json"};
    if (options.quiet) last_words_.emplace_back("--quiet");
  }

  std::vector<ReproduceStep> steps() {
    const std::string& target = options_.target;
    if (target == "fig3") histogram("sed", "sed,lsed:0:0.1,lsed:0:0.01", "0");
    if (target == "fig4") histogram("sed", "sed", "0,8,16");
    if (target == "fig5") histogram("lsed", "lsed:0:0.01", "0,8,16");
    if (target == "fig6") histogram("sed", "sed", "0,50,100");
    if (target == "fig7") histogram("lsed", "lsed:4:0.01", "0,50,100");
    if (target == "fig8") sweep();
    if (target == "fig9") curves();
    if (target == "table1") tables();
    return std::move(steps_);
  }

 private:
  std::string out(const std::string& name) const { return (folder_ / name).string(); }

  /// The given options that say where to compute; they may change from call to call.
  Words device_words() const {
    Assignments device;
    for (const Assignment& flag : flags_) {
      if (flag.option->group == OptionGroup::device && flag.option->key != "seed") {
        device.push_back(flag);
      }
    }
    return option_words({}, device);
  }

  void add(const std::string& name, const Words& arguments) {
    steps_.push_back({.name = name,
                      .arguments = joined({arguments, last_words_}),
                      .result = folder_ / (name + ".json"),
                      .seed = seed_});
    if (seed_) steps_.back().name += fmt::format(", seed {}", *seed_);
  }

  std::string preset(const std::string& metric, const std::string& shot = "1") const {
    const bool mini = data_kind(options_) == "mini-imagenet";
    return fmt::format("{}{}s-{}", mini ? "mini-5w" : "omniglot-20w", shot, metric);
  }

  void histogram(const char* metric, const char* metrics, const char* at) {
    add("hist", joined({{"grad-hist", "--preset", preset(metric), "--metric", metrics, "--at", at},
                        option_words({}, flags_),
                        {"--out", out("hist")}}));
    steps_.back().scratch = folder_ / "hist";
  }

  Words train_options() const { return option_words(defaults_, flags_); }

  void train(const std::string& name, const std::string& its_preset) {
    add("train-" + name,
        joined({{"train", "--preset", its_preset}, train_options(), {"--out", out(name)}}));
    ReproduceStep& step = steps_.back();
    step.run = folder_ / name;
    step.resume = joined({{"train", "--resume", out(name)}, device_words(), last_words_});
  }

  void sweep() {
    // The paper's axes: s at r = 0.01, and r (1 is SED) at s = 4.
    const char* const s = options_.quick ? "0,4,16" : "0,1,2,4,8,16";
    const char* const r = options_.quick ? "lsed:4:0.1" : "lsed:4:1,lsed:4:0.1,lsed:4:0.001";
    add("sweep", joined({{"sweep", "--preset", preset("lsed"), "--s", s, "--r", "0.01", "--metric",
                          r, "--reference", "lsed:4:0.01"},
                         train_options(),
                         {"--out", out("sweep")}}));
  }

  void curves() {
    train("sed", preset("sed"));
    train("lsed", preset("lsed"));
    add("report", {"report", out("sed"), out("lsed"), "--out", out("report.html")});
  }

  void table() {
    for (const std::string shot : {"1", "5"}) {
      const std::string sed = "sed-" + shot + "shot";
      const std::string lsed = "lsed-" + shot + "shot";
      train(sed, preset("sed", shot));
      train(lsed, preset("lsed", shot));
      add("eval-" + shot + "shot",
          joined({{"eval", out(sed), "--compare", out(lsed)}, device_words()}));
    }
  }

  /// Once, or for each of the seeds.
  void tables() {
    if (options_.seeds.empty()) table();
    for (const std::int64_t seed : options_.seeds) {
      const std::string text = std::to_string(seed);
      seed_ = seed;
      folder_ = options_.out / ("seed-" + text);
      flags_ = options_.flags;
      flags_.push_back(assignment("seed", text.c_str()));
      table();
    }
  }

  const ReproduceOptions& options_;
  Assignments flags_;                 ///< of the steps that are being added,
  std::filesystem::path folder_;      ///< their folder,
  std::optional<std::int64_t> seed_;  ///< and their seed of several
  Assignments defaults_;
  Words last_words_;
  std::vector<ReproduceStep> steps_;
};

}  // namespace

std::string data_kind(const ReproduceOptions& options) {
  for (const Assignment& flag : options.flags) {
    if (flag.option->key == "data") return flag.value.substr(0, flag.value.find(':'));
  }
  return "";
}

const std::vector<ReproduceTarget>& reproduce_targets() {
  static const std::vector<ReproduceTarget> targets = {
      {"fig2", "the loss of two classes against the distance, SED and LSED; needs no data", false},
      {"fig3", "gradients and distances at the start: SED, LSED with r = 0.1 and 0.01", true},
      {"fig4", "gradients and distances under SED after 0, 8, 16 iterations", false},
      {"fig5", "the same under LSED with s = 0, r = 0.01", false},
      {"fig6", "gradients and distances under SED after 0, 50, 100 iterations", true},
      {"fig7", "the same under LSED with s = 4, r = 0.01", true},
      {"fig8", "accuracy against LSED's s and r, by validation", true},
      {"fig9", "training and validation accuracy per epoch, SED and LSED", true},
      {"table1", "test accuracy of SED and LSED, Omniglot 20-way 1-shot and 5-shot", false}};
  return targets;
}

const ReproduceTarget& find_reproduce_target(const std::string& name) {
  std::vector<std::string> names;
  for (const ReproduceTarget& target : reproduce_targets()) {
    if (target.name == name) return target;
    names.push_back(target.name);
  }
  throw UsageError(fmt::format("unknown target '{}'; use one of {}{}", name, fmt::join(names, ", "),
                               did_you_mean(name, names)));
}

std::vector<std::int64_t> parse_seeds(const std::string& text) {
  constexpr std::int64_t kMostSeeds = 1000;
  std::vector<std::int64_t> seeds;
  const char* at = text.data();
  const char* const last = at + text.size();
  const auto refuse_unless = [&](bool good, const std::string& why) {
    PROTOLITH_CHECK_USAGE(good, "--seeds '{}': {}; give numbers of at least 0, as 1,2,5 or 1:5",
                          text, why);
  };
  const auto number = [&] {
    std::int64_t value = -1;
    const auto [end, error] = std::from_chars(at, last, value);
    refuse_unless(error == std::errc() && value >= 0,
                  fmt::format("no number at '{}'", std::string(at, last)));
    at = end;
    return value;
  };
  for (bool more = true; more; more = at != last && *at++ == ',') {
    const std::int64_t first = number();
    const bool range = at != last && *at == ':';
    if (range) ++at;
    const std::int64_t end = range ? number() : first;
    refuse_unless(end >= first && end - first < kMostSeeds,
                  fmt::format("{}:{} is no range of 1 to {} seeds", first, end, kMostSeeds));
    for (std::int64_t i = 0; i <= end - first; ++i) {
      const std::int64_t seed = first + i;
      refuse_unless(std::find(seeds.begin(), seeds.end(), seed) == seeds.end(),
                    fmt::format("{} is there twice", seed));
      seeds.push_back(seed);
    }
    refuse_unless(at == last || *at == ',', fmt::format("'{}' is left", std::string(at, last)));
  }
  return seeds;
}

std::vector<ReproduceStep> reproduce_steps(const ReproduceOptions& options) {
  find_reproduce_target(options.target);
  return Planner(options).steps();
}

std::string step_line(const ReproduceStep& step) {
  return shell_line(joined({{"protolith"}, step.arguments})) + " > " +
         shell_line({step.result.string()});
}

std::vector<std::string> option_words(const Assignments& defaults, const Assignments& given) {
  std::set<const ConfigOption*> overridden;
  for (const Assignment& flag : given) overridden.insert(flag.option);
  Words words;
  const auto add = [&](const Assignment& flag) {
    if (flag.option->type == OptionType::toggle) {
      words.push_back(flag.option->flag() + "=" + flag.value);
    } else {
      words.insert(words.end(), {flag.option->flag(), flag.value});
    }
  };
  for (const Assignment& flag : defaults) {
    if (!overridden.contains(flag.option)) add(flag);
  }
  for (const Assignment& flag : given) add(flag);
  return words;
}

}  // namespace protolith
