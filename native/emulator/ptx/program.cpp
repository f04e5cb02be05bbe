#include "emulator/ptx/program.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "emulator/ptx/decoder.h"
#include "emulator/ptx/kernel_names.h"
#include "emulator/ptx/register_allocation.h"
#include "emulator/ptx/statements.h"

namespace sightline::emulator {
namespace {

/** Reads the statements of a module into its kernels. */
class ModuleParser {
 public:
  ModuleParser(std::string_view ptx, std::shared_ptr<ModuleStorage> storage) : reader_(ptx) { names_.storage = std::move(storage); }

  std::vector<std::unique_ptr<Kernel>> parse() {
    for (Statement statement = reader_.next(); statement.kind != Statement::Kind::end; statement = reader_.next()) {
      if (statement.kind != Statement::Kind::directive) fail_format(statement.line, "expected a directive, received \"", statement.text, "\"");
      module_directive(statement);
    }
    // .file directives may follow the kernels that refer to them.
    for (const auto& kernel : kernels_)
      for (SourceLocation& location : kernel->locations)
        if (!location.file.empty()) location.file = files_[location.file];
    return std::move(kernels_);
  }

 private:
  void module_directive(const Statement& statement) {
    const std::string_view text = statement.text;
    const auto mentions = [&](std::string_view word) { return text.find(word) != std::string_view::npos; };
    const std::string_view head = text.substr(0, text.find_first_of("({=["));
    const auto heads = [&](std::string_view word) { return head.find(word) != std::string_view::npos; };
    if (heads(".entry")) return kernel(statement);
    if (heads(".func")) {
      // Declarations of functions that nothing calls do no harm; a call is refused where it stands.
      if (heads(".extern")) return;
      fail_unsupported(statement.line, "functions are not supported, every device function has to be inlined: \"", text, "\"");
    }
    if (heads(".file")) return file(statement);
    if (heads(".shared")) return shared(statement);
    if (heads(".const") || heads(".global")) return variable(statement);
    for (const std::string_view ignored : {".version", ".target", ".address_size", ".pragma"})
      if (head.starts_with(ignored)) {
        if (ignored == ".address_size" && !mentions("64")) fail_unsupported(statement.line, "addresses of 32 bits");
        return;
      }
    fail_unsupported(statement.line, "a directive that the interpreter does not have: \"", text, "\"");
  }

  /** .file 1 "path"[, time, size] */
  void file(const Statement& statement) {
    const size_t open = statement.text.find('"'), close = statement.text.find('"', open + 1);
    if (close == std::string::npos) fail_format(statement.line, "cannot read \"", statement.text, "\"");
    const std::string number(trimmed(std::string_view(statement.text).substr(5, open - 5)));
    files_[number] = statement.text.substr(open + 1, close - open - 1);
  }

  void shared(const Statement& statement) {
    const size_t open = statement.text.find('['), blank = statement.text.rfind(' ', open);
    if (open == std::string::npos || blank == std::string::npos) fail_unsupported(statement.line, "shared variables that are no arrays: \"", statement.text, "\"");
    const std::string name = statement.text.substr(blank + 1, open - blank - 1);
    const size_t align = statement.text.find(".align ");
    if (statement.text.find(".extern") != std::string::npos) {
      names_.dynamic_shared[name] = align == std::string::npos ? 1 : static_cast<uint32_t>(std::atoi(statement.text.c_str() + align + 7));
    } else {
      names_.static_shared[name] = statement.text.substr(statement.text.find(".shared"));
    }
  }

