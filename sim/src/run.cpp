#include "jevons/sim/run.hpp"

namespace jevons::sim {

std::string_view to_string(Task task) {
  switch (task) {
    case Task::train: return "train";
    case Task::serve: return "serve";
    case Task::op: return "op";
  }
  return "op";
}

std::string_view to_string(Schedule schedule) {
  switch (schedule) {
    case Schedule::gpipe: return "gpipe";
    case Schedule::one_f_one_b: return "1f1b";
    case Schedule::interleaved: return "interleaved";
    case Schedule::zb_h1: return "zb-h1";
    case Schedule::dualpipe: return "dualpipe";
  }
  return "1f1b";
}

Result run(const Scenario& scenario, const RunOptions& options) {
  switch (scenario.task) {
    case Task::train: return run_train(scenario, options);
    case Task::serve: return run_serve(scenario, options);
    case Task::op: return run_op(scenario, options);
  }
  return {};
}

}  // namespace jevons::sim
