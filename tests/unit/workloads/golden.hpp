// Figures of tests/data/golden_models.json and the presets they belong to.
#pragma once

#include "jevons/core/json_reader.hpp"
#include "jevons/workloads/model.hpp"

#include <nlohmann/json.hpp>

#include <string>

inline jevons::Json test_document(const std::string& path) {
  const std::string file = std::string(JEVONS_SOURCE_DIR) + "/tests/" + path;
  return jevons::parse_json(jevons::read_text_file(file), file);
}

inline const jevons::Json& golden_models() {
  static const jevons::Json document = test_document("data/golden_models.json");
  return document;
}

inline jevons::workloads::ModelConfig preset(const std::string& id) {
  return jevons::workloads::model(id, "test");
}
