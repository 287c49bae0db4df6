// The whole of a scenario file: which sections it has and in which order they are resolved.
#include "jevons/reports/scenario_json.hpp"

#include "scenario_parts.hpp"

#include "jevons/core/error.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>

namespace jevons::reports {

void ScenarioReader::took(std::string path, std::string value, std::string why, Mark mark) {
  out.inputs.push_back({std::move(path), std::move(value), Source{std::move(why), mark}});
}

void ScenarioReader::took(std::string path, double value, std::string why, Mark mark) {
  took(std::move(path), number_text(value), std::move(why), mark);
}

std::string ScenarioReader::resolve(const std::string& path) const {
  if (directory.empty() || path.starts_with("/")) return path;
  // A resolved scenario names files as seen from the working directory.
  const std::string beside = directory + "/" + path;
  return !std::filesystem::exists(beside) && std::filesystem::exists(path) ? path : beside;
}

std::string ScenarioReader::at(std::string_view pointer) const {
  return file + ": " + std::string(pointer);
}

bool is_path(std::string_view text) {
  return text.find('/') != std::string_view::npos || text.ends_with(".json");
}

std::string number_text(double value) {
  std::array<char, 64> buffer{};
  const bool whole = value == std::floor(value) && std::abs(value) < 1e15;
  const auto end =
      whole ? std::to_chars(buffer.data(), buffer.data() + buffer.size(), static_cast<long>(value))
            : std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), end.ptr};
}

Json number_json(double value) {
  if (value == std::floor(value) && std::abs(value) < 9e15) return Json(static_cast<long>(value));
  return Json(value);
}

ObjectReader section(const ScenarioReader& in, ObjectReader& root, std::string_view name) {
  static const Json k_empty = Json::object();
  std::optional<ObjectReader> given = root.optional_object(name);
  return given ? *given : ObjectReader(k_empty, in.file, "/" + std::string(name));
}

namespace {

sim::Task read_task(ObjectReader& root) {
  static constexpr std::array<std::string_view, 3> kTasks{"train", "serve", "op"};
  const std::string task = root.choice("task", kTasks);
  if (task == "train") return sim::Task::train;
  return task == "serve" ? sim::Task::serve : sim::Task::op;
}

/// Sections of other tasks are known keys, but a scenario has only the one its task names.
void refuse_other_sections(ObjectReader& root, sim::Task task) {
  for (const std::string_view section : {"train", "serve", "op"}) {
    root.ignore(section);
    if (section != sim::to_string(task) && root.has_value(section)) {
      throw bad_input(root.where(section),
                      "section '" + std::string(section) + "' in a scenario whose task is '" +
                          std::string(sim::to_string(task)) + "'",
                      "remove it, or change /task");
    }
  }
}

std::string directory_of(const std::string& file) {
  const std::size_t slash = file.rfind('/');
  return slash == std::string::npos ? std::string{} : file.substr(0, slash);
}

}  // namespace

sim::Scenario read_scenario(const Json& document, const std::string& file,
                            const hwmodels::Catalogue& catalogue) {
  ObjectReader root(document, file);
  sim::Scenario scenario;
  ScenarioReader in{catalogue, file, directory_of(file), scenario};
  if (root.has("schema")) {
    static constexpr std::array<std::string_view, 1> kSchemas{"jevons.scenario/1"};
    (void)root.choice("schema", kSchemas);
  }
  scenario.task = read_task(root);
  refuse_other_sections(root, scenario.task);
  scenario.seed = static_cast<unsigned long>(root.integer_or("seed", 1, 0, 9007199254740992L));
  read_model(in, root);
  read_cluster(in, root);
  read_precision(in, root);
  read_stack(in, root);
  if (scenario.task == sim::Task::serve) choose_kv_cache(in, root);
  switch (scenario.task) {
    case sim::Task::train: read_train(in, root); break;
    case sim::Task::serve: read_serve(in, root); break;
    case sim::Task::op: read_op(in, root); break;
  }
  read_price(in, root);
  read_power(in, root);
  const std::string subject =
      scenario.task == sim::Task::op ? scenario.op.op.name : scenario.model.id;
  scenario.name = root.string_or(
      "name", std::string(sim::to_string(scenario.task)) + " " + subject + " on " +
                  std::to_string(scenario.cluster.count) + " x " + scenario.cluster.accelerator.id);
  root.finish();
  if (scenario.task == sim::Task::train) read_stages(in, document);
  return scenario;
}

}  // namespace jevons::reports
