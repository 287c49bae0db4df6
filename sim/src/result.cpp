#include "jevons/sim/result.hpp"

#include <algorithm>

namespace jevons::sim {
namespace {

void put(std::vector<Metrics::Item>& items, std::string_view name, const Metrics::Value& value) {
  const auto found = std::find_if(items.begin(), items.end(),
                                  [&](const Metrics::Item& item) { return item.name == name; });
  if (found != items.end()) {
    found->value = value;
  } else {
    items.push_back({std::string(name), value});
  }
}

}  // namespace

void Metrics::set(std::string_view name, double value) {
  put(items_, name, value);
}
void Metrics::set_flag(std::string_view name, bool value) {
  put(items_, name, value);
}

void Metrics::set_text(std::string_view name, std::string_view value) {
  put(items_, name, std::string(value));
}

std::optional<double> Metrics::number(std::string_view name) const {
  for (const Item& item : items_) {
    if (item.name != name) continue;
    if (const auto* number = std::get_if<double>(&item.value)) return *number;
    if (const auto* flag = std::get_if<bool>(&item.value)) return *flag ? 1.0 : 0.0;
    return std::nullopt;
  }
  return std::nullopt;
}

std::optional<bool> Metrics::flag(std::string_view name) const {
  for (const Item& item : items_) {
    if (item.name == name && std::holds_alternative<bool>(item.value)) {
      return std::get<bool>(item.value);
    }
  }
  return std::nullopt;
}

std::optional<std::string> Metrics::text(std::string_view name) const {
  for (const Item& item : items_) {
    if (item.name != name) continue;
    if (const auto* text = std::get_if<std::string>(&item.value)) return *text;
  }
  return std::nullopt;
}

}  // namespace jevons::sim
