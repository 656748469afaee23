// What `bench kernels` must list, by the sources: families are headers with a source of the same
// name, kernels the functions for which a header states a formula.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "engine/kernel_bench.h"
#include "tests/engine/temporary_folder.h"
#include "tools/kernel_shapes.h"

namespace protolith::testing {

struct KernelSources {
  std::set<std::string> families, kernels;
};

/// Of kernels/`folder`, whose sources end in `extension`; `no_families` are no kernels, `parts`
/// only parts of other formulas.
inline KernelSources kernel_sources(const std::string& folder, const std::string& extension,
                                    const std::set<std::string>& no_families,
                                    const std::set<std::string>& parts) {
  namespace fs = std::filesystem;
  KernelSources found;
  const fs::path kernels = fs::path(PROTOLITH_GOLDENS).parent_path().parent_path() / "kernels";
  for (const auto& entry : fs::directory_iterator(kernels / folder)) {
    fs::path source = entry.path();
    const std::string name = source.stem().string();
    if (source.extension() != ".h" || no_families.contains(name)) continue;
    const std::string header = slurp(source);
    const std::regex formula(R"(inline Traffic (\w+)_traffic\()");
    for (std::sregex_iterator at(header.begin(), header.end(), formula), end; at != end; ++at) {
      if (!parts.contains((*at)[1].str())) found.kernels.insert((*at)[1].str());
    }
    if (fs::exists(source.replace_extension(extension))) found.families.insert(name);
  }
  return found;
}

/// Checks that every family and every kernel is among the entries, and nothing else, and that the
/// help says which shapes each family takes.
inline void check_listed(const KernelSources& sources, const std::vector<KernelEntry>& entries) {
  KernelSources listed;
  const std::string help = shape_help();
  for (const KernelEntry& entry : entries) {
    CAPTURE(entry.name);
    listed.families.insert(entry.family);
    CHECK_MESSAGE(listed.kernels.insert(entry.name).second, "listed twice");
    // "  ROWSxCHANNELS      batch_norm, ...", and lines that go on with blanks.
    const std::regex line("\n  " + syntax_of(entry.domain) + " [^\n]*(\n    [^\n]*)*\\b" +
                          entry.family + "\\b");
    CHECK_MESSAGE(std::regex_search(help, line), "not in the help with its shape");
  }
  CHECK(sources.families.size() > 10);
  for (const std::string& family : sources.families) {
    CHECK_MESSAGE(listed.families.contains(family), family << " is not registered");
  }
  for (const std::string& kernel : sources.kernels) {
    CHECK_MESSAGE(listed.kernels.contains(kernel), kernel << " is not registered");
  }
  for (const std::string& family : listed.families) CHECK(sources.families.contains(family));
  for (const std::string& kernel : listed.kernels) CHECK(sources.kernels.contains(kernel));
}

}  // namespace protolith::testing
