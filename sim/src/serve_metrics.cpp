// From what an engine did to the metrics of the contract: rates, latencies, watts, dollars.
#include "serve_parts.hpp"

#include "jevons/sim/money.hpp"
#include "jevons/sim/power.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace jevons::sim {
namespace {

void put(Metrics& metrics, const std::string& name, const Statistic& s) {
  metrics.set(name + "_mean_s", s.mean);
  // Mean-value analysis has no spread: its median is its mean.
  metrics.set(name + "_p50_s", s.p50.value_or(s.mean));
  if (s.p90) metrics.set(name + "_p90_s", *s.p90);
  if (s.p99) metrics.set(name + "_p99_s", *s.p99);
}

void put_rate(Metrics& metrics, const std::string& name, double rate, double accelerators) {
  metrics.set(name, rate);
  metrics.set(name + "_per_accelerator", rate / accelerators);
}

Activity activity_of(const Scenario& scenario, const StepWork& done, double scale) {
  const double busy = done.time_s > 0 ? std::min(1.0, done.time_s) : 1.0;
  Activity activity = activity_of(done * scale, busy, scenario.precision);
  activity.busy_fraction = busy;
  return activity;
}

struct DeploymentPower {
  double chip = 0, it = 0, facility = 0;  ///< per accelerator, mean over the pools
};

std::optional<DeploymentPower> put_power(const Scenario& scenario, const ServeOutcome& out,
                                         double accelerators, double scale, Result& result) {
  if (!power_known(scenario.cluster)) {
    result.warnings.push_back(
        {"no_power", "the accelerator's tdp_w is not known: no watts", "/cluster/accelerator"});
    return std::nullopt;
  }
  DeploymentPower sum;
  const auto add = [&](const char* name, const StepWork& work, double count) {
    const Activity activity = activity_of(scenario, work, scale);
    const PowerEstimate p = power(activity, scenario.cluster, scenario.power);
    Breakdown parts = chip_power_parts(activity, scenario.cluster);
    parts.name = name;
    result.breakdown.push_back(std::move(parts));
    sum.chip += p.chip.raw() * count / accelerators;
    sum.it += p.it.raw() * count / accelerators;
    sum.facility += p.facility.raw() * count / accelerators;
    if (!p.warning.empty()) result.warnings.push_back({"power_range", p.warning, "/power"});
  };
  if (out.decode_accelerators > 0) {
    add("prefill_power_w_per_accelerator", out.prefill_work_per_s, out.prefill_accelerators);
    add("decode_power_w_per_accelerator", out.work_per_s, out.decode_accelerators);
  } else {
    add("power_w_per_accelerator", out.work_per_s, accelerators);
  }
  Metrics& m = result.metrics;
  m.set("power_w_per_accelerator", sum.chip);
  m.set("it_power_w_per_accelerator", sum.it);
  m.set("facility_power_w_per_accelerator", sum.facility);
  if (out.output_per_s > 0) {
    m.set("joules_per_output_token", sum.it * accelerators / out.output_per_s);
    m.set("joules_per_output_token_chip", sum.chip * accelerators / out.output_per_s);
    m.set("output_tokens_per_s_per_w", out.output_per_s / (sum.it * accelerators));
    m.set("output_tokens_per_s_per_facility_mw",
          out.output_per_s / (sum.facility * accelerators) * 1e6);
  }
  return sum;
}

void put_money(const Scenario& scenario, const ServeOutcome& out, double accelerators,
               double it_power, Result& result) {
  const auto price = hourly_price(scenario.price, Watts(it_power), scenario.power.pue,
                                  static_cast<long>(accelerators));
  if (!price) {
    result.warnings.push_back({"no_price", "no price is known for this accelerator: no dollars",
                               "/price/usd_per_accelerator_hour"});
    return;
  }
  const double hourly = price->usd_per_accelerator_hour * accelerators;
  Metrics& m = result.metrics;
  m.set("usd_per_hour", hourly);
  const auto per_mtok = [&](const char* name, double rate) {
    if (rate > 0) m.set(name, usd_per_mtok(hourly, rate));
  };
  per_mtok("usd_per_mtok_output", out.output_per_s);
  per_mtok("usd_per_mtok_input", out.input_per_s);
  per_mtok("usd_per_mtok_total", out.input_per_s + out.output_per_s);
  result.breakdown.push_back(
      {"usd_per_accelerator_hour", price->usd_per_accelerator_hour, "usd", price->parts, {}});
  if (!scenario.price.sell) return;
  const auto e = earnings(*scenario.price.sell,
                          {.input_per_s = out.input_per_s,
                           .cached_input_per_s = out.input_per_s * scenario.serve.prefix_hit_rate,
                           .output_per_s = out.output_per_s},
                          hourly);
  if (!e) return;
  m.set("revenue_usd_per_hour", e->revenue_usd_per_hour);
  m.set("margin", e->margin);
  m.set("markup", e->markup);
  m.set("break_even_utilisation", e->break_even_utilisation);
}

void put_memory(const Scenario& scenario, const ServeOutcome& out, const ServeMemory& memory,
                Result& result) {
  const MeanLengths len = mean_lengths(scenario.serve);
  Metrics& m = result.metrics;
  // A fixed batch is held whether it fits or not, to its last token; a scheduler holds what fits.
  const bool fixed = scenario.serve.traffic.kind == Traffic::Kind::static_batch;
  const double last = len.input + len.output;
  const double batch =
      fixed ? scenario.serve.traffic.batch / scenario.serve.instances : out.mean_batch;
  const double wanted = batch * (fixed ? last : len.context());
  const double held = fixed ? wanted : std::min(memory.kv_capacity_tokens, wanted);
  m.set("kv_capacity_tokens", memory.kv_capacity_tokens);
  m.set("kv_bytes_per_token", memory.kv_bytes_per_token);
  const Bytes peak = memory.used_by(held);
  m.set("memory_peak_bytes", peak.raw());
  m.set("memory_capacity_bytes", memory.capacity.raw());
  m.set("memory_weights_bytes", memory.weights.raw());
  const bool fits = peak.raw() <= memory.capacity.raw() * (1 + 1e-9);
  m.set_flag("fits", fits);
  if (fits) return;
  const double most = std::floor(memory.kv_capacity_tokens / last);
  result.infeasible = {
      fmt::format(
          "the fixed batch of {:.0f} sequences an instance needs {:.1f} GB at its last token, "
          "{:.1f} GB can be used",
          batch, peak.raw() / 1e9, memory.capacity.raw() / 1e9),
      most >= 1 ? fmt::format("a batch of {:.0f} an instance fits", most) : ""};
}

/// Inside both limits at the mean, or not at all, when only means are known.
double goodput(const ServeSpec& spec, const ServeOutcome& out) {
  if (out.goodput_per_s) return *out.goodput_per_s;
  const bool inside = (!spec.slo_ttft_s || out.ttft.mean <= *spec.slo_ttft_s) &&
                      (!spec.slo_tpot_s || out.tpot.mean <= *spec.slo_tpot_s);
  return inside ? out.requests_per_s : 0.0;
}

}  // namespace

