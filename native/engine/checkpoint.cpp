#include "engine/checkpoint.h"

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "io/safetensors_writer.h"
#include "io/tensor_search.h"

namespace sightline {
namespace {

/** Elements that are fetched from the device and written at a time, unless a single row has more. */
constexpr int64_t piece_elements = int64_t{1} << 20;

TensorToWrite to_write(Device& device, const std::string& name, const std::vector<int64_t>& shape, Dtype type, const Tensor& tensor) {
  const auto write = [&device, type, tensor](const WriteBytes& bytes) {
    const int64_t rows_at_once = std::max<int64_t>(1, piece_elements / tensor.columns());
    for (int64_t first = 0; first < tensor.rows(); first += rows_at_once) {
      const Tensor piece = tensor.slice_rows(first, std::min(rows_at_once, tensor.rows() - first));
      write_floats(type, [&] { return device.read(piece); })(bytes);
    }
  };
  return {name, type, shape, write};
}

void read(Device& device, const FoundTensor& from, const Tensor& to) {
  read_rows(from, to.columns(), [&](int64_t first_row, int64_t rows, const float* values) {
    device.write(to.slice_rows(first_row, rows), values);
  });
}

[[noreturn]] void fail_format(const std::vector<std::string>& files, const std::string& problems) {
  const std::string others = files.size() > 1 ? concat(" and ", files.size() - 1, " more") : "";
  fail(ErrorCode::format, files.empty() ? "no file" : files.front(), others, ": the tensors are not those of this model:", problems);
}

int64_t element_count(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t extent : shape) count *= extent;
  return count;
}

/** The parameters by name. */
class ParameterIndex {
 public:
  explicit ParameterIndex(const ParameterSet& parameters) {
    for (const Parameter& parameter : parameters.all()) by_name_.emplace(parameter.name, &parameter);
  }
  const Parameter& at(const std::string& name) const {
    const auto found = by_name_.find(name);
    require(found != by_name_.end(), "model.names: expected parameters of this model, received ", quote_name(name));
    return *found->second;
  }

 private:
  std::map<std::string_view, const Parameter*> by_name_;
};

/** One file's tensors; nothing is written until `write`. */
struct FileToWrite {
  std::string path;
  std::vector<TensorToWrite> tensors;

  void write() const { write_safetensors(path, tensors, {{"format", "pt"}}); }
};

FileToWrite own_names(Device& device, const ParameterSet& parameters, const std::string& path) {
  FileToWrite file{path, {}};
  for (const Parameter& parameter : parameters.all())
    file.tensors.push_back(to_write(device, parameter.name, parameter.shape, Dtype::f32, parameter.value));
  return file;
}

FileToWrite other_names(Device& device, const ParameterIndex& parameters, const SavedTensors& saved) {
  FileToWrite file{saved.file, {}};
  for (const auto& [name, tensor] : saved.names) {
    const Parameter& parameter = parameters.at(name);
    const auto shape = saved.shapes.find(name);
    if (shape != saved.shapes.end())
      require(element_count(shape->second) == parameter.value.size(), "model.shapes.", name, ": expected ", parameter.value.size(),
              " elements, received ", print_shape(shape->second));
    file.tensors.push_back(to_write(device, tensor, shape == saved.shapes.end() ? parameter.shape : shape->second, saved.type, parameter.value));
  }
  return file;
}

/** Finds all parameters in the files of a source before anything is read. */
class ParameterSearch {
 public:
  explicit ParameterSearch(ParameterSet& parameters) : parameters_(parameters) {}

  void add_file(const std::string& path) {
    TensorFiles group{{path}, {}, {}, {}};
    auto search = std::make_unique<TensorSearch>(group.files);
    for (const Parameter& parameter : parameters_.all())
      if (!is_optional(parameter) || search->has(parameter.name)) group.names.emplace(parameter.name, parameter.name);
    add(std::move(group), std::move(search), false);
  }
  void add_files(const TensorFiles& group) { add(group, std::make_unique<TensorSearch>(group.files), true); }

  /** Takes everything, or throws `format` before anything is changed. */
  void load(Device& device) {
    const ParameterIndex index(parameters_);
    std::string problems;
    std::map<const Parameter*, FoundTensor> found;
    for (const Group& group : groups_) {
      std::vector<const Parameter*> named;
      std::vector<WantedTensor> wanted;
      for (const auto& [parameter_name, tensor] : group.files.names) {
        const Parameter& parameter = index.at(parameter_name);
        require(found.emplace(&parameter, FoundTensor{}).second, "model.names: expected each parameter once, received ",
                quote_name(parameter_name), " twice");
        named.push_back(&parameter);
        wanted.push_back({tensor, parameter_name, parameter.shape, group.any_shape});
      }
      const std::vector<FoundTensor> tensors = group.search->find(wanted, group.files.ignored, group.files.copies, problems);
      for (size_t i = 0; i < named.size(); ++i) found[named[i]] = tensors[i];
    }
    for (const Parameter& parameter : parameters_.all())
      if (!found.contains(&parameter) && !starts_anew(parameter, found))
        problems += concat("\n  missing: ", parameter.name, " ", print_shape(parameter.shape));
    if (!problems.empty()) fail_format(files_, problems);
    for (const Parameter& parameter : parameters_.all()) {
      const auto at = found.find(&parameter);
      if (at == found.end())
        parameters_.initialize(parameter);
      else
        read(device, at->second, parameter.value);
    }
    parameters_.replaced();
  }

