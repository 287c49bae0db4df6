// What the command line asked for, as plain data. Only arguments.cpp knows the parser.
#pragma once

#include "flags.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace jevons::cli {

struct GivenFlag {
  const ScenarioFlag* flag = nullptr;
  std::string value;
};

/// What `plan` is asked for.
struct PlanOptions {
  std::optional<double> requests_per_s, users;
  std::string objective = "usd_per_mtok";
  std::vector<std::string> precisions;
  long max_per_instance = 0, max_accelerators = 0;
};

struct Options {
  std::string verb;
  std::vector<std::string> inputs;  ///< positional arguments
  std::vector<GivenFlag> flags;
  std::vector<std::string> sets;  ///< "path=value", in order
  std::optional<std::string> json, html, csv, trace, out;
  bool quiet = false;
  std::optional<unsigned long> seed;
  std::vector<std::string> fail_if;
  std::vector<std::string> hardware;   ///< compare
  std::vector<std::string> groups;     ///< validate
  std::vector<std::string> constants;  ///< fit
  std::vector<std::string> metrics;    ///< fit
  std::string stack;                   ///< fit
  bool cross = false;                  ///< validate
  PlanOptions plan;
  unsigned threads = 0;
  bool markdown = false, event = false, analytic = false, all_operators = false, ids_only = false;
  bool full_cluster = false;               ///< train
  double chip_spread = 0;                  ///< train --full-cluster
  bool quick = false;                      ///< calibrate, kernels
  std::optional<std::string> output, sku;  ///< calibrate -o, kernels --sku
  std::string task = "train";              ///< compare, explain: of a scenario made of flags
  std::string command;                     ///< the command line, quoted for a shell
};

struct Verb {
  std::string name, help;
  std::vector<std::string> flags;  ///< long names, for completion
};

/// What parsing ended in: options to run, or a text to print (help, version) with an exit code.
struct Parsed {
  Options options;
  bool run = false;
  int exit_code = 0;
  std::string out, err;
};

[[nodiscard]] Parsed parse_arguments(int argc, const char* const* argv);
/// The verbs with their flags, for completion.
[[nodiscard]] std::vector<Verb> verbs();

}  // namespace jevons::cli
