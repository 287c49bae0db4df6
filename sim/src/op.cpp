// One operator on its own: contract section 2, op metrics.
#include "jevons/sim/operator_cost.hpp"
#include "jevons/sim/power.hpp"
#include "jevons/sim/run.hpp"

#include <algorithm>

namespace jevons::sim {
namespace {

std::string_view phase_name(workloads::Phase phase) {
  switch (phase) {
    case workloads::Phase::forward: return "forward";
    case workloads::Phase::input_gradient: return "input_gradient";
    case workloads::Phase::weight_gradient: return "weight_gradient";
    case workloads::Phase::optimizer: return "optimizer";
  }
  return "forward";
}

Breakdown part(std::string name, Seconds value) {
  Breakdown b;
  b.name = std::move(name);
  b.value = value.raw();
  b.unit = "s";
  return b;
}

bool is_network(const workloads::Operator& op) {
  return std::holds_alternative<workloads::Collective>(op.shape) ||
         std::holds_alternative<workloads::MoeExchange>(op.shape);
}

}  // namespace

Result run_op(const Scenario& scenario, const RunOptions& /*options*/) {
  const workloads::Operator& op = scenario.op.op;
  const OperatorModel model(scenario.cluster, scenario.stack);
  const OperatorCost cost = model.cost(op);
  // A kernel in a loop: its launch is hidden (contract, section 1).
  double seconds = cost.time.raw();
  Activity activity;
  activity.kernel_loop = true;
  activity.format = op.format;
  const auto at_rate = [&] {
    activity.flops_per_s = cost.flops.raw() / seconds;
    activity.bytes_per_s = is_network(op) ? 0 : cost.bytes.raw() / seconds;
  };
  if (seconds > 0) {
    at_rate();
    seconds *= cap_stretch(activity, scenario.cluster, scenario.stack.at("power_cap_exponent"));
    at_rate();
  }

  Result result;
  result.scenario = scenario;
  result.metrics.set("time_s", seconds);
  result.metrics.set("flops", cost.flops.raw());
  result.metrics.set("bytes", cost.bytes.raw());
  if (seconds > 0) {
    result.metrics.set("achieved_flops_per_s", cost.flops.raw() / seconds);
    result.metrics.set("achieved_bytes_per_s", cost.bytes.raw() / seconds);
  }
  result.metrics.set_text("bound", to_string(cost.bound));
  if (seconds > 0 && power_known(scenario.cluster)) {
    result.metrics.set("power_w_per_accelerator", chip_power(activity, scenario.cluster).raw());
  }
  OperatorRow row;
  row.name = op.name;
  row.kind = workloads::kind_name(op.shape);
  row.phase = phase_name(op.phase);
  row.format = to_string(op.format);
  row.bound = to_string(cost.bound);
  row.time_s = seconds;
  row.flops = cost.flops.raw();
  row.bytes = cost.bytes.raw();
  row.peak_flops_per_s = cost.peak.raw();
  row.formula = model.explain(op);

  Breakdown time = part("time_s", Seconds(seconds));
  time.formula = row.formula;
  // The terms overlap inside a kernel: the floor, and what lies above it.
  const Seconds floor = std::min(cost.floor, cost.time);
  time.children = {
      part("floor", floor),
      part(std::string(to_string(cost.bound)) + " and what it does not hide", cost.time - floor)};
  if (seconds > cost.time.raw()) {
    time.children.push_back(part("power cap", Seconds(seconds) - cost.time));
  }
  result.breakdown.push_back(std::move(time));
  result.operators.push_back(std::move(row));
  return result;
}

}  // namespace jevons::sim
