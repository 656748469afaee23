#include "tools/report_html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "tools/child_process.h"
#include "tools/options.h"
#include "tools/plot.h"
#include "tools/progress.h"
#include "tools/report_figures.h"
#include "tools/report_style.h"

namespace protolith {
namespace {

constexpr const char* kNothing = "&ndash;";
constexpr std::size_t kNamedRuns = 4;  // in the page's title; more are counted

/// A column of a table: its heading, and whether it holds text (numbers stand at the right).
struct Column {
  std::string title;
  bool text = false;
};

/// A table whose first column names its rows. Cells are HTML.
std::string table(const std::string& caption, const std::vector<Column>& columns,
                  const std::vector<std::vector<std::string>>& rows) {
  const auto kind = [&](std::size_t i) {
    return i == 0 || columns[i].text ? " class=\"text\"" : "";
  };
  std::string html = fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"{0}\"><table>\n"
      "<caption>{0}</caption>\n<thead><tr>",
      html_escape(caption));
  for (std::size_t i = 0; i < columns.size(); ++i) {
    html += fmt::format("<th scope=\"col\"{}>{}</th>", kind(i), html_escape(columns[i].title));
  }
  html += "</tr></thead>\n<tbody>\n";
  for (const std::vector<std::string>& row : rows) {
    html += fmt::format("<tr><th scope=\"row\">{}</th>", row[0]);
    for (std::size_t i = 1; i < row.size(); ++i) {
      html += fmt::format("<td{}>{}</td>", kind(i), row[i]);
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string figure(const Figure& drawn, const std::string& caption) {
  return fmt::format(
      "<figure>\n<div class=\"scroll\">{}</div>\n<figcaption>{}</figcaption>\n</figure>\n",
      to_svg(drawn), html_escape(caption));
}

/// `value` in `format`, or a dash where nothing was recorded.
std::string html_number(double value, const char* format) {
  return std::isfinite(value) ? fmt::format(fmt::runtime(format), value) : kNothing;
}

std::string html_percent(double share) {
  return html_number(100 * share, "{:.2f}&nbsp;%");
}

std::string interval(double accuracy, double ci95) {
  if (!std::isfinite(ci95)) return html_percent(accuracy);
  return fmt::format("{} &plusmn;&nbsp;{:.2f}", html_number(100 * accuracy, "{:.2f}"), 100 * ci95) +
         "&nbsp;%";
}

/// A run's line as the curves draw it, then its name.
std::string named(const ReportedRun& run, std::size_t index) {
  const LineLook look = line_look(index);
  return fmt::format(
      "<svg class=\"swatch\" viewBox=\"0 0 30 10\" aria-hidden=\"true\"><line x1=\"0\" y1=\"5\" "
      "x2=\"30\" y2=\"5\" stroke=\"{}\" stroke-width=\"4\" stroke-dasharray=\"{}\"/></svg>{}",
      look.colour, look.dashes.empty() ? "none" : fmt::format("{}", fmt::join(look.dashes, " ")),
      html_escape(run.name));
}

/// The lines of all runs, or of those alone that have histograms.
std::string legend(const std::vector<ReportedRun>& runs, bool only_with_histograms = false) {
  std::string html = "<ul class=\"legend\" aria-label=\"Runs and their lines\">";
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (only_with_histograms && runs[i].histograms.empty()) continue;
    html += "<li>" + named(runs[i], i) + "</li>";
  }
  return html + "</ul>\n";
}

/// Whether two runs' curves lie on each other, as those of LSED with s = 0 and of the temperature
/// 1 / r do.
bool have_equal_curves(const ReportedRun& a, const ReportedRun& b) {
  return std::equal(
      a.epochs.begin(), a.epochs.end(), b.epochs.begin(), b.epochs.end(),
      [](const EpochMetrics& p, const EpochMetrics& q) {
        return p.train_loss == q.train_loss && p.train_accuracy == q.train_accuracy &&
               (p.val_loss == q.val_loss || (std::isnan(p.val_loss) && std::isnan(q.val_loss)));
      });
}

/// Says which runs' curves cannot be seen.
std::string hidden_curves(const std::vector<ReportedRun>& runs) {
  std::string text;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    for (std::size_t j = runs.size() - 1; j > i; --j) {
      if (!have_equal_curves(runs[i], runs[j])) continue;
      text += fmt::format(" The curves of {} lie under those of {}, number by number the same.",
                          runs[i].name, runs[j].name);
      break;
    }
  }
  return text;
}

std::string summary_section(const std::vector<ReportedRun>& runs) {
  std::vector<Column> columns{
      {"run"},        {"metric", true},        {"preset", true},    {"episodes"},
      {"best epoch"}, {"validation accuracy"}, {"validation loss"}, {"training time"}};
  const bool has_memory = std::any_of(runs.begin(), runs.end(), [](const ReportedRun& run) {
    return std::isfinite(run.epochs.back().peak_memory_mb);
  });
  if (has_memory) columns.push_back({"peak memory, MB"});
  columns.push_back({"device", true});
  std::vector<std::vector<std::string>> rows;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const ReportedRun& run = runs[i];
    const EpochMetrics* best = run.best();
    std::vector<std::string> row{
        named(run, i),
        html_escape(to_string(run.config.metric)),
        html_escape(run.config.preset),
        fmt::format("{}", run.epochs.back().episodes),
        best != nullptr ? fmt::format("{} of {}", best->epoch, run.epochs.back().epoch) : kNothing,
        best != nullptr ? interval(best->val_accuracy, best->val_ci95) : kNothing,
        best != nullptr ? html_number(best->val_loss, "{:.4f}") : kNothing,
        std::isfinite(run.seconds()) ? format_duration(run.seconds()) : kNothing};
    if (has_memory) row.push_back(html_number(run.epochs.back().peak_memory_mb, "{:.0f}"));
    row.push_back(html_escape(run.config.device) + ",&nbsp;" +
                  (run.config.threads > 0 ? fmt::format("{}&nbsp;threads", run.config.threads)
                                          : "all&nbsp;cores"));
    rows.push_back(std::move(row));
  }
  return "<section>\n<h2>Runs</h2>\n" +
         table(
             "The best epoch is the one of the least validation loss; its accuracy with the 95 % "
             "interval over the validation episodes. Time is that of training, without "
             "validation.",
             columns, rows) +
         "</section>\n";
}

std::string curves_section(const std::vector<ReportedRun>& runs) {
  std::string caption =
      "Loss and accuracy, each epoch's mean over its episodes. Training and validation episodes "
      "may differ in their number of classes: compare runs within a panel, not panels.";
  if (curves_are_thinned(runs)) caption += " Long curves show one epoch of several.";
  caption += hidden_curves(runs);
  return "<section>\n<h2>Learning curves</h2>\n" + legend(runs) +
         figure(curves_figure(runs), caption) + "</section>\n";
}

std::string records_table(const ReportedRun& run) {
  std::vector<std::vector<std::string>> rows;
  const auto range = [](double min, double median, double max) {
    return fmt::format("{} / {} / {}", html_number(min, "{:.4g}"), html_number(median, "{:.4g}"),
                       html_number(max, "{:.4g}"));
  };
  for (const HistogramRecord& r : chosen_records(run)) {
    const double outside =
        (r.distance.below + r.distance.above + r.distance.nan) / r.distance.total();
    rows.push_back({fmt::format("{}", r.episode), html_percent(r.share_below),
                    html_percent(r.share_inside),
                    range(r.gradient_min, r.gradient_median, r.gradient_max),
                    range(r.distance_min, r.distance_median, r.distance_max),
                    html_number(r.entropy, "{:.3f}"), html_percent(outside)});
  }
  return table("The episodes shown, in numbers. The entropy is the softmax's, in nats.",
               {{"episodes before"},
                {"|dl/dd| < 1e-5"},
                {"1e-3 < |dl/dd| < 1 - 1e-3"},
                {"|dl/dd|: least / median / greatest"},
                {"d: least / median / greatest"},
                {"entropy"},
                {"d beyond the bins"}},
               rows);
}

std::string gradients_section(const std::vector<ReportedRun>& runs) {
  const bool any = std::any_of(runs.begin(), runs.end(),
                               [](const ReportedRun& run) { return !run.histograms.empty(); });
  if (!any) return "";
  std::string html =
      "<section>\n<h2>Gradients and distances</h2>\n"
      "<p>d is the distance of a query from a prototype as it enters the softmax, and dl/dd the "
      "derivative by it of the query's own loss. Every pair of a query and a prototype of a "
      "training episode counts once.</p>\n" +
      legend(runs, true) +
      figure(shares_figure(runs),
             "Shares of all pairs whose gradient has vanished, and of those whose gradient is "
             "neither about 0 nor about 1, over the training.");
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (runs[i].histograms.empty()) continue;
    html += fmt::format("<h3>{}</h3>\n", named(runs[i], i)) +
            figure(histograms_figure(runs[i], i),
                   "Log-gradients (above) and distances (below) after some numbers of training "
                   "episodes. A row's panels have the same axes.") +
            records_table(runs[i]);
  }
  return html + "</section>\n";
}

