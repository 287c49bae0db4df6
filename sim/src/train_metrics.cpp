#include "train_metrics.hpp"

#include "jevons/sim/money.hpp"
#include "jevons/sim/power.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace jevons::sim::detail {
namespace {

double tokens_per_step(const Scenario& s) {
  return s.train.global_batch_sequences * s.train.sequence_length;
}

std::string text(const char* format, double a, double b) {
  char buffer[160];
  std::snprintf(buffer, sizeof buffer, format, a, b);
  return buffer;
}

}  // namespace

void add_step_metrics(const Scenario& s, const TrainingPlanReport& report, const TrainingTime& t,
                      Result& result) {
  Metrics& m = result.metrics;
  const double step = t.step.raw(), count = static_cast<double>(s.cluster.count);
  const double rate = tokens_per_step(s) / step;
  const workloads::ModelCounts counts = workloads::count(s.model);
  const workloads::TrainingFlops flops =
      workloads::training_flops_per_token(s.model, s.train.sequence_length, s.train.mtp);
  const double model = s.train.causal ? flops.causal : flops.noncausal;
  const double peak = s.cluster.accelerator.peak({Format::bf16, 0}).raw();
  const double achieved = model * rate / count;
  m.set("step_time_s", step);
  m.set("tokens_per_s", rate);
  m.set("tokens_per_s_per_accelerator", rate / count);
  m.set("parameters_total", counts.parameters_total);
  m.set("parameters_active", counts.parameters_active);
  m.set("model_flops_per_token", model);
  m.set("model_flops_per_token_noncausal", flops.noncausal);
  m.set("model_flops_per_s_per_accelerator", achieved);
  m.set("mfu", achieved / peak);
  m.set("mfu_noncausal", flops.noncausal * rate / count / peak);
  m.set("hfu", (model + report.recompute_flops_per_token) * rate / count / peak);
  m.set("bubble_fraction", t.bubble.raw() / step);
  m.set("exposed_comm_fraction", (t.exposed_comm + t.p2p + t.data_parallel).raw() / step);
  m.set("optimizer_fraction", t.optimizer.raw() / step);
}

void add_memory_metrics(const Scenario& s, const TrainingMemory& memory, Result& result) {
  const StageMemory& peak = memory.peak();
  Metrics& m = result.metrics;
  const double activations = (peak.activations + peak.logits).raw();
  m.set("memory_peak_bytes", peak.total().raw());
  m.set("memory_capacity_bytes", s.cluster.accelerator.require("memory_bytes"));
  m.set("memory_weights_bytes", peak.weights.raw());
  m.set("memory_gradients_bytes", peak.gradients.raw());
  m.set("memory_optimizer_bytes", peak.optimizer.raw());
  m.set("memory_activations_bytes", activations);
  m.set("memory_buffers_bytes", peak.buffers.raw());
  m.set("memory_update_bytes", memory.update.raw());
  m.set_flag("fits", memory.fits());
  Breakdown b{"memory_peak_bytes", peak.total().raw(), "bytes", {}, ""};
  b.formula = "pipeline rank " + std::to_string(memory.worst) + " holds the most";
  const auto child = [&b](const char* name, Bytes value) {
    b.children.push_back({name, value.raw(), "bytes", {}, ""});
  };
  child("weights", peak.weights);
  child("gradients", peak.gradients);
  child("optimizer", peak.optimizer);
  child("activations", peak.activations);
  child("logits", peak.logits);
  child("buffers", peak.buffers);
  result.breakdown.push_back(std::move(b));
  if (!memory.fits()) {
    Infeasible why;
    why.reason = text("needs %.1f GB on the worst stage, %.1f GB can be used",
                      peak.total().raw() / 1e9, memory.capacity.raw() / 1e9);
    why.smallest_change = smallest_change_that_fits(s);
    result.infeasible = why;
  }
}

void add_power_metrics(const Scenario& s, const TrainingTime& t, std::optional<Watts> chip,
                       Result& result) {
  if (!chip) {
    result.warnings.push_back({"no_power_figure",
                               "the accelerator has no power figure: watts and energy are left out",
                               "/cluster/accelerator"});
    return;
  }
  const PowerEstimate watts = power_around(*chip, s.cluster, s.power);
  Metrics& m = result.metrics;
  m.set("power_w_per_accelerator", watts.chip.raw());
  m.set("it_power_w_per_accelerator", watts.it.raw());
  const double rate = tokens_per_step(s) / t.step.raw();
  m.set("tokens_per_j", rate / (static_cast<double>(s.cluster.count) * watts.it.raw()));
}

