#include "io/json_cursor.h"

#include "core/error.h"

namespace sightline {
namespace {

bool is_digit(char symbol) { return symbol >= '0' && symbol <= '9'; }

void append_utf8(std::string& out, uint32_t code_point) {
  const auto push = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    push(code_point);
  } else if (code_point < 0x800) {
    push(0xC0 | code_point >> 6);
    push(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    push(0xE0 | code_point >> 12);
    push(0x80 | (code_point >> 6 & 0x3F));
    push(0x80 | (code_point & 0x3F));
  } else {
    push(0xF0 | code_point >> 18);
    push(0x80 | (code_point >> 12 & 0x3F));
    push(0x80 | (code_point >> 6 & 0x3F));
    push(0x80 | (code_point & 0x3F));
  }
}

}  // namespace

void JsonCursor::fail_expected(std::string_view expected) const {
  if (at_ >= text_.size())
    fail(ErrorCode::format, source_, ", byte ", at_, ": expected ", expected, ", received the end");
  const unsigned byte = static_cast<unsigned char>(text_[at_]);
  const bool printable = byte >= 0x20 && byte < 0x7F;
  const std::string received = printable ? concat("'", text_[at_], "'") : concat("byte value ", byte);
  fail(ErrorCode::format, source_, ", byte ", at_, ": expected ", expected, ", received ", received);
}

void JsonCursor::skip_white_space() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
    ++at_;
}

bool JsonCursor::take(char symbol) {
  skip_white_space();
  if (at_ >= text_.size() || text_[at_] != symbol) return false;
  ++at_;
  return true;
}

void JsonCursor::expect(char symbol) {
  if (!take(symbol)) fail_expected(concat("'", symbol, "'"));
}

bool JsonCursor::another(char close) {
  if (take(',')) return true;
  if (take(close)) return false;
  fail_expected(concat("',' or '", close, "'"));
}

std::string JsonCursor::string() {
  skip_white_space();
  if (at_ >= text_.size() || text_[at_] != '"') fail_expected("a string");
  ++at_;
  std::string out;
  for (;;) {
    if (at_ >= text_.size()) fail_expected("the end of a string");
    const char symbol = text_[at_];
    if (symbol == '"') {
      ++at_;
      return out;
    }
    if (static_cast<unsigned char>(symbol) < 0x20) fail_expected("no control character in a string");
    if (symbol == '\\') {
      append_escape(out);
    } else {
      out.push_back(symbol);
      ++at_;
    }
  }
}

void JsonCursor::append_escape(std::string& out) {
  static constexpr std::string_view symbols = "\"\\/bfnrt";
  static constexpr std::string_view meanings = "\"\\/\b\f\n\r\t";
  ++at_;
  if (at_ < text_.size() && text_[at_] == 'u') {
    ++at_;
    uint32_t code_point = hex4();
    const bool high_surrogate = code_point >= 0xD800 && code_point < 0xDC00;
    if (high_surrogate && text_.substr(at_, 2) == "\\u") {
      at_ += 2;
      const uint32_t low = hex4();
      if (low < 0xDC00 || low > 0xDFFF) fail_expected("a low surrogate before this");
      code_point = 0x10000 + ((code_point - 0xD800) << 10) + (low - 0xDC00);
    } else if (code_point >= 0xD800 && code_point <= 0xDFFF) {
      fail_expected("no lone surrogate before this");
    }
    append_utf8(out, code_point);
    return;
  }
  const size_t index = at_ < text_.size() ? symbols.find(text_[at_]) : std::string_view::npos;
  if (index == std::string_view::npos) fail_expected("one of \" \\ / b f n r t u after '\\'");
  out.push_back(meanings[index]);
  ++at_;
}

uint32_t JsonCursor::hex4() {
  static constexpr std::string_view digits = "0123456789abcdef";
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    const char symbol = at_ < text_.size() ? text_[at_] : '\0';
    const char lower = symbol >= 'A' && symbol <= 'F' ? static_cast<char>(symbol - 'A' + 'a') : symbol;
    const size_t digit = digits.find(lower);
    if (digit == std::string_view::npos) fail_expected("a hexadecimal digit");
    value = value << 4 | static_cast<uint32_t>(digit);
    ++at_;
  }
  return value;
}

uint64_t JsonCursor::unsigned_integer() {
  static constexpr uint64_t limit = uint64_t{1} << 63;
  skip_white_space();
  if (at_ >= text_.size() || !is_digit(text_[at_])) fail_expected("a non-negative integer");
  if (text_[at_] == '0' && at_ + 1 < text_.size() && is_digit(text_[at_ + 1])) {
    fail_expected("an integer without leading zeros");
  }
  uint64_t value = 0;
  for (; at_ < text_.size() && is_digit(text_[at_]); ++at_) {
    const uint64_t digit = static_cast<uint64_t>(text_[at_] - '0');
    if (value > (limit - 1 - digit) / 10) fail_expected("an integer below 2^63, which this digit exceeds");
    value = value * 10 + digit;
  }
  return value;
}

void JsonCursor::expect_end() {
  skip_white_space();
  if (at_ < text_.size()) fail_expected("the end of the text");
}

}  // namespace sightline
