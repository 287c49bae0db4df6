// The command line. The only file that includes CLI11 (seven seconds of compile time).
#include "options.hpp"

#include "jevons/core/json_reader.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <sstream>

namespace jevons::cli {
namespace {

constexpr const char* kDescription =
    "What does it cost, in dollars, joules and hours, to train or serve this model on that "
    "hardware?";
constexpr const char* kFooter =
    "Exit codes: 0 done, 1 a check failed, 2 usage, 3 bad input, 4 does not fit, 5 internal, 130 "
    "interrupted.\n"
    "Example: jevons train deepseek-v3 --hw h800-sxm --count 2048 --precision fp8-block --pp 16 "
    "--ep 64 --tokens 14.8T";

/// Builds the parser around one Options.
class Arguments {
 public:
  explicit Arguments(Options& options) : o_(options) {
    app_.description(kDescription);
    app_.footer(kFooter);
    app_.name("jevons");
    app_.set_version_flag("--version", std::string("jevons ") + JEVONS_VERSION);
    app_.require_subcommand(1);
    app_.get_formatter()->column_width(44);
    runs();
    catalogue();
    views();
    host();
  }
  CLI::App& app() { return app_; }

 private:
  CLI::App* verb(const std::string& name, const std::string& help) {
    CLI::App* sub = app_.add_subcommand(name, help);
    sub->callback([this, name] { o_.verb = name; });
    return sub;
  }
  void how_closely(CLI::App* sub) {
    CLI::Option* event =
        sub->add_flag("--event", o_.event, "Play the events, also where a closed form is the rule");
    sub->add_flag("--analytic", o_.analytic, "Closed forms instead of events, as searches use them")
        ->excludes(event);
  }
  void inputs(CLI::App* sub, const std::string& what, bool required) {
    sub->add_option("input", o_.inputs, what)->required(required);
  }
  void output(CLI::App* sub, bool html, bool csv) {
    sub->add_option("--json", o_.json, "Write JSON to a file, or - for standard output")
        ->type_name("FILE");
    if (html)
      sub->add_option("--html", o_.html, "Write a self-contained report")->type_name("FILE");
    if (csv) sub->add_option("--csv", o_.csv, "Write CSV to a file, or -")->type_name("FILE");
    sub->add_flag("-q,--quiet", o_.quiet, "No table on standard output, no notes");
  }
  void scenario(CLI::App* sub, const std::string& tasks, bool without_hardware = false) {
    for (const ScenarioFlag& flag : scenario_flags()) {
      if (flag.tasks.find_first_of(tasks) == std::string_view::npos) continue;
      if (without_hardware && flag.path == "cluster.accelerator") continue;
      const std::string names(flag.names), help(flag.help);
      const ScenarioFlag* pointer = &flag;
      if (flag.value == Value::on) {
        sub->add_flag_callback(
               names,
               [this, pointer] { o_.flags.push_back({pointer, std::string(pointer->fixed)}); },
               help)
            ->group("Scenario");
      } else {
        sub->add_option_function<std::string>(
               names,
               [this, pointer](const std::string& value) { o_.flags.push_back({pointer, value}); },
               help)
            ->group("Scenario")
            ->type_name("");
      }
    }
    sub->add_option("--set", o_.sets,
                    "PATH=VALUE: sets a key of the scenario, e.g. train.mtp=false (repeatable)")
        ->type_name("PATH=VALUE")
        ->allow_extra_args(false)
        ->group("Scenario");
    sub->add_option_function<unsigned long>(
           "--seed", [this](unsigned long seed) { o_.seed = seed; }, "Seed of random draws (1)")
        ->group("Scenario");
  }
  void fail_if(CLI::App* sub, const std::string& help) {
    sub->add_option("--fail-if", o_.fail_if, help)->type_name("CONDITION")->allow_extra_args(false);
  }

