// `protolith completion bash|zsh|fish|man`: the program's command line for shells and for man.
#include "tools/completion.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "tools/command.h"

namespace protolith {
namespace {

std::string written_for(const std::string& reader, const CommandHelp& program) {
  if (reader == "bash") return bash_completion(program);
  if (reader == "zsh") return zsh_completion(program);
  if (reader == "fish") return fish_completion(program);
  return man_page(program);
}

}  // namespace

void add_completion_command(CommandLine& program) {
  const auto reader = std::make_shared<std::string>();
  CLI::App& command = program.add_command(
      "completion", "Print a completion script for your shell, or the manual page",
      "  source <(protolith completion bash)           this bash only\n"
      "  protolith completion man | man -l -           read the manual page\n"
      "\n"
      "For good, each by one command:\n"
      "  bash, with Debian's package bash-completion:\n"
      "    mkdir -p ~/.local/share/bash-completion/completions\n"
      "    protolith completion bash > ~/.local/share/bash-completion/completions/protolith\n"
      "  zsh, with these two lines in ~/.zshrc:  fpath=(~/.zfunc $fpath)\n"
      "                                          autoload -U compinit && compinit\n"
      "    mkdir -p ~/.zfunc && protolith completion zsh > ~/.zfunc/_protolith\n"
      "  fish:\n"
      "    mkdir -p ~/.config/fish/completions\n"
      "    protolith completion fish > ~/.config/fish/completions/protolith.fish\n"
      "  man protolith, where ~/.local/bin is in PATH:\n"
      "    mkdir -p ~/.local/share/man/man1\n"
      "    protolith completion man > ~/.local/share/man/man1/protolith.1\n"
      "\n"
      "New shells then complete commands, options, values of a fixed set and files. The scripts\n"
      "know this version's options: write them again after an update.",
      [reader, &program] {
        std::fputs(written_for(*reader, describe(program.tree())).c_str(), stdout);
        return kExitDone;
      });
  command.add_option("shell", *reader, "the shell that runs the script, or man for the page")
      ->check(CLI::IsMember({"bash", "zsh", "fish", "man"}))
      ->required();
}

}  // namespace protolith
