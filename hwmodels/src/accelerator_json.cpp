// Reads SKU objects (schema jevons.accelerator/1) and kernel-class files (jevons.class/1).
#include "parts.hpp"

#include "jevons/core/error.hpp"
#include "jevons/core/memo.hpp"
#include "jevons/hwmodels/catalogue.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <ranges>

namespace jevons::hwmodels {
namespace {

constexpr int kMaxBases = 8;

UnitKind unit_of(std::string_view figure) {
  if (figure.ends_with("_bytes_per_s")) return UnitKind::bytes_per_s;
  if (figure.ends_with("_flops_per_s") || figure.ends_with("_ops_per_s")) {
    return UnitKind::flops_per_s;
  }
  if (figure.find("bytes") != std::string_view::npos) return UnitKind::bytes;
  if (figure.ends_with("_w")) return UnitKind::watts;
  return UnitKind::count;
}

bool is_text(std::string_view figure) {
  return figure == "release_date" || figure == "process_node" || figure == "memory_type" ||
         figure == "scale_up_topology";
}

/// A value that may be a number, null, a flag, words, or a list.
void read_value(Figure& figure, std::string_view name, const Json& value,
                const std::string& where) {
  if (value.is_number()) {
    figure.value = read_number(value, where);
    if (*figure.value < 0) throw bad_input(where, "value out of range: read " + value.dump());
  } else if (value.is_boolean()) {
    figure.value = value.get<bool>() ? 1.0 : 0.0;
    figure.text = value.get<bool>() ? "true" : "false";
  } else if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (is_text(name)) {
      figure.text = text;
    } else {
      figure.value = parse_quantity(text, unit_of(name), where);
    }
  } else if (value.is_array()) {
    for (const Json& item : value) figure.values.push_back(read_number(item, where));
  } else if (!value.is_null()) {
    throw bad_input(where, "expected a number, a text, a list or null, read " + value.dump());
  }
}

using Figures = std::map<std::string, Figure, std::less<>>;

/// {"sparsity_multiplier": {"value": {"bf16": 2}}} becomes the figure "sparsity_multiplier.bf16".
void read_table(Figures& figures, const std::string& name, const Figure& common, const Json& table,
                const std::string& where) {
  for (const auto& [key, value] : table.items()) {
    Figure figure = common;
    read_value(figure, name, value, where + "/" + key);
    figures.insert_or_assign(name + "." + key, std::move(figure));
  }
}

void read_figure(Figures& figures, ObjectReader& list, const std::string& name, const Json& raw,
                 bool from_user) {
  Figure figure;
  if (from_user && !raw.is_object()) {
    figure.source = {"given in " + list.file(), Mark::assumed};
    read_value(figure, name, raw, list.where(name));
    figures.insert_or_assign(name, std::move(figure));
    return;
  }
  ObjectReader entry = list.object(name);
  if (from_user && !entry.has("source")) {
    figure.source = {"given in " + list.file(), Mark::assumed};
  } else {
    figure.source = read_source(entry);
  }
  figure.note = entry.string_or("note", "");
  const Json* value = entry.raw("value");
  if (value == nullptr) throw bad_input(entry.where(), "missing key 'value'");
  entry.finish();
  if (value->is_object()) {
    read_table(figures, name, figure, *value, entry.where("value"));
    return;
  }
  read_value(figure, name, *value, entry.where("value"));
  figures.insert_or_assign(name, std::move(figure));
}

void read_figures(Accelerator& sku, ObjectReader& object, bool from_user) {
  std::optional<ObjectReader> list = object.optional_object("figures");
  if (!list) return;
  const std::vector<std::string> names = figure_names();
  for (const auto& [name, raw] : list->value().items()) {
    if (name.starts_with("x_")) continue;
    if (!std::binary_search(names.begin(), names.end(), name)) {
      throw bad_input(list->where(name), "unknown figure", did_you_mean(name, names));
    }
    read_figure(sku.figures, *list, name, raw, from_user);
  }
}

/// Runs `use` on every object of the list `key`.
template <typename Use>
void each(ObjectReader& object, std::string_view key, Use use) {
  const Json* list = object.raw(key);
  if (list == nullptr) return;
  if (!list->is_array()) throw bad_input(object.where(key), "expected a list");
  for (std::size_t i = 0; i < list->size(); ++i) {
    ObjectReader entry((*list)[i], object.file(),
                       object.pointer() + "/" + std::string(key) + "/" + std::to_string(i));
    use(entry);
    entry.finish();
  }
}

void read_measured(Accelerator& sku, ObjectReader& object) {
  each(object, "measured", [&sku](ObjectReader& entry) {
    Measurement measured;
    measured.quantity = entry.string("quantity");
    const Json* value = entry.raw("value");
    if (value == nullptr) throw bad_input(entry.where(), "missing key 'value'");
    if (value->is_array()) {
      for (const Json& item : *value) {
        measured.values.push_back(read_number(item, entry.where("value")));
      }
    } else {
      measured.values.push_back(read_number(*value, entry.where("value")));
    }
    const Json* fraction = entry.raw("fraction_of_peak");
    if (fraction != nullptr && fraction->is_number()) {
      measured.fraction_of_peak = fraction->get<double>();
    }
    measured.ranks = entry.optional_number("ranks", kPositive);
    measured.bytes = entry.optional_number("bytes", kPositive);
    measured.source = read_source(entry);
    measured.note = entry.string_or("note", "");
    sku.measured.push_back(std::move(measured));
  });
  each(object, "notes", [&sku](ObjectReader& entry) {
    sku.notes.push_back(entry.string("text") + " [" + read_source(entry).text + "]");
  });
}

/// A constant that neither the class nor the base knows is a slip of the user.
void check_known(const Constants& own, const Accelerator& sku, const ObjectReader& object) {
  Constants known = class_constants(sku.generation);
  known.overlay(sku.constants);
  std::vector<std::string> names;
  for (const auto& [name, unused] : known.all()) names.push_back(name);
  for (const auto& [name, unused] : own.all()) {
    if (known.find(name) == nullptr) {
      throw bad_input(object.where("constants") + "/" + name, "unknown constant",
                      did_you_mean(name, names));
    }
  }
}

/// The SKU's own constants win over its base; at most eight.
void read_own_constants(Accelerator& sku, ObjectReader& object, bool from_user) {
  const Source given{"given in " + object.file(), Mark::assumed};
  const Constants own = read_constants(object, from_user ? &given : nullptr);
  if (own.all().size() > kMaxSkuConstants) {
    throw bad_input(object.where("constants"),
                    std::to_string(own.all().size()) + " constants of its own",
                    "at most eight: what parts share belongs to their class file");
  }
  if (from_user) check_known(own, sku, object);
  for (const auto& [name, unused] : own.all()) {
    if (std::find(sku.own_constants.begin(), sku.own_constants.end(), name) ==
        sku.own_constants.end()) {
      sku.own_constants.push_back(name);
    }
  }
  sku.constants.overlay(own);
}

Accelerator base_of(ObjectReader& object) {
  const std::string base = object.string_or("based_on", "");
  if (base.empty()) return {};
  const std::vector<std::string> ids = embedded_ids("accelerators");
  if (!std::binary_search(ids.begin(), ids.end(), base)) {
    throw bad_input(object.where("based_on"), "unknown accelerator '" + base + "'",
                    did_you_mean(base, ids));
  }
  const DataDocument& document = embedded_document("accelerators/" + base + ".json");
  return read_accelerator(document.json, document.file, "", false);
}

Constants read_class_constants(std::string_view generation) {
  std::vector<Constants> chain;
  std::string id(generation);
  std::string where = "accelerator";
  for (int depth = 0; !id.empty() && id != "generic"; ++depth) {
    const std::vector<std::string> ids = embedded_ids("classes");
    if (!std::binary_search(ids.begin(), ids.end(), id)) {
      throw bad_input(where, "unknown generation '" + id + "'", did_you_mean(id, ids));
    }
    const DataDocument& document = embedded_document("classes/" + id + ".json");
    ObjectReader object(document.json, document.file);
    check_schema(object, "jevons.class/1", true);
    object.ignore("id");
    object.ignore("description");
    chain.push_back(read_constants(object, nullptr));
    id = object.string_or("based_on", "");
    where = object.where("based_on");
    object.finish();
    if (depth > kMaxBases) throw bad_input(where, "based_on goes in a circle");
  }
  const DataDocument& generic = embedded_document("classes/generic.json");
  ObjectReader object(generic.json, generic.file);
  check_schema(object, "jevons.class/1", true);
  object.ignore("id");
  object.ignore("description");
  Constants constants = read_constants(object, nullptr);
  object.finish();
  for (auto& link : std::ranges::reverse_view(chain)) constants.overlay(link);
  return constants;
}

}  // namespace