  void runs() {
    struct Run {
      const char *name, *help, *tasks;
    };
    for (const Run run :
         {Run{"train", "Time, memory, energy and cost of a training run", "t"},
          Run{"serve", "Throughput, latency, energy and cost of serving", "s"},
          Run{"roofline", "Time and bound of one operator, or of a model's operators", "tso"}}) {
      CLI::App* sub = verb(run.name, run.help);
      inputs(sub, "Scenario file, - for standard input, or model preset", false);
      scenario(sub, run.tasks);
      output(sub, true, true);
      fail_if(sub, "Exit 1 if METRIC>VALUE (or >=, <, <=) holds, e.g. cost_usd>6e6");
      sub->add_flag("--operators", o_.all_operators, "Every operator in the table");
      if (std::string(run.name) == "roofline") add_task(sub);
      if (std::string(run.name) != "roofline") how_closely(sub);
      if (std::string(run.name) == "train") {
        CLI::Option* full =
            sub->add_flag("--full-cluster", o_.full_cluster,
                          "Play every pipeline rank of every replica, not one for all: chips that "
                          "differ, uneven experts, failures as they fall");
        sub->add_option("--chip-spread", o_.chip_spread,
                        "With --full-cluster: standard deviation of the chips' speeds, e.g. 0.02")
            ->check(CLI::Range(0.0, 1.0))
            ->needs(full);
        sub->add_option("--trace", o_.trace, "Write one step as a trace for ui.perfetto.dev")
            ->type_name("FILE");
      }
    }
    CLI::App* compare = verb("compare", "The same work over several accelerators");
    how_closely(compare);
    inputs(compare, "Scenario file, - for standard input, or model preset", false);
    compare->add_option("--hw", o_.hardware, "Accelerators, comma-separated; the first is 1.00")
        ->delimiter(',')
        ->required();
    scenario(compare, "tso", true);
    add_task(compare);
    output(compare, false, true);
    plan();
    CLI::App* explain = verb("explain", "How each number of a run came about");
    how_closely(explain);
    inputs(explain, "Scenario file, - for standard input, or model preset", false);
    scenario(explain, "tso");
    add_task(explain);
    explain->add_flag("--operators", o_.all_operators, "Every operator, not only the longest");
  }
  void plan() {
    CLI::App* plan = verb("plan", "Layout, batch and chip count that serve a load at least cost");
    inputs(plan, "Serving scenario, - for standard input, or model preset", false);
    plan->add_option("--demand-requests", o_.plan.requests_per_s, "Requests per second to carry")
        ->check(CLI::PositiveNumber);
    plan->add_option("--demand-users", o_.plan.users, "Requests in flight to carry")
        ->check(CLI::PositiveNumber);
    plan->add_option("--objective", o_.plan.objective, "What is best")
        ->check(CLI::IsMember({"usd_per_mtok", "tokens_per_joule", "accelerators"}))
        ->capture_default_str();
    plan->add_option("--precisions", o_.plan.precisions,
                     "Precision presets to try, comma-separated")
        ->delimiter(',');
    plan->add_option("--max-per-instance", o_.plan.max_per_instance,
                     "Accelerators of one instance at most (default: the count)")
        ->check(CLI::PositiveNumber);
    plan->add_option("--max-accelerators", o_.plan.max_accelerators,
                     "Accelerators of the deployment at most (default: any number)")
        ->check(CLI::PositiveNumber);
    plan->add_option("--threads", o_.threads, "Threads (default: all cores)");
    scenario(plan, "s");
    output(plan, true, false);
  }
  void add_task(CLI::App* sub) {
    sub->add_option("--task", o_.task, "train, serve or op, when no file says it")
        ->check(CLI::IsMember({"train", "serve", "op"}))
        ->capture_default_str();
  }

  void catalogue() {
    CLI::App* list =
        verb("list", "What ships: models, hardware, stacks, prices, claims, acceptance");
    inputs(list, "models, hardware, stacks, prices, claims or acceptance", true);
    list->add_flag("--ids", o_.ids_only, "Only the ids, one a line");
    list->add_option("--json", o_.json, "Write JSON to a file, or -")->type_name("FILE");
    CLI::App* show = verb(
        "show",
        "One model, accelerator, stack, price or claim with its sources, or a model's routing");
    inputs(show, "KIND ID: model, hardware, stack, price, claim or routing", true);
    show->add_option("--json", o_.json, "Write JSON to a file, or -")->type_name("FILE");
    CLI::App* schema = verb("schema", "Print the JSON Schema of a file format");
    inputs(schema, "scenario, result, truth, hardware, model, stack ...", false);
  }