void write_serve_metrics(const Scenario& scenario, const ServeOutcome& out,
                         const ServeMemory& memory, double gain, double activity_scale,
                         Result& result) {
  const auto accelerators = static_cast<double>(scenario.cluster.count);
  Metrics& m = result.metrics;
  put_rate(m, "output_tokens_per_s", out.output_per_s, accelerators);
  put_rate(m, "input_tokens_per_s", out.input_per_s, accelerators);
  put_rate(m, "total_tokens_per_s", out.input_per_s + out.output_per_s, accelerators);
  if (out.decode_accelerators > 0) {
    m.set("prefill_input_tokens_per_s_per_accelerator", out.input_per_s / out.prefill_accelerators);
    m.set("decode_output_tokens_per_s_per_accelerator", out.output_per_s / out.decode_accelerators);
  }
  m.set("requests_per_s", out.requests_per_s);
  if (scenario.serve.slo_ttft_s || scenario.serve.slo_tpot_s) {
    m.set("goodput_requests_per_s", goodput(scenario.serve, out));
  }
  put(m, "ttft", out.ttft);
  if (out.tpot.mean > 0) {
    m.set("tokens_per_s_per_user", 1 / out.tpot.p50.value_or(out.tpot.mean));
    put(m, "tpot", out.tpot);
    put(m, "itl", out.itl);
  }
  put(m, "e2e", out.e2e);
  m.set("mean_batch_sequences", out.mean_batch);
  put_memory(scenario, out, memory, result);
  const workloads::ModelCounts counts = workloads::count(scenario.model);
  m.set("parameters_total", counts.parameters_total);
  m.set("parameters_active", counts.parameters_active);
  if (scenario.serve.speculation) m.set("accepted_tokens_per_step", gain);
  const auto watts = put_power(scenario, out, accelerators, activity_scale, result);
  put_money(scenario, out, accelerators, watts ? watts->it : 0.0, result);
  result.warnings.insert(result.warnings.end(), out.warnings.begin(), out.warnings.end());
  result.breakdown.insert(result.breakdown.end(), out.breakdown.begin(), out.breakdown.end());
}

}  // namespace jevons::sim
