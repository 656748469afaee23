#include "tools/command.h"

int main(int argc, char** argv) {
  protolith::CommandLine program;
  protolith::add_train_command(program);
  protolith::add_eval_command(program);
  protolith::add_grad_hist_command(program);
  protolith::add_report_command(program);
  protolith::add_sweep_command(program);
  protolith::add_reproduce_command(program);
  protolith::add_verify_command(program);
  protolith::add_info_command(program);
  protolith::add_bench_command(program);
  return program.run(argc, argv);
}
