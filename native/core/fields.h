#pragma once

// SIGHTLINE_FIELDS(a, b, c) gives a struct a `visit(visitor)` that calls visitor("a", a), visitor("b", b), ... Tests
// bind every op through it, so that an op's arguments are written once.
#define SIGHTLINE_FIELDS(...)           \
  template <class Visitor>              \
  void visit(Visitor&& visitor) {       \
    SIGHTLINE_FIELDS_EXPAND(SIGHTLINE_FIELDS_STEP(__VA_ARGS__)) \
  }
#define SIGHTLINE_FIELDS_PARENS ()
#define SIGHTLINE_FIELDS_EXPAND(...) SIGHTLINE_FIELDS_EXPAND_2(SIGHTLINE_FIELDS_EXPAND_2(SIGHTLINE_FIELDS_EXPAND_2(__VA_ARGS__)))
#define SIGHTLINE_FIELDS_EXPAND_2(...) SIGHTLINE_FIELDS_EXPAND_1(SIGHTLINE_FIELDS_EXPAND_1(SIGHTLINE_FIELDS_EXPAND_1(__VA_ARGS__)))
#define SIGHTLINE_FIELDS_EXPAND_1(...) SIGHTLINE_FIELDS_EXPAND_0(SIGHTLINE_FIELDS_EXPAND_0(SIGHTLINE_FIELDS_EXPAND_0(__VA_ARGS__)))
#define SIGHTLINE_FIELDS_EXPAND_0(...) __VA_ARGS__
#define SIGHTLINE_FIELDS_STEP(field, ...) \
  visitor(#field, field);                 \
  __VA_OPT__(SIGHTLINE_FIELDS_AGAIN SIGHTLINE_FIELDS_PARENS(__VA_ARGS__))
#define SIGHTLINE_FIELDS_AGAIN() SIGHTLINE_FIELDS_STEP