std::vector<std::string> figure_names() {
  return {"accelerators_per_server",
          "all_in_w",
          "boost_clock_hz",
          "compute_units",
          "context_extra_w",
          "driver_reported_memory_bytes",
          "host_link_bytes_per_s",
          "host_memory_bandwidth_bytes_per_s",
          "host_memory_bytes",
          "idle_w",
          "l1_shared_bytes_per_unit",
          "last_level_cache_bytes",
          "memory_bandwidth_bytes_per_s",
          "memory_bandwidth_hbm3e_variant_bytes_per_s",
          "memory_bytes",
          "memory_bytes_hbm3e_variant",
          "memory_type",
          "nvls",
          "peak_bf16_flops_per_s",
          "peak_bf16_fp16_accumulate_flops_per_s",
          "peak_fp16_flops_per_s",
          "peak_fp16_fp16_accumulate_flops_per_s",
          "peak_fp32_flops_per_s",
          "peak_fp32_matrix_flops_per_s",
          "peak_fp4_flops_per_s",
          "peak_fp64_flops_per_s",
          "peak_fp64_matrix_flops_per_s",
          "peak_fp6_flops_per_s",
          "peak_fp8_flops_per_s",
          "peak_int8_ops_per_s",
          "peak_tf32_flops_per_s",
          "physical_memory_bytes",
          "process_node",
          "release_date",
          "scale_out_bytes_per_s",
          "scale_up_bytes_per_s",
          "scale_up_domain",
          "scale_up_effective_bytes_per_s",
          "scale_up_peer_bytes_per_s",
          "scale_up_topology",
          "server_w",
          "sparsity_multiplier",
          "tdp_w",
          "usable_memory_bytes"};
}