namespace {

/// Share of the time that makes progress.
double useful_share(const Scenario& s, const Metrics& m, std::optional<Seconds> played) {
  if (!s.train.failures) return 1;
  // A checkpoint holds weights, master weights and two moments once, written by all in parallel.
  const Precision& p = s.precision;
  const double bytes =
      weight_bytes(p.weights) + activation_bytes(p.master) + 2 * activation_bytes(p.moments);
  const Bytes saved(m.number("parameters_total").value_or(0) * bytes /
                    static_cast<double>(s.cluster.count));
  const Seconds write = checkpoint_write_time(saved, Bandwidth(s.stack.at("checkpoint_bandwidth")));
  if (played) return played_goodput(*s.train.failures, s.cluster.count, write, *played, s.seed);
  return goodput(*s.train.failures, s.cluster.count, write).fraction;
}

void add_stages(const std::vector<RunPart>& parts, double useful, double wall, Result& result) {
  if (parts.size() < 2) return;
  Breakdown b{"wall_time_s", wall, "s", {}, "the stages of the run, failures in each"};
  for (const RunPart& part : parts) {
    Breakdown child{part.name, part.tokens / part.tokens_per_s / useful, "s", {}, ""};
    child.formula = text("%.4g tokens at %.4g tokens/s", part.tokens, part.tokens_per_s);
    b.children.push_back(std::move(child));
  }
  result.breakdown.push_back(std::move(b));
}

void add_cost(const Scenario& s, double hours, double tokens, Watts it, Result& result) {
  const auto price = hourly_price(s.price, it, s.power.pue, s.cluster.count);
  if (!price) {
    result.warnings.push_back({"no_price", "no price is known: cost is left out", "/price"});
    return;
  }
  const double cost = hours * price->usd_per_accelerator_hour;
  result.metrics.set("cost_usd", cost);
  result.metrics.set("usd_per_mtok", cost / (tokens / 1e6));
  Breakdown b{"cost_usd", cost, "usd", {}, ""};
  b.formula = text("%.4g accelerator-hours x %.4g USD", hours, price->usd_per_accelerator_hour);
  for (const Breakdown& part : price->parts) {
    b.children.push_back({part.name, part.value * hours, "usd", {}, part.formula});
  }
  result.breakdown.push_back(std::move(b));
}

}  // namespace

void add_run_metrics(const Scenario& s, const std::vector<RunPart>& parts, bool play_failures,
                     Result& result) {
  Metrics& m = result.metrics;
  const double count = static_cast<double>(s.cluster.count);
  Seconds work(0);
  for (const RunPart& part : parts) work += Seconds(part.tokens / part.tokens_per_s);
  const double useful = useful_share(s, m, play_failures ? std::optional(work) : std::nullopt);
  m.set("goodput_fraction", useful);
  if (!(useful > 0)) {
    result.warnings.push_back({"no_progress", "failures eat all progress", "/train/failures"});
    return;
  }
  double wall = 0, tokens = 0, energy = 0;
  for (const RunPart& part : parts) {
    const double seconds = part.tokens / part.tokens_per_s / useful;
    wall += seconds;
    tokens += part.tokens;
    const Watts it = part.chip ? power_around(*part.chip, s.cluster, s.power).it : Watts(0);
    energy += seconds * count * it.raw();
  }
  const double hours = wall * count / kSecondsPerHour;
  m.set("wall_time_s", wall);
  m.set("accelerator_hours", hours);
  add_stages(parts, useful, wall, result);
  add_cost(s, hours, tokens, Watts(energy / (wall * count)), result);
  if (!parts.front().chip) return;
  m.set("energy_j", energy);
  m.set("facility_energy_j", energy * s.power.pue);
  m.set("co2e_kg", co2e_kg(Joules(energy * s.power.pue), s.power.grid_gco2e_per_kwh));
}

}  // namespace jevons::sim::detail