  /** [.visible] .const|.global [.align n] .type name[count]... [= number or {numbers}] */
  void variable(const Statement& statement) {
    const std::string& text = statement.text;
    const size_t equals = text.find('='), open = text.find('[');
    const size_t end = text.find_last_not_of(' ', std::min({equals, open, text.size()}) - 1) + 1;
    const size_t blank = text.rfind(' ', end - 1), dot = text.rfind('.', blank);
    if (blank == std::string::npos || dot == std::string::npos) fail_format(statement.line, "cannot read \"", text, "\"");
    const std::string type(trimmed(std::string_view(text).substr(dot, blank - dot)));
    const uint32_t element = type_bytes(type);
    if (element == 0 || text.find(".extern") != std::string::npos)
      fail_unsupported(statement.line, "a module variable of this kind: \"", text.substr(0, equals), "\"");
    size_t count = 1;
    for (size_t at = open; at < std::min(equals, text.size()); at = text.find('[', at + 1)) count *= std::strtoull(text.c_str() + at + 1, nullptr, 10);
    const size_t bytes = count * element;
    auto& storage = *names_.storage;
    storage.blocks.push_back(std::make_unique<uint64_t[]>((bytes + 15) / 16 * 2));
    auto* data = reinterpret_cast<uint8_t*>(storage.blocks.back().get());
    storage.variables[text.substr(blank + 1, end - blank - 1)] = {data, bytes, text.find(".const") < blank};
    if (equals == std::string::npos) return;
    const std::string value(trimmed(std::string_view(text).substr(equals + 1)));
    size_t at = 0;
    for (const std::string& number : vector_elements(value)) {
      if (at + element > bytes) fail_format(statement.line, "more values than elements in \"", text.substr(0, equals), "\"");
      const uint64_t bits = initial_value(number, statement.line);
      for (uint32_t k = 0; k < element; ++k) data[at++] = static_cast<uint8_t>(bits >> 8 * k);
    }
  }

  static uint64_t initial_value(const std::string& number, uint32_t line) {
    const bool floating = number.starts_with("0f") || number.starts_with("0d");
    const size_t begin = floating ? 2 : number.starts_with("-") ? 1 : 0;
    char* end = nullptr;
    const uint64_t magnitude = std::strtoull(number.c_str() + begin, &end, floating ? 16 : 0);
    if (end == number.c_str() + begin || (*end && *end != 'U')) fail_unsupported(line, "the initial value \"", number, "\"");
    return begin == 1 ? uint64_t{0} - magnitude : magnitude;
  }

  void kernel(const Statement& header) {
    kernels_.push_back(std::make_unique<Kernel>());
    Kernel& kernel = *kernels_.back();
    kernel.storage = names_.storage;
    kernel.locations.emplace_back();
    KernelNames names(kernel, names_);
    parameters(header, kernel, names);
    Statement statement = reader_.next();
    for (; statement.kind == Statement::Kind::directive; statement = reader_.next()) {
      // Of the performance directives, only the limit on threads binds.
      if (statement.text.starts_with(".maxntid") || statement.text.starts_with(".reqntid")) {
        kernel.max_threads = 1;
        for (const std::string& size : split_operands(std::string_view(statement.text).substr(8)))
          kernel.max_threads *= static_cast<uint32_t>(std::atoi(size.c_str()));
      } else if (!statement.text.starts_with(".minnctapersm") && !statement.text.starts_with(".maxnreg")) {
        fail_unsupported(statement.line, "a directive of a kernel: \"", statement.text, "\"");
      }
    }
    if (statement.kind != Statement::Kind::open_brace) fail_format(statement.line, "expected the body of kernel ", kernel.name);
    body(kernel, names);
    names.resolve_labels();
    names.finish_shared();
    allocate_registers(kernel, names.slot_widths());
  }