Accelerator read_accelerator(const Json& json, std::string_view file, std::string_view pointer,
                             bool from_user) {
  ObjectReader object(json, std::string(file), std::string(pointer));
  check_schema(object, "jevons.accelerator/1", !from_user);
  Accelerator sku = base_of(object);
  const bool based = !sku.id.empty();
  const auto text = [&](std::string_view key, const std::string& inherited, bool required) {
    return required && !based ? object.string(key) : object.string_or(key, inherited);
  };
  sku.id = text("id", sku.id + "-modified", !from_user);
  if (sku.id == "-modified") sku.id = "custom";
  sku.name = text("name", based ? sku.name + ", modified" : sku.id, !from_user);
  sku.vendor = text("vendor", sku.vendor, !from_user);
  sku.kind = text("kind", based ? sku.kind : "gpu", !from_user);
  sku.generation = text("generation", based ? sku.generation : "generic", !from_user);
  sku.compute_unit_kind = text("compute_unit_kind", sku.compute_unit_kind, false);
  sku.server = text("server", sku.server, false);
  read_figures(sku, object, from_user);
  read_measured(sku, object);
  read_own_constants(sku, object, from_user);
  object.finish();
  (void)sku.topology();  // an unknown word is an error here, not later
  return sku;
}

const Constants& class_constants(std::string_view generation) {
  static Memo<Constants> classes;
  return classes.get(generation, [&] { return read_class_constants(generation); });
}

}  // namespace jevons::hwmodels
