// Reads stack profiles (schema jevons.stack/1): defaults ← bases ← own constants.
#include "jevons/hwmodels/stack.hpp"

#include "parts.hpp"

#include "jevons/core/error.hpp"
#include "jevons/core/memo.hpp"
#include "jevons/hwmodels/catalogue.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <ranges>

namespace jevons::hwmodels {
namespace {

constexpr int kMaxBases = 8;

/// Contract section 5, in its order.
constexpr std::array<std::string_view, 32> kStacks{"megatron-2021",
                                                   "megatron-deepspeed",
                                                   "nanotron",
                                                   "deepseek-2024",
                                                   "nemo-24.07",
                                                   "dgxc-25.04",
                                                   "megatron-bridge-25.09",
                                                   "megatron-bridge-26.02",
                                                   "megatron-bridge-26.06",
                                                   "megatron-core-2026",
                                                   "mpt-foundry",
                                                   "torchtitan",
                                                   "maxtext",
                                                   "megascale",
                                                   "llama3",
                                                   "mlperf-train",
                                                   "vllm-0.5",
                                                   "vllm-0.11",
                                                   "vllm-0.18",
                                                   "vllm-0.18-graphs-2048",
                                                   "trtllm-1.0",
                                                   "trtllm-1.0-batch-wait",
                                                   "trtllm-1.2",
                                                   "trtllm-1.2-balanced",
                                                   "sglang-2025",
                                                   "sglang-2026",
                                                   "rocm-vllm-0.10",
                                                   "mlperf-infer",
                                                   "deepseek-serving-2025",
                                                   "llama.cpp",
                                                   "vendor",
                                                   "ideal"};

/// What one file says about itself.
Stack read_own(const Json& json, const std::string& file, bool from_user) {
  ObjectReader object(json, file);
  check_schema(object, "jevons.stack/1", !from_user);
  Stack stack;
  stack.id = object.string("id");
  stack.name = object.string_or("name", stack.id);
  stack.description = object.string_or("description", "");
  stack.task = object.choice_or("task", "any", {"train", "serve", "op", "any"});
  stack.based_on = object.string_or("based_on", "");
  const Source given{"given in " + file, Mark::assumed};
  stack.constants = read_constants(object, from_user ? &given : nullptr);
  object.finish();
  for (const auto& [name, unused] : stack.constants.all()) stack.own_constants.push_back(name);
  return stack;
}

void check_own(const Stack& stack, const Constants& defaults, const std::string& file) {
  if (stack.own_constants.size() > kMaxStackConstants) {
    throw bad_input(file + ": /constants",
                    std::to_string(stack.own_constants.size()) + " constants of its own",
                    "at most twelve; \"based_on\" another stack shares the rest");
  }
  std::vector<std::string> names;
  for (const auto& [name, unused] : defaults.all()) names.push_back(name);
  // A stack's kernel library may replace a kernel constant of the chip's class.
  const Constants& kernels = class_constants("generic");
  for (const auto& [name, unused] : kernels.all()) names.push_back(name);
  for (const std::string& name : stack.own_constants) {
    if (defaults.find(name) == nullptr && kernels.find(name) == nullptr) {
      throw bad_input(file + ": /constants/" + name, "unknown constant", did_you_mean(name, names));
    }
  }
}

Constants default_constants() {
  const DataDocument& document = embedded_document("stacks/_defaults.json");
  return read_own(document.json, document.file, false).constants;
}

/// Lays bases under the stack's own constants.
Stack resolve(Stack stack, std::string file) {
  Constants merged = default_constants();
  check_own(stack, merged, file);
  for (const std::string& name : stack.own_constants) stack.given_by.emplace(name, stack.id);
  std::vector<Constants> chain;
  for (std::string base = stack.based_on; !base.empty();) {
    if (data_file("stacks/" + base + ".json").empty()) {
      throw bad_input(file + ": /based_on", "unknown stack '" + base + "'",
                      did_you_mean(base, Catalogue().stack_ids()));
    }
    if (chain.size() > kMaxBases) throw bad_input(file + ": /based_on", "goes in a circle");
    const DataDocument& document = embedded_document("stacks/" + base + ".json");
    Stack link = read_own(document.json, document.file, false);
    file = document.file;
    // The stack nearest to this one wins, and its links come first.
    for (const std::string& name : link.own_constants) stack.given_by.emplace(name, link.id);
    chain.push_back(std::move(link.constants));
    base = link.based_on;
  }
  for (auto& link : std::ranges::reverse_view(chain)) merged.overlay(link);
  merged.overlay(stack.constants);
  stack.constants = std::move(merged);
  return stack;
}

}  // namespace

std::vector<StackConstant> stack_constants() {
  const DataDocument& document = embedded_document("stacks/_defaults.json");
  const Constants constants = read_own(document.json, document.file, false).constants;
  std::vector<StackConstant> list;
  for (const auto& [name, value] : document.json.at("constants").items()) {
    list.push_back(
        {name, value.value("unit", ""), value.value("meaning", ""), *constants.find(name)});
  }
  return list;
}

Constants Catalogue::shared_stack_constants(const std::string& base) const {
  Stack none;
  none.based_on = base;
  return resolve(none, "stacks").constants;
}

std::vector<std::string> Catalogue::stack_ids() const {
  return {kStacks.begin(), kStacks.end()};
}

Stack Catalogue::stack(std::string_view id_or_path, std::string_view where) const {
  if (is_path(id_or_path)) {
    const std::string path(id_or_path);
    return resolve(read_own(parse_json(read_text_file(path), path), path, true), path);
  }
  const std::string id(id_or_path);
  if (std::find(kStacks.begin(), kStacks.end(), id_or_path) == kStacks.end()) {
    throw bad_input(std::string(where), "unknown stack '" + id + "'",
                    did_you_mean(id, stack_ids()));
  }
  static Memo<Stack> presets;
  return presets.get(id, [&] {
    const DataDocument& document = embedded_document("stacks/" + id + ".json");
    return resolve(read_own(document.json, document.file, false), document.file);
  });
}

}  // namespace jevons::hwmodels
