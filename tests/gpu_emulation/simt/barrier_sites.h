// Where barriers stand in the source, and which of them does nothing for now.
#pragma once

#include <string>

#include "tests/gpu_emulation/simt/executor.h"

namespace simt {

bool same_site(const Site& a, const Site& b);
/// "file:line", the file relative to the source tree.
std::string text(const Site& site);
/// The line that disable_barrier() chose, of whatever file; 0 for none. Compared first: it is
/// quick.
extern int disabled_line;
bool is_disabled_at_line(const Site& site);
/// Whether disable_barrier() chose this site.
inline bool is_disabled(const Site& site) {
  return site.line == disabled_line && is_disabled_at_line(site);
}
/// Notes that the barrier at that site ran.
void note_barrier(const Site& site);

}  // namespace simt
