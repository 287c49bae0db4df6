// Pieces that the data-file readers share. Private to hwmodels.
#pragma once

#include "jevons/core/json_reader.hpp"
#include "jevons/hwmodels/accelerator.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace jevons::hwmodels {

/// "source" and "mark" of an object; marks both keys as read.
[[nodiscard]] Source read_source(ObjectReader& object);

/// A finite number out of a raw value. Throws Error(bad_input) at `where`.
[[nodiscard]] double read_number(const Json& value, std::string_view where);

/// Checks "schema"; required in files, optional in inline objects.
void check_schema(ObjectReader& object, std::string_view schema, bool required);

/// "constants": {name: {"value", "source", "mark", …}} or, when `plain` is given, name: number,
/// which then carries `plain` as its source.
[[nodiscard]] Constants read_constants(ObjectReader& object, const Source* plain);

/// The document of an embedded file and its name in messages.
struct DataDocument {
  std::string file;
  Json json;
};
/// Throws Error(internal) when the program was built without it.
[[nodiscard]] const DataDocument& embedded_document(std::string_view path);

/// Ids of the embedded files of a folder, sorted; names that begin with '_' left out.
[[nodiscard]] std::vector<std::string> embedded_ids(std::string_view folder);

[[nodiscard]] bool is_path(std::string_view id_or_path);

/// Reads one SKU object. Constants hold only the SKU's own ones (or those of its base).
[[nodiscard]] Accelerator read_accelerator(const Json& json, std::string_view file,
                                           std::string_view pointer, bool from_user);

/// generic ← class (with its own bases).
[[nodiscard]] const Constants& class_constants(std::string_view generation);

}  // namespace jevons::hwmodels