std::string tests_section(const std::vector<ReportedRun>& runs) {
  std::vector<std::vector<std::string>> rows;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (!runs[i].test) continue;
    const TestResult& test = *runs[i].test;
    rows.push_back(
        {named(runs[i], i), html_escape(test.split),
         fmt::format("{}-way {}-shot, {} queries per class", test.way, test.shot, test.query),
         fmt::format("{}", test.episodes), interval(test.accuracy, test.ci95),
         html_number(test.loss, "{:.4f}")});
  }
  if (rows.empty()) return "";
  return "<section>\n<h2>Evaluation</h2>\n" +
         table(
             "Few-shot accuracy of each run's best model, with the 95 % interval over the "
             "episodes.",
             {{"run"}, {"split", true}, {"task", true}, {"episodes"}, {"accuracy"}, {"loss"}},
             rows) +
         "</section>\n";
}

std::string value_of(const nlohmann::json& value) {
  return fmt::format("<span class=\"value\">{}</span>",
                     html_escape(value.is_string() ? value.get<std::string>() : value.dump()));
}

std::string differences(const std::vector<ReportedRun>& runs) {
  std::set<std::string> differing;
  for (const ReportedRun& run : runs) {
    for (std::string& key : differing_keys(runs[0].config, run.config)) {
      differing.insert(std::move(key));
    }
  }
  if (runs.size() == 1) return "";
  if (differing.empty()) return "<p>The runs' settings are the same.</p>\n";
  std::vector<Column> columns{{"setting"}};
  std::vector<nlohmann::json> settings;
  for (const ReportedRun& run : runs) {
    columns.push_back({run.name, true});
    settings.push_back(to_json(run.config));
  }
  std::vector<std::vector<std::string>> rows;
  for (const ConfigOption& option : config_options()) {
    if (!differing.contains(option.key)) continue;
    std::vector<std::string> row{value_of(option.key)};
    for (const nlohmann::json& values : settings) row.push_back(value_of(values[option.key]));
    rows.push_back(std::move(row));
  }
  return table("Only the settings in which the runs differ.", columns, rows);
}

