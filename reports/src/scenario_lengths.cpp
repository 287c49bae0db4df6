// Token counts and traffic of the scenario section `serve`.
#include "scenario_serve.hpp"

#include "jevons/core/error.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

namespace jevons::reports {
namespace {

using sim::Length;
using sim::Traffic;

constexpr Range kTokenCount{0, 1e9};
constexpr Range kRequests{1, 1e10};

constexpr std::array<std::pair<std::string_view, Traffic::Kind>, 6> kKinds{{
    {"closed", Traffic::Kind::closed},
    {"poisson", Traffic::Kind::poisson},
    {"gamma", Traffic::Kind::gamma},
    {"trace", Traffic::Kind::trace},
    {"offline", Traffic::Kind::offline},
    {"static", Traffic::Kind::static_batch},
}};

/// A file of token counts: a JSON array, or one number per line (a heading line is skipped).
std::vector<double> read_samples(const std::string& path) {
  const std::string text = read_text_file(path);
  if (text.find_first_not_of(" \t\r\n") != std::string::npos &&
      text[text.find_first_not_of(" \t\r\n")] == '[') {
    std::vector<double> samples;
    for (const Json& item : parse_json(text, path)) {
      if (!item.is_number()) throw bad_input(path, "expected an array of numbers");
      samples.push_back(item.get<double>());
    }
    return samples;
  }
  std::vector<double> samples;
  std::size_t start = 0;
  for (long line = 1; start < text.size(); ++line) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    std::string cell = text.substr(start, end - start);
    start = end + 1;
    while (!cell.empty() && (cell.back() == '\r' || cell.back() == ' ')) cell.pop_back();
    if (cell.empty()) continue;
    try {
      samples.push_back(parse_quantity(cell, UnitKind::count, path));
    } catch (const Error&) {
      if (line == 1) continue;
      throw bad_input(path, "line " + std::to_string(line) + ": cannot read '" +
                                cell.substr(0, 60) + "' as a token count");
    }
  }
  return samples;
}

Length empirical(std::vector<double> samples, const std::string& where) {
  Length length;
  length.kind = Length::Kind::empirical;
  for (const double sample : samples) {
    if (!(sample >= kTokenCount.low && sample <= kTokenCount.high)) {
      throw bad_input(where, "token count out of range: " + number_text(sample),
                      "allowed: 0 to 1e9");
    }
  }
  if (samples.empty()) throw bad_input(where, "no token counts in it");
  length.mean =
      std::accumulate(samples.begin(), samples.end(), 0.0) / static_cast<double>(samples.size());
  const auto [low, high] = std::minmax_element(samples.begin(), samples.end());
  length.low = *low;
  length.high = *high;
  length.samples = std::move(samples);
  return length;
}

Length read_empirical(ScenarioReader& in, ObjectReader& object) {
  const Json* inline_samples = object.raw("samples");
  if (inline_samples == nullptr) {
    const std::string path = in.resolve(object.string("file"));
    return empirical(read_samples(path), path);
  }
  std::vector<double> samples;
  if (!inline_samples->is_array()) throw bad_input(object.where("samples"), "expected an array");
  for (const Json& item : *inline_samples) {
    if (!item.is_number()) throw bad_input(object.where("samples"), "expected numbers");
    samples.push_back(item.get<double>());
  }
  return empirical(std::move(samples), object.where("samples"));
}

Length read_distribution(ScenarioReader& in, ObjectReader object) {
  static constexpr std::array<std::string_view, 3> kDists{"lognormal", "uniform", "empirical"};
  const std::string dist = object.choice("dist", kDists);
  Length length;
  if (dist == "empirical") {
    length = read_empirical(in, object);
  } else if (dist == "lognormal") {
    length.kind = Length::Kind::lognormal;
    length.mean = object.number("mean", {0, 1e9, true}, UnitKind::count);
    length.sigma = object.number("sigma", {0, 10});
  } else {
    length.kind = Length::Kind::uniform;
    length.low = object.number("low", kTokenCount, UnitKind::count);
    length.high = object.number("high", {length.low, 1e9}, UnitKind::count);
    length.mean = (length.low + length.high) / 2;
  }
  object.finish();
  return length;
}

}  // namespace

Length read_length(ScenarioReader& in, ObjectReader& serve, std::string_view key) {
  const Json* value = serve.raw(key);
  if (value != nullptr && value->is_object()) return read_distribution(in, serve.object(key));
  Length length;
  length.mean = 1024;
  if (value == nullptr || value->is_null()) {
    in.took(serve.pointer() + "/" + std::string(key), length.mean, "default");
  } else {
    length.mean = serve.number(key, {1, kTokenCount.high}, UnitKind::count);
  }
  length.low = length.high = length.mean;
  return length;
}

