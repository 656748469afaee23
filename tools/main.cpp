#include "tools/command.h"

int main(int argc, char** argv) {
  protolith::CommandLine program;
#if __has_include("tools/train.cpp")
  protolith::add_train_command(program);
#endif
#if __has_include("tools/eval.cpp")
  protolith::add_eval_command(program);
#endif
#if __has_include("tools/bench.cpp")
  protolith::add_bench_command(program);
#endif
  protolith::add_verify_command(program);
  protolith::add_info_command(program);
  return program.run(argc, argv);
}
