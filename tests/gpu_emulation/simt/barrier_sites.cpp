#include "tests/gpu_emulation/simt/barrier_sites.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <string_view>

namespace simt {
namespace {

// From the repository's root on, whatever the compiler was told of the folders above.
std::string relative(std::string_view file) {
  for (const std::string_view top : {"kernels/cuda/", "tests/gpu_emulation/"}) {
    const std::size_t found = file.rfind(top);
    if (found != std::string_view::npos) return std::string(file.substr(found));
  }
  return std::string(file);
}

// The sites that ran, and the one that does nothing.
class Sites {
 public:
  Sites() {
    if (const char* site = std::getenv("SIMT_DISABLED_BARRIER")) disable(site);
  }
  ~Sites() {
    const char* const path = std::getenv("SIMT_BARRIER_SITES");
    if (path == nullptr) return;
    std::ofstream list(path);
    for (const std::string& site : names()) list << site << '\n';
  }
  Sites(const Sites&) = delete;
  Sites& operator=(const Sites&) = delete;

  void note(const Site& site) {
    for (const Site& known : seen_) {
      if (same_site(known, site)) return;
    }
    seen_.push_back(site);
  }
  std::vector<std::string> names() const {
    std::set<std::string> names;
    for (const Site& site : seen_) names.insert(text(site));
    return {names.begin(), names.end()};
  }
  void disable(const std::string& site) {
    const std::size_t colon = site.rfind(':');
    disabled_line = colon == std::string::npos ? 0 : std::atoi(site.c_str() + colon + 1);
    disabled_ = site;
  }
  const std::string& disabled() const { return disabled_; }

 private:
  std::vector<Site> seen_;
  std::string disabled_;
};

Sites& sites() {
  static Sites sites;
  return sites;
}

// So that the environment is read, and the list written, by every program.
[[maybe_unused]] const Sites& made_at_start = sites();

}  // namespace

int disabled_line = 0;

bool same_site(const Site& a, const Site& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

std::string text(const Site& site) {
  return relative(site.file) + ":" + std::to_string(site.line);
}

bool is_disabled_at_line(const Site& site) {
  return text(site) == sites().disabled();
}

void note_barrier(const Site& site) {
  sites().note(site);
}

std::vector<std::string> barrier_sites() {
  return sites().names();
}

void disable_barrier(const std::string& site) {
  sites().disable(site);
}

}  // namespace simt
