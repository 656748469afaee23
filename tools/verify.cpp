// `protolith verify KIND:PATH`: is the data set complete and undamaged?
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "data/verify.h"
#include "engine/cpu/thread_count.h"
#include "tools/command.h"
#include "tools/session.h"

namespace protolith {
namespace {

struct VerifyFlags {
  std::string spec;
  ConfigFlags config;
  OutputFlags output;
};

std::string split_name(std::size_t index) {
  return to_string(static_cast<Split>(index));
}

nlohmann::json report_json(const VerifyReport& report) {
  nlohmann::json splits = nlohmann::json::object();
  for (std::size_t i = 0; i < report.splits.size(); ++i) {
    splits[split_name(i)] = {{"classes", report.splits[i].classes},
                             {"images", report.splits[i].images}};
  }
  nlohmann::json problems = nlohmann::json::array();
  for (const Problem& problem : report.problems) {
    problems.push_back({{"what", problem.what}, {"remedy", problem.remedy}});
  }
  return {{"data", report.spec},
          {"ok", report.ok()},
          {"recognised", report.recognised},
          {"splits", splits},
          {"image_format", report.image_format},
          {"preprocessing", report.preprocessing},
          {"cache", report.cache},
          {"problems", problems}};
}

void print_report(const VerifyReport& report) {
  std::string text = report.spec + "\n";
  for (const std::string& line : report.recognised) text += "  " + line + "\n";
  text += fmt::format("  images         {}\n  preprocessing  {}\n  cache          {}\n",
                      report.image_format, report.preprocessing, report.cache);
  text += fmt::format("\n{:<8}{:>10}{:>10}\n", "split", "classes", "images");
  for (std::size_t i = 0; i < report.splits.size(); ++i) {
    text += fmt::format("{:<8}{:>10}{:>10}\n", split_name(i), report.splits[i].classes,
                        report.splits[i].images);
  }
  text += report.ok() ? "\nNo problems found.\n"
                      : fmt::format("\n{} problems:\n", report.problems.size());
  for (const Problem& problem : report.problems) {
    text += fmt::format("  {}\n    {}\n", problem.what, problem.remedy);
  }
  std::fputs(text.c_str(), stdout);
}

int verify(const VerifyFlags& flags) {
  Config base;
  base.data = flags.spec;
  const Config config = flags.config.over(base);
  use_threads(config.threads);
  const VerifyReport report =
      verify_dataset(flags.spec, data_options(config.folder, flags.output.quiet));
  if (flags.output.json) {
    print_json(report_json(report));
  } else {
    print_report(report);
  }
  return report.ok() ? kExitDone : kExitFailed;
}

}  // namespace

void add_verify_command(CommandLine& program) {
  const auto flags = std::make_shared<VerifyFlags>();
  CLI::App& command = program.add_command(
      "verify", "Check that a data set is complete and undamaged",
      "  protolith verify omniglot:data/omniglot\n"
      "  protolith verify mini-imagenet:data/mini_imagenet.tar.zst\n"
      "  protolith verify folder:my-images --split-shares 0.6,0.2,0.2\n"
      "  protolith verify synthetic --json\n"
      "\n"
      "omniglot:FOLDER is the folder of images_background.zip and images_evaluation.zip, or of\n"
      "the folders that they unpack to. mini-imagenet:PATH is an archive (zip, tar, compressed or\n"
      "not), or a folder that holds archives, or {train,val,test}/WNID/*.jpg, or images/*.jpg\n"
      "with {train,val,test}.csv; a split may be absent as a whole. folder:PATH holds a folder of\n"
      "images for each class. The exit code is 1 when a problem was found.",
      [flags] { return verify(*flags); });
  command.add_option("data", flags->spec, "the data set to check")
      ->type_name("KIND:PATH")
      ->required();
  flags->config = ConfigFlags(command, {OptionGroup::data, OptionGroup::device}, {"data"});
  flags->output.add_to(command);
}

}  // namespace protolith
