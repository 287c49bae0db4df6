// Flags that stand for a key of the scenario. Each has its twin in the file: flag = path + value.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace jevons::cli {

enum class Value {
  json,  ///< read as JSON where it is JSON, else as text: 16, 14.8T, ["norm"]
  text,  ///< always a text: names
  on     ///< takes no value; sets `fixed`
};

struct ScenarioFlag {
  std::string_view names;  ///< CLI11 list: "--tp,--tensor-parallel-size"
  std::string_view path;   ///< dotted path into the scenario
  std::string_view help;
  std::string_view tasks;  ///< letters: t train, s serve, o op
  Value value = Value::json;
  std::string_view fixed = {};    ///< for Value::on
  std::string_view implies = {};  ///< "path=value", set before
};

[[nodiscard]] std::span<const ScenarioFlag> scenario_flags();
/// The first name: "--tp".
[[nodiscard]] std::string main_name(const ScenarioFlag& flag);

}  // namespace jevons::cli