  /** .visible .entry name( .param .u64 name, .param .align 8 .b8 name[24] ) */
  static void parameters(const Statement& header, Kernel& kernel, KernelNames& names) {
    const std::string_view text = header.text;
    const size_t open = text.find('('), entry = text.find(".entry") + 6;
    kernel.name = std::string(trimmed(text.substr(entry, open - entry)));
    for (const std::string& declaration : split_operands(text.substr(open + 1, text.size() - open - 2))) {
      const size_t bracket = declaration.find('['), blank = declaration.rfind(' ', bracket);
      const size_t align_at = declaration.find(".align ");
      uint32_t bytes = 0;
      for (const std::string& word : split(declaration, ' '))
        if (word.starts_with(".") && word != ".param" && bytes == 0) bytes = type_bytes(word);
      if (bytes == 0 || blank == std::string::npos) fail_unsupported(header.line, "a parameter of this kind: \"", declaration, "\"");
      const bool pointer_alignment = declaration.find(".ptr") != std::string::npos;
      const uint32_t align = align_at == std::string::npos || pointer_alignment ? bytes : static_cast<uint32_t>(std::atoi(declaration.c_str() + align_at + 7));
      const size_t elements = bracket == std::string::npos ? 1 : std::strtoull(declaration.c_str() + bracket + 1, nullptr, 10);
      const uint32_t offset = (kernel.parameter_bytes + align - 1) / align * align;
      kernel.parameters.push_back({offset, static_cast<uint32_t>(bytes * elements)});
      kernel.parameter_bytes = offset + kernel.parameters.back().bytes;
      names.declare_parameter(declaration.substr(blank + 1, bracket == std::string::npos ? bracket : bracket - blank - 1), offset);
    }
  }

  void body(Kernel& kernel, KernelNames& names) {
    Decoder decoder(kernel, names);
    int depth = 1;
    while (depth > 0) {
      const Statement statement = reader_.next();
      switch (statement.kind) {
        case Statement::Kind::end: fail_format(statement.line, "the text ends within kernel ", kernel.name);
        case Statement::Kind::open_brace:
          names.open_scope();
          ++depth;
          break;
        case Statement::Kind::close_brace:
          if (--depth > 0) names.close_scope(statement.line);
          break;
        case Statement::Kind::label: names.define_label(statement.text, static_cast<int64_t>(kernel.code.size()), statement.line); break;
        case Statement::Kind::instruction: decoder.decode(statement); break;
        case Statement::Kind::directive: body_directive(statement, kernel, names, decoder); break;
      }
    }
    // Falling off the end of a kernel ends the thread.
    Instruction end;
    end.action = Action::exit;
    end.location = kernel.code.empty() ? 0 : kernel.code.back().location;
    kernel.code.push_back(end);
  }

  static void body_directive(const Statement& statement, Kernel& kernel, KernelNames& names, Decoder& decoder) {
    const std::string_view text = statement.text;
    if (text.starts_with(".reg")) return names.declare_registers(text, statement.line);
    if (text.starts_with(".shared")) return names.declare_shared(text, statement.line);
    if (text.starts_with(".local"))
      fail_unsupported(statement.line, "local memory (a register spill, or an array indexed at run time) is not supported: \"", text, "\" in ", kernel.name);
    if (text.starts_with(".loc")) {
      // .loc file line column[, function_name ..., inlined_at ...]
      const std::vector<std::string> words = split(text, ' ');
      if (words.size() < 3) fail_format(statement.line, "cannot read \"", text, "\"");
      const SourceLocation location{words[1], static_cast<uint32_t>(std::atoi(words[2].c_str()))};
      const SourceLocation& last = kernel.locations.back();
      if (last.file != location.file || last.line != location.line) kernel.locations.push_back(location);
      return decoder.set_location(static_cast<uint32_t>(kernel.locations.size() - 1));
    }
    if (text.starts_with(".pragma")) return;
    fail_unsupported(statement.line, "a directive that the interpreter does not have: \"", text, "\"");
  }

  StatementReader reader_;
  ModuleNames names_;
  std::vector<std::unique_ptr<Kernel>> kernels_;
  std::unordered_map<std::string, std::string> files_;
};

}  // namespace

Program Program::parse(std::string_view ptx) {
  Program program;
  program.storage_ = std::make_shared<ModuleStorage>();
  program.kernels_ = ModuleParser(ptx, program.storage_).parse();
  return program;
}

const Kernel* Program::find(std::string_view mangled_name) const {
  for (const auto& kernel : kernels_)
    if (kernel->name == mangled_name) return kernel.get();
  return nullptr;
}

const Variable* Program::find_variable(std::string_view name) const {
  const auto found = storage_->variables.find(std::string(name));
  return found == storage_->variables.end() ? nullptr : &found->second;
}

}  // namespace sightline::emulator
