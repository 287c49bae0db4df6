// Runs truth cases over the cores and sums up the errors.
#include "jevons/reports/validation.hpp"

#include "jevons/core/error.hpp"
#include "jevons/reports/scenario_json.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>

namespace jevons::reports {
namespace {

/// Name and share of the largest leaf of the first breakdown in seconds.
std::string dominant_part(const sim::Result& result) {
  for (const sim::Breakdown& root : result.breakdown) {
    if (root.unit != "s" || root.value <= 0) continue;
    const sim::Breakdown* best = &root;
    while (!best->children.empty()) {
      best = &*std::max_element(
          best->children.begin(), best->children.end(),
          [](const sim::Breakdown& a, const sim::Breakdown& b) { return a.value < b.value; });
    }
    return best->name + " " + std::to_string(std::lround(100 * best->value / root.value)) + " %";
  }
  return result.operators.empty() ? "" : result.operators.front().bound;
}

ValidationRow failed_row(const TruthCase& truth, const TruthCase::Fact& fact, std::string reason) {
  ValidationRow row;
  row.id = truth.id;
  row.group = truth.group;
  row.metric = fact.metric;
  row.measured = fact.value;
  row.is_flag = fact.is_flag;
  row.reason = std::move(reason);
  return row;
}

ValidationRow score(const TruthCase& truth, const TruthCase::Fact& fact,
                    const sim::Result& result) {
  ValidationRow row = failed_row(truth, fact, "");
  row.predicted = result.metrics.number(fact.metric);
  if (!row.predicted || !std::isfinite(*row.predicted)) {
    row.predicted.reset();
    row.reason =
        result.infeasible ? result.infeasible->reason : "the run gives no '" + fact.metric + "'";
    return row;
  }
  if (!fact.is_flag) row.error = *row.predicted / fact.value - 1.0;
  row.dominated = dominant_part(result);
  return row;
}

std::vector<ValidationRow> run_case(const TruthCase& truth, const hwmodels::Catalogue& catalogue,
                                    const ValidationOptions& options) {
  std::vector<ValidationRow> rows;
  try {
    const std::string name = truth.file + " (" + truth.id + ")";
    const sim::Scenario scenario = read_scenario(parse_json(truth.scenario, name), name, catalogue);
    const sim::Result result = sim::run(scenario, options.run);
    for (const TruthCase::Fact& fact : truth.measured) rows.push_back(score(truth, fact, result));
  } catch (const std::exception& error) {
    rows.clear();
    for (const TruthCase::Fact& fact : truth.measured) {
      rows.push_back(failed_row(truth, fact, error.what()));
    }
  }
  return rows;
}

bool selected(const TruthCase& truth, const std::vector<std::string>& prefixes) {
  return prefixes.empty() ||
         std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return truth.group.starts_with(prefix); });
}

/// Percentile of sorted values, linear between order statistics.
double percentile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return 0;
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

void count_flag(const ValidationRow& row, ValidationStatistics& s) {
  ++s.flags;
  const bool said = *row.predicted > 0.5, was = row.measured > 0.5;
  if (said && !was) ++s.said_true_was_false;
  if (!said && was) ++s.said_false_was_true;
}

}  // namespace

ValidationStatistics statistics(std::span<const ValidationRow> rows) {
  ValidationStatistics s;
  std::vector<double> absolute;
  double signed_sum = 0;
  for (const ValidationRow& row : rows) {
    ++s.n;
    if (!row.predicted) {
      ++s.failures;
    } else if (row.is_flag) {
      count_flag(row, s);
    } else {
      absolute.push_back(std::abs(*row.error));
      signed_sum += *row.error;
    }
  }
  if (absolute.empty()) return s;
  std::sort(absolute.begin(), absolute.end());
  double sum = 0;
  for (const double value : absolute) sum += value;
  s.mape = sum / static_cast<double>(absolute.size());
  s.bias = signed_sum / static_cast<double>(absolute.size());
  s.median = percentile(absolute, 0.5);
  s.p90 = percentile(absolute, 0.9);
  return s;
}

Validation validate(std::span<const TruthCase> cases, const hwmodels::Catalogue& catalogue,
                    const ValidationOptions& options) {
  Validation validation;
  std::vector<const TruthCase*> wanted;
  for (const TruthCase& truth : cases) {
    if (selected(truth, options.group_prefixes)) wanted.push_back(&truth);
  }
  std::vector<std::vector<ValidationRow>> results(wanted.size());
  std::atomic<std::size_t> next{0};
  {
    const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
    std::vector<std::jthread> pool;
    for (unsigned t = 0; t < (options.threads > 0 ? options.threads : cores); ++t) {
      pool.emplace_back([&] {
        for (std::size_t i = next++; i < wanted.size(); i = next++) {
          results[i] = run_case(*wanted[i], catalogue, options);
        }
      });
    }
  }
  std::map<std::string, std::vector<ValidationRow>> metrics, groups;
  for (const auto& rows : results) {
    for (const ValidationRow& row : rows) {
      validation.rows.push_back(row);
      metrics[row.metric].push_back(row);
      groups[row.group].push_back(row);
    }
  }
  validation.overall = statistics(validation.rows);
  for (const auto& [name, rows] : metrics) validation.by_metric[name] = statistics(rows);
  for (const auto& [name, rows] : groups) validation.by_group[name] = statistics(rows);
  return validation;
}

std::vector<ValidationRow> worst_rows(const Validation& validation, std::size_t count) {
  std::vector<ValidationRow> rows;
  for (const ValidationRow& row : validation.rows) {
    if (row.error) rows.push_back(row);
  }
  std::stable_sort(rows.begin(), rows.end(), [](const ValidationRow& a, const ValidationRow& b) {
    return std::abs(*a.error) > std::abs(*b.error);
  });
  if (rows.size() > count) rows.resize(count);
  return rows;
}

}  // namespace jevons::reports
