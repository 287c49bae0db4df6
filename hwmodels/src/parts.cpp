#include "parts.hpp"

#include "jevons/core/error.hpp"
#include "jevons/core/memo.hpp"
#include "jevons/hwmodels/catalogue.hpp"
#include "jevons/hwmodels/embedded.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <map>

namespace jevons::hwmodels {

Source read_source(ObjectReader& object) {
  Source source;
  source.text = object.string("source");
  source.mark = mark_from_string(object.string("mark"), object.where("mark"));
  return source;
}

double read_number(const Json& value, std::string_view where) {
  if (!value.is_number()) {
    throw bad_input(std::string(where), "expected a number, read " + value.dump());
  }
  const double number = value.get<double>();
  if (!std::isfinite(number)) throw bad_input(std::string(where), "expected a finite number");
  return number;
}

void check_schema(ObjectReader& object, std::string_view schema, bool required) {
  const std::optional<std::string> read = object.optional_string("schema");
  if (!read && required) {
    throw bad_input(object.where(), "missing key 'schema'", "allowed: " + std::string(schema));
  }
  if (read && *read != schema) {
    throw bad_input(object.where("schema"), "unknown schema '" + *read + "'",
                    "allowed: " + std::string(schema));
  }
}

Constants read_constants(ObjectReader& object, const Source* plain) {
  Constants constants;
  std::optional<ObjectReader> list = object.optional_object("constants");
  if (!list) return constants;
  for (const auto& [name, value] : list->value().items()) {
    if (plain != nullptr && value.is_number()) {
      constants.set(name, {read_number(value, list->where(name)), *plain, {}});
      continue;
    }
    ObjectReader entry = list->object(name);
    Sourced sourced;
    sourced.value = entry.number("value");
    sourced.source = plain != nullptr && !entry.has("source") ? *plain : read_source(entry);
    sourced.note = entry.string_or("meaning", entry.string_or("note", ""));
    for (const char* known : {"unit", "note", "meaning"}) entry.ignore(known);
    entry.finish();
    constants.set(name, std::move(sourced));
  }
  return constants;
}

const DataDocument& embedded_document(std::string_view path) {
  static Memo<DataDocument> documents;
  return documents.get(path, [&] {
    const std::string_view text = data_file(path);
    std::string file = "hwmodels/data/" + std::string(path);
    if (text.empty()) {
      throw Error(ErrorKind::internal, file, "the data file is not part of this build");
    }
    Json json = parse_json(text, file);
    return DataDocument{std::move(file), std::move(json)};
  });
}

std::vector<std::string> embedded_ids(std::string_view folder) {
  const std::string prefix = std::string(folder) + "/";
  constexpr std::string_view kSuffix = ".json";
  std::vector<std::string> ids;
  for (const EmbeddedFile& file : data_files()) {
    if (!file.path.starts_with(prefix) || !file.path.ends_with(kSuffix)) continue;
    const std::string_view id =
        file.path.substr(prefix.size(), file.path.size() - prefix.size() - kSuffix.size());
    if (!id.starts_with('_')) ids.emplace_back(id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

bool is_path(std::string_view id_or_path) {
  return id_or_path.find('/') != std::string_view::npos || id_or_path.ends_with(".json");
}

}  // namespace jevons::hwmodels