 private:
  struct Group {
    TensorFiles files;
    std::unique_ptr<TensorSearch> search;
    bool any_shape;
  };

  void add(TensorFiles group, std::unique_ptr<TensorSearch> search, bool any_shape) {
    files_.insert(files_.end(), group.files.begin(), group.files.end());
    groups_.push_back({std::move(group), std::move(search), any_shape});
  }
  /** What a source may leave out, together with all others of its kind. */
  enum class Kind { required, adapter, value_head };
  Kind kind(const Parameter& parameter) const {
    if (parameters_.is_adapter(parameter)) return Kind::adapter;
    return parameter.component == Component::value_head ? Kind::value_head : Kind::required;
  }
  bool is_optional(const Parameter& parameter) const { return kind(parameter) != Kind::required; }
  bool starts_anew(const Parameter& parameter, const std::map<const Parameter*, FoundTensor>& found) const {
    const Kind its = kind(parameter);
    return its != Kind::required &&
           std::ranges::none_of(found, [&](const auto& entry) { return kind(*entry.first) == its; });
  }

  ParameterSet& parameters_;
  std::vector<Group> groups_;
  std::vector<std::string> files_;
};

}  // namespace

void save_parameters(Device& device, const ParameterSet& parameters, const SaveTarget& target) {
  std::vector<FileToWrite> files;
  if (const auto* path = std::get_if<std::string>(&target.model)) {
    files.push_back(own_names(device, parameters, *path));
  } else {
    const ParameterIndex index(parameters);
    for (const SavedTensors& saved : std::get<std::vector<SavedTensors>>(target.model))
      files.push_back(other_names(device, index, saved));
  }
  for (const FileToWrite& file : files) file.write();
}

void load_parameters(Device& device, ParameterSet& parameters, const LoadSource& source) {
  ParameterSearch search(parameters);
  if (const auto* path = std::get_if<std::string>(&source.model)) {
    search.add_file(*path);
  } else {
    for (const TensorFiles& group : std::get<std::vector<TensorFiles>>(source.model)) search.add_files(group);
  }
  search.load(device);
}

void save_optimizer(Device& device, const ParameterSet& parameters, const std::string& path) {
  FileToWrite file{path, {}};
  for (const Parameter& parameter : parameters.all()) {
    if (!parameter.trainable()) continue;
    const auto add = [&](const char* name, const Tensor& moment) {
      file.tensors.push_back(to_write(device, parameter.name + name, parameter.shape, Dtype::f32, moment));
    };
    add(".first_moment", parameter.first_moment);
    add(".second_moment", parameter.second_moment);
    // A small integer, which fp32 holds exactly up to 2^24.
    const auto steps = static_cast<float>(parameter.steps);
    file.tensors.push_back({parameter.name + ".steps", Dtype::f32, {1}, write_floats(Dtype::f32, [steps] { return std::vector<float>{steps}; })});
  }
  file.write();
}

void load_optimizer(Device& device, ParameterSet& parameters, const std::string& path) {
  std::vector<WantedTensor> wanted;
  for (const Parameter& parameter : parameters.all()) {
    if (!parameter.trainable()) continue;
    wanted.push_back({parameter.name + ".first_moment", "", parameter.shape});
    wanted.push_back({parameter.name + ".second_moment", "", parameter.shape});
    wanted.push_back({parameter.name + ".steps", "", {1}});
  }
  const TensorSearch search(std::vector<std::string>{path});
  std::string problems;
  const std::vector<FoundTensor> found = search.find(wanted, {}, {}, problems);
  if (!problems.empty()) fail_format({path}, problems);
  size_t next = 0;
  for (Parameter& parameter : parameters.all()) {
    if (!parameter.trainable()) continue;
    read(device, found[next], parameter.first_moment);
    read(device, found[next + 1], parameter.second_moment);
    read_rows(found[next + 2], 1, [&](int64_t, int64_t, const float* steps) { parameter.steps = static_cast<int64_t>(*steps); });
    next += 3;
  }
}

}  // namespace sightline
