#include "addon/checkpoint_arguments.h"

namespace sightline {
namespace {

std::string optional_file(const Argument& file) { return file.present() ? file.file_path() : std::string(); }

std::map<std::string, std::string> to_strings(const Argument& table) {
  std::map<std::string, std::string> strings;
  for (const auto& [key, value] : table.entries()) strings.emplace(key.string(), value.string());
  return strings;
}

TensorFiles to_tensor_files(const Argument& group) {
  TensorFiles result{.files = {}, .names = to_strings(group.field("names")), .ignored = {}, .copies = {}};
  for (const Argument& file : group.field("files").elements()) result.files.push_back(file.file_path());
  if (const Argument ignored = group.field("ignored"); ignored.present())
    for (const Argument& name : ignored.elements()) result.ignored.insert(name.string());
  if (const Argument copies = group.field("copies"); copies.present()) result.copies = to_strings(copies);
  return result;
}

SavedTensors to_saved_tensors(const Argument& saved) {
  SavedTensors result{.file = saved.field("file").file_path(), .names = {}, .type = Dtype::f32, .shapes = {}};
  for (const auto& [parameter, tensor] : saved.field("names").entries()) result.names.emplace_back(parameter.string(), tensor.string());
  if (const Argument type = saved.field("type"); type.present())
    result.type = to_stored_type(type);
  if (const Argument shapes = saved.field("shapes"); shapes.present()) {
    for (const auto& [parameter, sizes] : shapes.entries()) {
      std::vector<int64_t>& shape = result.shapes[parameter.string()];
      for (const Argument& size : sizes.elements()) shape.push_back(size.size());
    }
  }
  return result;
}

/** A path, or a list of what `to_group` reads. */
template <class Group>
std::variant<std::string, std::vector<Group>> to_model(const Argument& model, Group (*to_group)(const Argument&)) {
  if (!model.is_list()) return model.file_path();
  std::vector<Group> groups;
  for (const Argument& group : model.elements()) groups.push_back(to_group(group));
  return groups;
}

}  // namespace

Dtype to_stored_type(const Argument& type) {
  return type.one_of<Dtype>({{"F32", Dtype::f32}, {"BF16", Dtype::bf16}, {"F16", Dtype::f16}});
}

SaveTarget to_save_target(const Argument& target) {
  return {.model = to_model(target.field("model"), to_saved_tensors), .optimizer = optional_file(target.field("optimizer"))};
}

LoadSource to_load_source(const Argument& source) {
  return {.model = to_model(source.field("model"), to_tensor_files), .optimizer = optional_file(source.field("optimizer"))};
}

}  // namespace sightline