Traffic read_traffic(ScenarioReader& in, ObjectReader& serve) {
  Traffic traffic;
  std::optional<ObjectReader> object = serve.optional_object("traffic");
  if (!object) {
    traffic.concurrency = 64;
    traffic.requests = 640;
    in.took("/serve/traffic", "closed, 64 users, 640 requests", "default");
    return traffic;
  }
  std::vector<std::string_view> names;
  for (const auto& [name, unused] : kKinds) names.push_back(name);
  // Only a closed loop has a number of users: naming it names the kind.
  const bool closed = !object->has_value("kind") && object->has_value("concurrency");
  if (closed) {
    object->ignore("kind");
    in.took("/serve/traffic/kind", "closed", "follows from concurrency");
  }
  const std::string kind = closed ? "closed" : object->choice("kind", names);
  for (const auto& [name, value] : kKinds) {
    if (name == kind) traffic.kind = value;
  }
  const auto default_requests = [&](double count) {
    if (object->has_value("requests")) {
      traffic.requests = object->number("requests", kRequests, UnitKind::count);
    } else {
      object->ignore("requests");
      traffic.requests = count;
      in.took("/serve/traffic/requests", count, "default");
    }
  };
  const auto optional_warm_up = [&] {
    if (object->has_value("warm_up_requests")) {
      traffic.warm_up_requests = object->number(
          "warm_up_requests", {0, std::max(0.0, traffic.requests - 1)}, UnitKind::count);
    } else {
      object->ignore("warm_up_requests");
    }
  };
  switch (traffic.kind) {
    case Traffic::Kind::closed:
      traffic.concurrency = object->number("concurrency", {1, 1e9}, UnitKind::count);
      default_requests(10 * traffic.concurrency);
      optional_warm_up();
      break;
    case Traffic::Kind::gamma: traffic.cv = object->number("cv", {0, 1000}); [[fallthrough]];
    case Traffic::Kind::poisson:
      traffic.requests_per_s = object->number("requests_per_s", {0, 1e9, true});
      default_requests(1000);
      optional_warm_up();
      break;
    case Traffic::Kind::trace:
      traffic.file = in.resolve(object->string("file"));
      (void)read_text_file(traffic.file);  // unreadable is told before work begins
      break;
    case Traffic::Kind::offline:
      traffic.requests = object->number("requests", kRequests, UnitKind::count);
      break;
    case Traffic::Kind::static_batch:
      traffic.batch = object->number("batch", {1, 1e9}, UnitKind::count);
      break;
  }
  object->finish();
  return traffic;
}

Json write_length(const Length& length) {
  Json out = Json::object();
  switch (length.kind) {
    case Length::Kind::fixed: return number_json(length.mean);
    case Length::Kind::lognormal:
      out["dist"] = "lognormal";
      out["mean"] = number_json(length.mean);
      out["sigma"] = number_json(length.sigma);
      break;
    case Length::Kind::uniform:
      out["dist"] = "uniform";
      out["low"] = number_json(length.low);
      out["high"] = number_json(length.high);
      break;
    case Length::Kind::empirical:
      out["dist"] = "empirical";
      out["samples"] = Json::array();
      for (const double sample : length.samples) out["samples"].push_back(number_json(sample));
      break;
  }
  return out;
}

Json write_traffic(const Traffic& traffic) {
  Json out = Json::object();
  for (const auto& [name, kind] : kKinds) {
    if (kind == traffic.kind) out["kind"] = name;
  }
  switch (traffic.kind) {
    case Traffic::Kind::closed:
      out["concurrency"] = number_json(traffic.concurrency);
      out["requests"] = number_json(traffic.requests);
      break;
    case Traffic::Kind::gamma: out["cv"] = number_json(traffic.cv); [[fallthrough]];
    case Traffic::Kind::poisson:
      out["requests_per_s"] = number_json(traffic.requests_per_s);
      out["requests"] = number_json(traffic.requests);
      break;
    case Traffic::Kind::trace: out["file"] = traffic.file; break;
    case Traffic::Kind::offline: out["requests"] = number_json(traffic.requests); break;
    case Traffic::Kind::static_batch: out["batch"] = number_json(traffic.batch); break;
  }
  if (traffic.warm_up_requests) out["warm_up_requests"] = number_json(*traffic.warm_up_requests);
  return out;
}

}  // namespace jevons::reports
