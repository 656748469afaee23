#include "tools/child_process.h"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <vector>

#include "engine/check.h"
#include "tests/engine/environment.h"
#include "tests/engine/temporary_folder.h"

namespace protolith {
namespace {

using testing::Environment;
using testing::slurp;
using testing::spill;
using testing::TemporaryFolder;

constexpr std::size_t kMany = 1 << 20;  // far more than a pipe holds

ChildResult run_shell(const std::string& script, const std::string& input = "") {
  return run_child({"sh", "-c", script},
                   {.input = input, .capture_output = true, .capture_errors = true});
}

TEST_CASE("a child's streams and exit code come back apart") {
  const ChildResult result = run_shell("cat; echo wrong >&2; exit 3", "a line\n");
  CHECK(result.code == 3);
  CHECK(result.output == "a line\n");
  CHECK(result.errors == "wrong\n");
  CHECK(run_shell("exit 0").code == 0);
  CHECK(run_shell("cat").output.empty());
}

TEST_CASE("a child gets its arguments as they are") {
  const ChildResult result = run_child({"printf", "%s|", "", "a b", "$HOME", "'\"\\", "*"},
                                       {.input = "", .capture_output = true});
  CHECK(result.output == "|a b|$HOME|'\"\\|*|");
}

TEST_CASE("more than a pipe holds, on every stream at once, does not block") {
  const std::string text(kMany, 'x');
  const ChildResult result = run_shell("head -c 1048576 /dev/zero >&2; cat; cat /dev/null", text);
  CHECK(result.output == text);
  CHECK(result.errors.size() == kMany);
}

TEST_CASE("a stream that ends first does not end the other") {
  CHECK(run_shell("exec >&-; sleep 0.1; echo late >&2").errors == "late\n");
  CHECK(run_shell("exec 2>&-; sleep 0.1; echo late").output == "late\n");
}

TEST_CASE("a child that does not read its input ends as it likes") {
  const ChildResult result = run_shell("exec <&-; exit 4", std::string(kMany, 'x'));
  CHECK(result.code == 4);
}

TEST_CASE("a child that a signal ends reports 128 + the signal") {
  CHECK(run_shell("kill -TERM $$").code == 128 + SIGTERM);
  CHECK(run_shell("kill -KILL $$").code == 128 + SIGKILL);
}

TEST_CASE("a child inherits no file but its streams, and leaves none open here") {
  const auto open_files = [] {
    std::vector<int> files;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      files.push_back(std::stoi(entry.path().filename().string()));
    }
    return files;
  };
  const std::vector<int> before = open_files();
  const auto inherited = std::count_if(before.begin(), before.end(), [](int file) {
    const int flags = fcntl(file, F_GETFD);
    return flags >= 0 && (flags & FD_CLOEXEC) == 0;
  });
  // ls sees what we were started with, and the folder it reads.
  const std::string seen = run_shell("exec ls /proc/self/fd").output;
  CHECK(std::count(seen.begin(), seen.end(), '\n') == inherited + 1);
  CHECK_THROWS_AS(run_child({"/no/such/program"}), Error);
  CHECK(open_files().size() == before.size());
}

TEST_CASE("a program that cannot be started is named") {
  CHECK_THROWS_WITH_AS(run_child({"no-such-program-here"}),
                       doctest::Contains("no-such-program-here cannot be started"), Error);
  CHECK_THROWS_AS(run_child({}), Error);
  const TemporaryFolder folder;
  spill(folder / "plain", "text");
  CHECK_THROWS_WITH_AS(run_child({(folder / "plain").string()}),
                       doctest::Contains("cannot be started"), Error);
}

TEST_CASE("PATH decides what is found") {
  CHECK(is_on_path("sh"));
  CHECK(is_on_path("/bin/sh"));
  CHECK_FALSE(is_on_path("no-such-program-here"));
  CHECK_FALSE(is_on_path(""));
  CHECK_FALSE(is_on_path("/bin"));
  const TemporaryFolder folder;
  spill(folder / "tool", "#!/bin/sh\n");
  const std::string folders = "/nowhere:" + folder.path().string();
  const Environment path("PATH", folders.c_str());
  CHECK_FALSE(is_on_path("tool"));  // not executable
  std::filesystem::permissions(folder / "tool", std::filesystem::perms::owner_all);
  CHECK(is_on_path("tool"));
  CHECK_FALSE(is_on_path("sh"));
}

TEST_CASE("a shell reads a line back to the same words") {
  CHECK(shell_line({"protolith", "train", "--lr", "0.01", "--data=omniglot:a/b"}) ==
        "protolith train --lr 0.01 --data=omniglot:a/b");
  CHECK(shell_line({"a b", "", "it's", "A=1"}) == "'a b' '' 'it'\\''s' A=1");
  CHECK(shell_line({"A=1"}) == "'A=1'");
  const std::vector<std::string> words{"",  "a b",  "$HOME", "`id`", "'", "\"", "\\", "*",
                                       "~", "a\nb", "#",     ";",    "&", "!",  "é"};
  std::string expected;
  for (const std::string& word : words) expected += word + "|";
  CHECK(run_shell("printf '%s|' " + shell_line(words)).output == expected);
}

}  // namespace
}  // namespace protolith
