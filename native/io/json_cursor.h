#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sightline {

/**
 * Steps through JSON text whose shape the caller knows. It has no recursion and copies nothing but strings,
 * so its cost is bounded by the length of the text, whatever the text holds.
 */
class JsonCursor {
 public:
  /**
   * @param text    valid UTF-8
   * @param source  what the text is, for messages
   */
  JsonCursor(std::string_view text, std::string source) : text_(text), source_(std::move(source)) {}

  /** Consumes `symbol` after white space if it is next. */
  bool take(char symbol);
  /** Consumes `symbol` after white space. @throws format if something else is next */
  void expect(char symbol);
  /** After an element of a list that `close` ends: true to go on, false at its end. @throws format */
  bool another(char close);
  /** A string with its escapes resolved. @throws format */
  std::string string();
  /** An integer in [0, 2^63). @throws format for a sign, a fraction, a leading zero, or a larger integer */
  uint64_t unsigned_integer();
  /** @throws format unless only white space is left */
  void expect_end();

  /** @throws format, naming the source, the position, `expected`, and what is there */
  [[noreturn]] void fail_expected(std::string_view expected) const;

 private:
  void skip_white_space();
  uint32_t hex4();
  void append_escape(std::string& out);

  std::string_view text_;
  std::string source_;
  size_t at_ = 0;
};

}  // namespace sightline
