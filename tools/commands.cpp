#include "tools/command.h"

namespace protolith {

void add_commands(CommandLine& program) {
  add_train_command(program);
  add_eval_command(program);
  add_classify_command(program);
  add_embed_command(program);
  add_export_command(program);
  add_grad_hist_command(program);
  add_report_command(program);
  add_sweep_command(program);
  add_reproduce_command(program);
  add_verify_command(program);
  add_info_command(program);
  add_bench_command(program);
  add_completion_command(program);
}

}  // namespace protolith
