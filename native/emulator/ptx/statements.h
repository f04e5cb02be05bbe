#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sightline::emulator {

/** One statement of PTX text: comments dropped, runs of white space made single spaces. */
struct Statement {
  enum class Kind {
    /** Begins with a dot; without its semicolon. */
    directive,
    /** With its guard, without its semicolon. */
    instruction,
    /** Without its colon. */
    label,
    open_brace,
    close_brace,
    end,
  };
  Kind kind = Kind::end;
  std::string text;
  /** Line of its first character, from 1. */
  uint32_t line = 0;
};

/** Cuts PTX text into statements. */
class StatementReader {
 public:
  explicit StatementReader(std::string_view text) : text_(text) {}

  /** The next statement; Kind::end for ever after the last. @throws Error(format) at text that ends within one */
  Statement next();

 private:
  void skip_blank();
  /** Appends to `statement` up to one of `terminators` outside of braces and brackets, which is returned and consumed. */
  char read_until(std::string_view terminators, Statement& statement);
  void skip_section(uint32_t line);

  std::string_view text_;
  size_t position_ = 0;
  uint32_t line_ = 1;
};

/** Without white space at its ends. */
std::string_view trimmed(std::string_view text);

/** The parts between commas that are outside of brackets, braces and parentheses, trimmed; none for blank text. */
std::vector<std::string> split_operands(std::string_view text);

/** The parts between `separator`s, empty ones kept. */
std::vector<std::string> split(std::string_view text, char separator);

}  // namespace sightline::emulator
