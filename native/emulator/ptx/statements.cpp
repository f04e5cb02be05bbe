#include "emulator/ptx/statements.h"

#include "core/error.h"

namespace sightline::emulator {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

bool starts_with_word(std::string_view text, std::string_view word) {
  return text.starts_with(word) && (text.size() == word.size() || is_blank(text[word.size()]));
}

/** Directives that end with their line. */
bool ends_with_line(std::string_view text) {
  for (const std::string_view word : {".version", ".target", ".address_size", ".file", ".loc", ".maxntid", ".reqntid", ".minnctapersm",
                                      ".maxnreg", ".noreturn"})
    if (starts_with_word(text, word)) return true;
  return false;
}

}  // namespace

void StatementReader::skip_blank() {
  while (position_ < text_.size()) {
    const std::string_view rest = text_.substr(position_);
    if (is_blank(rest[0])) {
      line_ += rest[0] == '\n';
      ++position_;
    } else if (rest.starts_with("//")) {
      position_ += std::min(rest.find('\n'), rest.size());
    } else if (rest.starts_with("/*")) {
      const size_t length = rest.find("*/");
      if (length == std::string_view::npos) fail(ErrorCode::format, "PTX line ", line_, ": a comment without end");
      for (const char c : rest.substr(0, length)) line_ += c == '\n';
      position_ += length + 2;
    } else {
      return;
    }
  }
}

char StatementReader::read_until(std::string_view terminators, Statement& statement) {
  int depth = 0;
  bool quoted = false;
  while (position_ < text_.size()) {
    const size_t before = position_;
    if (!quoted) skip_blank();
    if (position_ >= text_.size()) break;
    if (position_ != before && !statement.text.empty() && statement.text.back() != ' ') {
      statement.text += ' ';
      if (terminators.find('\n') != std::string_view::npos && text_.substr(before, position_ - before).find('\n') != std::string_view::npos)
        return '\n';
    }
    const char c = text_[position_];
    // "shared::cta" is one word, no label.
    if (text_.substr(position_, 2) == "::") {
      statement.text += "::";
      position_ += 2;
      continue;
    }
    if (!quoted && depth == 0 && terminators.find(c) != std::string_view::npos) {
      ++position_;
      return c;
    }
    quoted ^= c == '"';
    depth += c == '{' || c == '[' || c == '(';
    depth -= c == '}' || c == ']' || c == ')';
    statement.text += c;
    ++position_;
  }
  if (terminators.find('\n') != std::string_view::npos) return '\n';
  fail(ErrorCode::format, "PTX line ", statement.line, ": the text ends within \"", statement.text, "\"");
}

void StatementReader::skip_section(uint32_t line) {
  const size_t end = text_.find('}', position_);
  if (end == std::string_view::npos) fail(ErrorCode::format, "PTX line ", line, ": .section without end");
  for (; position_ <= end; ++position_) line_ += text_[position_] == '\n';
}

Statement StatementReader::next() {
  skip_blank();
  Statement statement;
  statement.line = line_;
  if (position_ >= text_.size()) return statement;
  const std::string_view rest = text_.substr(position_);
  if (rest[0] == '{' || rest[0] == '}') {
    statement.kind = rest[0] == '{' ? Statement::Kind::open_brace : Statement::Kind::close_brace;
    ++position_;
    return statement;
  }
  if (rest[0] == '.') {
    statement.kind = Statement::Kind::directive;
    if (rest.starts_with(".section")) {
      skip_section(line_);
      return next();
    }
    if (ends_with_line(rest)) {
      read_until("\n", statement);
    } else if (const std::string_view head = rest.substr(0, rest.find_first_of("(;{=[")); head.find(".entry") != std::string_view::npos) {
      // The header of a kernel ends at its parameter list; performance directives and the body follow.
      const size_t close = rest.find_first_of("){");
      if (close == std::string_view::npos || rest[close] == '{') {
        fail(ErrorCode::format, "PTX line ", line_, ": .entry without a parameter list");
      }
      for (; text_[position_] != ')'; ++position_) {
        line_ += text_[position_] == '\n';
        statement.text += is_blank(text_[position_]) ? ' ' : text_[position_];
      }
      statement.text += text_[position_++];
    } else {
      read_until(";", statement);
    }
    statement.text = std::string(trimmed(statement.text));
    return statement;
  }
  const bool labelled = read_until(";:", statement) == ':';
  statement.kind = labelled ? Statement::Kind::label : Statement::Kind::instruction;
  statement.text = std::string(trimmed(statement.text));
  return statement;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::vector<std::string> split_operands(std::string_view text) {
  std::vector<std::string> parts;
  if (trimmed(text).empty()) return parts;
  int depth = 0;
  size_t begin = 0;
  for (size_t k = 0; k <= text.size(); ++k) {
    if (k < text.size()) {
      depth += text[k] == '{' || text[k] == '[' || text[k] == '(';
      depth -= text[k] == '}' || text[k] == ']' || text[k] == ')';
    }
    if (k < text.size() && (text[k] != ',' || depth != 0)) continue;
    parts.emplace_back(trimmed(text.substr(begin, k - begin)));
    begin = k + 1;
  }
  return parts;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

}  // namespace sightline::emulator