std::string settings_section(const std::vector<ReportedRun>& runs) {
  const ReportedRun& run = runs[0];
  const nlohmann::json settings = to_json(run.config);
  std::vector<std::vector<std::string>> rows;
  for (const ConfigOption& option : config_options()) {
    rows.push_back(
        {value_of(option.key), value_of(settings[option.key]), html_escape(option.help)});
  }
  const std::string command = shell_line(
      {"protolith", "train", "--config", (run.path / "config.toml").string(), "--out", "NEW"});
  return "<section>\n<h2>Settings</h2>\n" + differences(runs) +
         table("All settings of " + run.name + ".",
               {{"setting"}, {"value", true}, {"meaning", true}}, rows) +
         fmt::format("<p>To train it again: <code>{}</code></p>\n</section>\n",
                     html_escape(command));
}

}  // namespace

std::string html_escape(const std::string& text) {
  std::string html;
  for (const char c : text) {
    switch (c) {
      case '&':
        html += "&amp;";
        break;
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '"':
        html += "&quot;";
        break;
      case '\'':
        html += "&#39;";
        break;
      default:
        html += c;
    }
  }
  return html;
}

std::string report_page(const std::vector<ReportedRun>& runs) {
  std::vector<std::string> names;
  for (const ReportedRun& run : runs) names.push_back(run.name);
  const std::string title = runs.size() <= kNamedRuns
                                ? html_escape(fmt::format("{}", fmt::join(names, ", ")))
                                : fmt::format("{} runs", runs.size());
  return fmt::format(
             "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
             "<title>Training report: {0}</title>\n<style>{1}</style>\n</head>\n<body>\n<main>\n"
             "<h1>Training report</h1>\n<p>{0}</p>\n",
             title, kReportStyle) +
         summary_section(runs) + curves_section(runs) + gradients_section(runs) +
         tests_section(runs) + settings_section(runs) +
         "</main>\n<footer>Made by protolith " PROTOLITH_VERSION ".</footer>\n</body>\n</html>\n";
}

}  // namespace protolith