  void views() {
    CLI::App* validate = verb("validate", "Run measured cases and score the predictions");
    inputs(validate, "Truth files (jevons.truth/1)", true);
    validate->add_option("--group", o_.groups, "Only groups that begin with this (repeatable)")
        ->allow_extra_args(false);
    validate->add_option("--threads", o_.threads, "Threads (default: all cores)");
    validate->add_flag("--markdown", o_.markdown, "The table as Markdown");
    how_closely(validate);
    validate->add_flag("--cross", o_.cross,
                       "Leave each group of operators, training steps or serving runs out and "
                       "predict it with constants that its rows did not set (serving: times per "
                       "token, and the fitted constants of its stack on which they depend)");
    output(validate, true, false);
    fail_if(validate, "Exit 1 if e.g. 'median>8%', 'each group:p90>30%' or 'failures>0' holds");
    CLI::App* fit = verb("fit",
                         "Fit constants: kernels of one accelerator to measured operators, its "
                         "power to watts in service, or a serving stack to its runs");
    inputs(fit, "Truth files (jevons.truth/1)", true);
    fit->add_option("--hw", o_.hardware,
                    "The accelerator: preset or SKU file; power: * for what all of them share");
    fit->add_option("--stack", o_.stack, "The serving stack, or * for what all of them share");
    fit->add_option("--metric", o_.metrics,
                    "Serving rows: only metrics that begin with this (repeatable); "
                    "power_w_per_accelerator fits power constants of --hw")
        ->allow_extra_args(false);
    fit->add_option("--constant", o_.constants,
                    "Constant to fit (repeatable, at most eight; default: those that lower the "
                    "error most)")
        ->allow_extra_args(false);
    fit->add_option("--out", o_.out, "Write the SKU or stack file with the constants in it, or -")
        ->type_name("FILE");
    fit->add_flag("-q,--quiet", o_.quiet, "No table");
    CLI::App* report = verb("report", "Render saved results (or run scenarios) again");
    inputs(report, "Result or scenario files", true);
    output(report, true, true);
    CLI::App* diff = verb("diff", "What changed between two results or scenarios");
    inputs(diff, "Two result or scenario files", true);
    diff->add_option("--json", o_.json, "Write JSON to a file, or -")->type_name("FILE");
    fail_if(diff, "Exit 1 if METRIC>+5% (change) or METRIC>VALUE (new value) holds");
    CLI::App* completion = verb("completion", "Print a shell completion script");
    inputs(completion, "bash, zsh or fish", true);
  }

  void host() {
    CLI::App* calibrate = verb("calibrate", "Measure this machine and write it as an SKU file");
    calibrate->add_option("-o,--output", o_.output, "The file (default: standard output)")
        ->type_name("FILE");
    CLI::App* kernels = verb("kernels", "Run the reference kernels: predicted against measured");
    kernels->add_option("--sku", o_.sku, "A file that calibrate wrote (default: measure first)")
        ->type_name("FILE");
    output(kernels, true, false);
    for (CLI::App* sub : {calibrate, kernels}) {
      sub->add_flag("--quick", o_.quick, "Fewer shapes and shorter samples");
    }
    calibrate->add_flag("-q,--quiet", o_.quiet, "No summary, no progress");
  }

  Options& o_;
  CLI::App app_;
};

std::string quoted(const std::string& word) {
  const bool plain = !word.empty() && word.find_first_not_of(
                                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "0123456789-_=./,:+@%") == std::string::npos;
  if (plain) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

std::vector<std::string> long_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

/// CLI11 knows no suggestions: name the nearest verb or flag.
std::string hint(const CLI::App& app, const CLI::ParseError& error, int argc,
                 const char* const* argv) {
  std::string message = error.what();
  const CLI::App* at = &app;
  std::vector<std::string> verb_names;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    verb_names.push_back(sub->get_name());
    if (argc > 1 && sub->get_name() == argv[1]) at = sub;
  }
  if (at == &app && argc > 1 && argv[1][0] != '-') {
    return "unknown verb '" + std::string(argv[1]) + "'; " + did_you_mean(argv[1], verb_names);
  }
  const std::vector<std::string> flags = long_names(*at);
  for (int i = 2; i < argc; ++i) {
    const std::string word = std::string(argv[i]).substr(0, std::string(argv[i]).find('='));
    if (!word.starts_with("--") || message.find(word) == std::string::npos) continue;
    if (std::find(flags.begin(), flags.end(), word) != flags.end()) continue;
    const std::vector<std::string> near = nearest(word, flags);
    std::string text = "unknown flag '" + word + "' of '" + at->get_name() + "'";
    return near.empty() ? text + "; see jevons " + at->get_name() + " --help"
                        : text + "; " + did_you_mean(word, flags);
  }
  return message;
}

}  // namespace

Parsed parse_arguments(int argc, const char* const* argv) {
  Parsed parsed;
  Arguments arguments(parsed.options);
  try {
    arguments.app().parse(argc, argv);
  } catch (const CLI::Success& success) {
    std::ostringstream out, err;
    parsed.exit_code = arguments.app().exit(success, out, err);
    parsed.out = out.str();
    return parsed;
  } catch (const CLI::ParseError& error) {
    parsed.exit_code = 2;
    parsed.err = argc < 2 ? arguments.app().help()
                          : "error: " + hint(arguments.app(), error, argc, argv) + "\n";
    return parsed;
  }
  parsed.options.command = "jevons";
  for (int i = 1; i < argc; ++i) parsed.options.command += " " + quoted(argv[i]);
  parsed.run = true;
  return parsed;
}

std::vector<Verb> verbs() {
  Options unused;
  Arguments arguments(unused);
  std::vector<Verb> out;
  for (const CLI::App* sub :
       arguments.app().get_subcommands([](const CLI::App*) { return true; })) {
    out.push_back({sub->get_name(), sub->get_description(), long_names(*sub)});
  }
  return out;
}

}  // namespace jevons::cli
