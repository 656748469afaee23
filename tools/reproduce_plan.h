// Which `protolith` commands make up a figure or table of the paper.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tools/options.h"

namespace protolith {

/// A figure or table of Shen & Liu.
struct ReproduceTarget {
  std::string name;         ///< "fig3", "table1"
  std::string description;  ///< of what is made here
  bool on_mini_imagenet;    ///< in the paper; here on the data that --data names
};

const std::vector<ReproduceTarget>& reproduce_targets();

/// Throws UsageError that lists the names.
const ReproduceTarget& find_reproduce_target(const std::string& name);

struct ReproduceOptions {
  std::string target;
  bool quick = false;
  bool quiet = false;  ///< no progress of the commands
  std::filesystem::path out;
  Assignments flags = {};                ///< train's options that were given
  std::vector<std::int64_t> seeds = {};  ///< table1: made for each, in folders of their own
};

/// One command of a target. It is finished when `result`, a file of its stdout, is there.
struct ReproduceStep {
  std::string name;                    ///< "train-sed", unique in the target
  std::vector<std::string> arguments;  ///< without the program
  std::filesystem::path result;
  std::vector<std::string> resume = {};   ///< the arguments that continue it, where it trains
  std::filesystem::path run = {};         ///< its run folder, where it trains
  std::filesystem::path scratch = {};     ///< its own folder, removed before it begins anew
  std::optional<std::int64_t> seed = {};  ///< of options.seeds
};

/// Seeds as --seeds has them: "1,2,5" or "1:5", both ends included, or both. Throws UsageError that
/// names what is wrong.
std::vector<std::int64_t> parse_seeds(const std::string& text);

/// The kind of the data that --data names; "" without it.
std::string data_kind(const ReproduceOptions& options);

/// The steps of options.target, in order; none for fig2, which is computed without a model. They
/// use the presets of miniImageNet on that, else those of Omniglot.
std::vector<ReproduceStep> reproduce_steps(const ReproduceOptions& options);

/// The step as a line for a shell: "protolith train ... > DIR/train-sed.json".
std::string step_line(const ReproduceStep& step);

/// The given options as words of a command line, over `defaults`.
std::vector<std::string> option_words(const Assignments& defaults, const Assignments& given);

}  // namespace protolith
