#include "jevons/hwmodels/catalogue.hpp"

#include "parts.hpp"

#include "jevons/core/error.hpp"
#include "jevons/core/memo.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace jevons::hwmodels {
namespace {

/// Class constants under the SKU's own.
Accelerator with_class(Accelerator sku) {
  Constants merged = class_constants(sku.generation);
  merged.overlay(sku.constants);
  sku.constants = std::move(merged);
  return sku;
}

bool one_of(std::string_view text, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

bool is_consumer(const Accelerator& sku) {
  return one_of(sku.kind, {"gpu-consumer", "soc", "cpu"});
}

std::string default_train_stack(const Accelerator& sku) {
  if (sku.vendor == "Google") return "maxtext";
  if (sku.vendor == "NVIDIA" && !is_consumer(sku)) {
    // Tuned recipes of the year the part is trained on; Ada and workstation parts have none.
    if (sku.generation == "ampere") return "nemo-24.07";
    if (one_of(sku.generation, {"hopper", "blackwell", "blackwell-ultra", "rubin"})) {
      return "megatron-bridge-26.02";
    }
  }
  return "torchtitan";
}

std::string default_serve_stack(const Accelerator& sku) {
  if (one_of(sku.generation, {"sram", "wafer", "rdu", "fpga"})) return "vendor";
  if (is_consumer(sku)) return "llama.cpp";
  if (sku.vendor == "AMD") return "rocm-vllm-0.10";
  return "vllm-0.18";
}

}  // namespace

std::vector<std::string> Catalogue::accelerator_ids() const {
  return embedded_ids("accelerators");
}

Accelerator Catalogue::accelerator(std::string_view id_or_path, std::string_view where) const {
  if (is_path(id_or_path)) {
    const std::string path(id_or_path);
    const Json json = parse_json(read_text_file(path), path);
    return with_class(read_accelerator(json, path, "", true));
  }
  const std::vector<std::string> ids = accelerator_ids();
  const std::string id(id_or_path);
  if (!std::binary_search(ids.begin(), ids.end(), id)) {
    throw bad_input(std::string(where), "unknown accelerator '" + id + "'", did_you_mean(id, ids));
  }
  static Memo<Accelerator> presets;
  return presets.get(id, [&] {
    const DataDocument& document = embedded_document("accelerators/" + id + ".json");
    return with_class(read_accelerator(document.json, document.file, "", false));
  });
}

Accelerator Catalogue::accelerator(const Json& object, std::string_view file,
                                   std::string_view pointer) const {
  return with_class(read_accelerator(object, file, pointer, true));
}

Constants Catalogue::class_constants(std::string_view generation) const {
  return hwmodels::class_constants(generation);
}

std::string Catalogue::default_stack(const Accelerator& accelerator, std::string_view task) const {
  if (task == "train") return default_train_stack(accelerator);
  if (task == "serve") return default_serve_stack(accelerator);
  return "ideal";
}

}  // namespace jevons::hwmodels
