// Presets compiled in, one file a model, and models on disk. Only the file asked for is parsed:
// names and aliases are read off the head of each file, which must come before its config.
#include "config_fields.hpp"

#include "jevons/core/error.hpp"
#include "jevons/core/memo.hpp"
#include "jevons/workloads/embedded.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

namespace jevons::workloads {
namespace {

constexpr std::string_view kFolder = "models/";
constexpr std::string_view kSuffix = ".json";
constexpr std::string_view kSchema = "jevons.model/1";

std::string_view id_of(const EmbeddedFile& file) {
  std::string_view id = file.path;
  id.remove_prefix(kFolder.size());
  id.remove_suffix(kSuffix.size());
  return id;
}

/// The quoted texts between `"key":` and `end` in the head of a preset file.
std::vector<std::string> head_texts(std::string_view text, std::string_view key, char end) {
  std::vector<std::string> out;
  const std::size_t config = text.find("\"config\"");
  std::size_t at = text.find("\"" + std::string(key) + "\":");
  if (at == std::string_view::npos || at > config) return out;
  at += key.size() + 3;
  bool inside = false;
  std::string current;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '"') {
      if (inside) out.push_back(current);
      current.clear();
      inside = !inside;
    } else if (inside) {
      current += c;
    } else if (c == end) {
      break;
    }
  }
  return out;
}

std::vector<std::string> aliases_of(const EmbeddedFile& file) {
  return head_texts(file.text, "aliases", ']');
}

const EmbeddedFile* find_preset(std::string_view name) {
  for (const EmbeddedFile& file : data_files()) {
    if (id_of(file) == name) return &file;
  }
  for (const EmbeddedFile& file : data_files()) {
    const std::vector<std::string> aliases = aliases_of(file);
    if (std::find(aliases.begin(), aliases.end(), name) != aliases.end()) return &file;
  }
  return nullptr;
}

bool looks_like_path(std::string_view name) {
  return name.find('/') != std::string_view::npos || name.ends_with(kSuffix);
}

/// The file's name without .json; of a config.json the folder's, which usually names the model.
std::string file_stem(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (name == "config.json" && slash != std::string::npos && slash > 0) {
    return file_stem(path.substr(0, slash));
  }
  if (name.ends_with(kSuffix)) name.resize(name.size() - kSuffix.size());
  return name;
}

/// A document that is either a preset file or a bare config.json.
struct Document {
  Json json;
  std::string file;
  std::string id;
  bool preset = false;
};

Document load(std::string_view name, std::string_view where) {
  Document document;
  if (const EmbeddedFile* file = find_preset(name)) {
    document.file = std::string(file->path);
    document.id = std::string(id_of(*file));
    document.json = parse_json(file->text, document.file);
  } else if (looks_like_path(name)) {
    document.file = std::string(name);
    document.id = file_stem(document.file);
    document.json = parse_json(read_text_file(document.file), document.file);
  } else {
    std::vector<std::string> names;
    for (const ModelPreset& preset : model_presets()) {
      names.push_back(preset.id);
      names.insert(names.end(), preset.aliases.begin(), preset.aliases.end());
    }
    throw bad_input(std::string(where), "unknown model '" + std::string(name) + "'",
                    did_you_mean(name, names) +
                        " A path to a config.json must contain '/' or "
                        "end in .json.");
  }
  const bool object = document.json.is_object();
  const auto schema = object ? document.json.find("schema") : document.json.end();
  document.preset = object && schema != document.json.end() && *schema == std::string(kSchema);
  return document;
}

// Lists with one entry a layer: when a scenario shortens a model, it keeps its first layers.
constexpr std::array<std::string_view, 4> kPerLayer{"layer_types", "attn_type_list",
                                                    "no_rope_layers", "hybrid_override_pattern"};

void shorten(Json& config, std::size_t layers, const Json& overrides) {
  for (const std::string_view key : kPerLayer) {
    const std::string name(key);
    const auto found = config.find(name);
    if (overrides.contains(name) || found == config.end()) continue;
    if (found->is_string() && found->get_ref<const std::string&>().size() > layers) {
      found->get_ref<std::string&>().resize(layers);
    } else if (found->is_array() && found->size() > layers) {
      found->erase(found->begin() + static_cast<long>(layers), found->end());
    }
  }
}

Json& language_part(Json& config) {
  const auto text = config.find("text_config");
  return text != config.end() && text->is_object() ? *text : config;
}

ModelConfig read_document(Document document, const Json* overrides, std::string_view where) {
  Source source{document.file, Mark::unverified};
  std::string name = document.id;
  std::string pointer;
  Json config;
  if (document.preset) {
    ObjectReader reader(document.json, document.file);
    name = reader.string("name");
    source.text = reader.string("config_source");
    source.mark = mark_from_string(reader.string("config_mark"), reader.where("config_mark"));
    pointer = "/config";
    config = reader.object("config").value();
  } else {
    config = std::move(document.json);
  }
  if (overrides != nullptr) config = with_overrides(std::move(config), *overrides, where);
  ModelConfig model = read_config(config, document.file, pointer, {});
  model.id = document.id;
  model.name = name;
  model.source = source;
  return model;
}

}  // namespace

Json with_overrides(Json config, const Json& overrides, std::string_view where) {
  const std::string at(where);
  if (overrides.is_null()) return config;
  if (!overrides.is_object()) throw bad_input(at, "expected an object of config.json keys");
  if (!config.is_object()) throw bad_input(at, "the model to override is not an object");
  std::vector<std::string> added;
  Json& target = language_part(config);
  for (const auto& [key, value] : overrides.items()) {
    if (!target.contains(key)) added.push_back(key);
    target[key] = value;
  }
  const auto layers = overrides.find("num_hidden_layers");
  if (layers != overrides.end() && layers->is_number()) {
    const double count = layers->get<double>();  // out of range: refused by the reader
    if (count >= 1 && count <= kMaxLayers) {
      shorten(target, static_cast<std::size_t>(count), overrides);
    }
  }
  (void)read_config(config, at, "", added);
  return config;
}

std::vector<ModelPreset> model_presets() {
  std::vector<ModelPreset> out;
  for (const EmbeddedFile& file : data_files()) {
    const std::vector<std::string> name = head_texts(file.text, "name", ',');
    out.push_back({std::string(id_of(file)), name.empty() ? "" : name.front(), aliases_of(file)});
  }
  return out;
}

ModelConfig model(std::string_view id_or_path, std::string_view where) {
  if (looks_like_path(id_or_path)) return read_document(load(id_or_path, where), nullptr, where);
  static Memo<ModelConfig> presets;
  return presets.get(id_or_path,
                     [&] { return read_document(load(id_or_path, where), nullptr, where); });
}

ModelConfig model(std::string_view id_or_path, const Json& overrides, std::string_view where) {
  return read_document(load(id_or_path, where), &overrides, where);
}

}  // namespace jevons::workloads
