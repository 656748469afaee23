#pragma once

#include <string>
#include <vector>

#include "tools/config.h"

namespace protolith {

/// A named, complete configuration.
struct Preset {
  std::string description;
  Config config;  ///< config.preset is its name
};

/// The presets: "demo" and the published protocols on Omniglot and miniImageNet (Snell et al. 2017)
/// with either metric.
const std::vector<Preset>& presets();

/// The configuration of that name. Throws UsageError that lists the names.
Config preset_config(const std::string& name);

}  // namespace protolith
