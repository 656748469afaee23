#include "tools/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "engine/check.h"

namespace protolith {
namespace {

/// The option that a word names, `--out` of `--out=x` too; null: none.
const CLI::Option* named(const CLI::App& command, const std::string& word) {
  if (word.size() < 2 || word.front() != '-') return nullptr;
  return command.get_option_no_throw(word.substr(0, word.find('=')));
}

bool is_flag(const CLI::Option& option) {
  return option.get_items_expected_max() == 0;
}

/// A path that CLI11 would not take for one.
std::string plain_path(const std::string& word) {
  const bool list = word.size() >= 2 && word.front() == '[' && word.back() == ']';
  return list || word == "++" ? "./" + word : word;
}

/// Appends the words of one command.
class Words {
 public:
  Words(const CLI::App& command, const std::vector<std::string>& words, std::size_t first)
      : command_(command), words_(words), at_(first) {}

  void append_to(std::vector<std::string>& plain) {
    while (at_ < words_.size()) {
      const std::string& word = words_[at_++];
      const CLI::Option* const option = named(command_, word);
      if (word == "--") {
        append_rest(plain);
      } else if (option == nullptr) {
        plain.push_back(plain_path(word));
      } else if (is_flag(*option)) {
        append_flag(plain, *option, word);
      } else {
        append_value(plain, *option, word);
      }
    }
  }

 private:
  void append_rest(std::vector<std::string>& plain) {
    for (; at_ < words_.size(); ++at_) {
      const std::string& word = words_[at_];
      plain.push_back(word.starts_with('-') ? "./" + word : plain_path(word));
    }
  }

  static void append_flag(std::vector<std::string>& plain, const CLI::Option& flag,
                          const std::string& word) {
    const std::size_t mark = word.find('=');
    const std::string value = mark == std::string::npos ? "on" : word.substr(mark + 1);
    const bool on = value == "on" || value == "true";
    PROTOLITH_CHECK_USAGE(on || value == "off" || value == "false",
                          "{}: takes no value but on or off", word);
    const bool has_opposite = flag.get_lnames().size() > 1;
    if (on) {
      plain.push_back(word.substr(0, mark));
    } else if (has_opposite) {
      plain.push_back(word);
    }
  }

  void append_value(std::vector<std::string>& plain, const CLI::Option& option,
                    const std::string& word) {
    const bool many = option.get_allow_extra_args();
    if (const std::size_t mark = word.find('='); mark != std::string::npos) {
      plain.push_back(word.substr(0, mark));
      const std::string value = word.substr(mark + 1);
      plain.push_back(many ? plain_path(value) : value);
      return;
    }
    plain.push_back(word);
    if (at_ == words_.size()) return;
    const std::string& value = words_[at_];
    PROTOLITH_CHECK_USAGE(named(command_, value) == nullptr,
                          "{0}: its value is missing; if {1} is meant to be it, write {0}={1}",
                          word, value);
    ++at_;
    plain.push_back(many ? plain_path(value) : value);
  }

  const CLI::App& command_;
  const std::vector<std::string>& words_;
  std::size_t at_;
};

}  // namespace

std::vector<std::string> plain_arguments(const CLI::App& app,
                                         const std::vector<std::string>& words) {
  std::vector<std::string> plain;
  for (std::size_t i = 0; i < words.size(); ++i) {
    PROTOLITH_CHECK_USAGE(words[i] != "--",
                          "'--' goes after the command: protolith COMMAND -- FILE");
    plain.push_back(words[i]);
    const auto commands = app.get_subcommands({});
    const auto command = std::find_if(commands.begin(), commands.end(), [&](const CLI::App* one) {
      return one->get_name() == words[i];
    });
    if (command == commands.end()) continue;
    Words(**command, words, i + 1).append_to(plain);
    break;
  }
  return plain;
}

CLI::Validator decimal() {
  return {[](std::string& text) -> std::string {
            const std::size_t sign = text.starts_with('-') ? 1 : 0;
            const bool digits =
                text.size() > sign &&
                std::all_of(text.begin() + static_cast<std::ptrdiff_t>(sign), text.end(),
                            [](char c) { return c >= '0' && c <= '9'; });
            if (!digits) return text + " is no whole number";
            const std::size_t first = std::min(text.find_first_not_of('0', sign), text.size() - 1);
            text.erase(sign, first - sign);
            return {};
          },
          "", "decimal"};
}

}  // namespace protolith
