#include "serve_played.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace jevons::sim {
namespace {

Statistic statistic(std::vector<double> values) {
  Statistic s;
  if (values.empty()) return s;
  s.mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  s.p50 = quantile(values, 0.5);
  s.p90 = quantile(values, 0.9);
  s.p99 = quantile(values, 0.99);
  return s;
}

Statistic gap_statistic(std::vector<Weighted> gaps) {
  Statistic s;
  double count = 0, sum = 0;
  for (const Weighted& g : gaps) {
    count += g.count;
    sum += g.count * g.value;
  }
  if (count <= 0) return s;
  s.mean = sum / count;
  s.p50 = quantile(gaps, 0.5);
  s.p90 = quantile(gaps, 0.9);
  s.p99 = quantile(gaps, 0.99);
  return s;
}

/// Of every request after the warm-up.
struct Latencies {
  std::vector<double> ttft, tpot, e2e;
  double inputs = 0, outputs = 0, inside = 0;

  void add(const ServeSpec& spec, const Request& request, const Served& served) {
    const double later = request.output - 1;
    const double first = served.first_token_s - served.arrival_s;
    const double each = later > 0 ? (served.done_s - served.first_token_s) / later : 0.0;
    ttft.push_back(first);
    if (later > 0) tpot.push_back(each);
    e2e.push_back(served.done_s - served.arrival_s);
    inputs += request.input;
    outputs += request.output;
    const bool in_time = (!spec.slo_ttft_s || first <= *spec.slo_ttft_s) &&
                         (!spec.slo_tpot_s || each <= *spec.slo_tpot_s);
    inside += in_time ? 1 : 0;
  }
};

void warn(const ServeSpec& spec, double preempted, double oversized, ServeOutcome& out) {
  if (preempted > 0) {
    out.warnings.push_back({"preemption",
                            fmt::format("{:.0f} times a sequence lost its cache and was computed "
                                        "again: the KV cache is too small for this load",
                                        preempted),
                            "/serve/max_batch_sequences"});
  }
  if (oversized > 0) out.warnings.push_back(oversized_warning(spec, oversized));
}

}  // namespace

Warning oversized_warning(const ServeSpec& spec, double prompts) {
  return {"prompt_over_budget",
          fmt::format("{} longer than max_batch_tokens ({:.0f}) and ran whole, alone in a step: "
                      "engines without chunked prefill need a larger budget or refuse",
                      prompts > 1 ? fmt::format("{:.0f} prompts are", prompts) : "a prompt is",
                      spec.max_batch_tokens),
          "/serve/max_batch_tokens"};
}

double warm_up_share(const Traffic& traffic, double requests, double users) {
  if (requests <= 0) return 0;
  if (traffic.warm_up_requests) return *traffic.warm_up_requests / std::max(traffic.requests, 1.0);
  if (traffic.kind == Traffic::Kind::offline) return 0;
  const double warm = traffic.kind == Traffic::Kind::closed ? users : std::floor(requests / 10);
  return requests < 3 * warm ? 0 : warm / requests;
}

Warning warm_up_warning(double cut, std::string_view of) {
  return {"warm_up",
          cut > 0
              ? fmt::format("the first {:.0f} requests of {} are cut off as warm-up, the drain "
                            "at the end is left out of the rates",
                            cut, of)
              : "nothing is cut off as warm-up: the run is offline, shorter than three waves or "
                "has warm_up_requests 0, and the rates include its start and its drain",
          "/serve/traffic"};
}

double Played::span_s() const {
  return std::max(to.at_s - from.at_s, 1e-12);
}

void summarise(const ServeSpec& spec, const std::vector<Played>& played, double replicas,
               ServeOutcome& out) {
  Latencies all;
  std::vector<Weighted> gaps;
  double elapsed = 0, sequence_seconds = 0, preempted = 0, oversized = 0;
  const auto runs = static_cast<double>(played.size());
  for (const Played& p : played) {
    for (std::size_t i = p.cut; i < p.served.size(); ++i) {
      all.add(spec, p.requests[i], p.served[i]);
    }
    out.output_per_s += replicas / runs * (p.to.tokens - p.from.tokens) / p.span_s();
    out.work_per_s += minus(p.to.work, p.from.work) * (1 / p.span_s() / p.instances / runs);
    gaps.insert(gaps.end(), p.gaps.begin(), p.gaps.end());
    elapsed += p.span_s() * p.instances;
    sequence_seconds += p.to.sequence_seconds - p.from.sequence_seconds;
    preempted += p.preemptions;
    oversized += p.oversized_prompts;
  }
  const auto n = static_cast<double>(all.e2e.size());
  out.requests_per_s = out.output_per_s / std::max(all.outputs / n, 1.0);
  out.input_per_s = out.requests_per_s * all.inputs / n;
  out.goodput_per_s = out.requests_per_s * all.inside / n;
  out.mean_batch = sequence_seconds / std::max(elapsed, 1e-12);
  out.ttft = statistic(std::move(all.ttft));
  out.tpot = statistic(std::move(all.tpot));
  out.e2e = statistic(std::move(all.e2e));
  out.itl = gap_statistic(std::move(gaps));
  out.step_time_s = out.itl.p50.value_or(0);
  warn(spec, preempted, oversized, out);
}

}  // namespace jevons::sim
