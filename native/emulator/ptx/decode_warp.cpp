#include "emulator/ptx/decoder.h"

namespace sightline::emulator {

void Decoder::barrier(const InstructionText& text) {
  // bar.sync a[, b]; bar.arrive a, b; barrier[.cta].sync[.aligned] a[, b]; bar.warp.sync mask
  if (text.has("warp")) {
    expect_operands(text, 1);
    Instruction sync = guarded(Action::warp_sync);
    sync.source[0] = names_.source(text.operands[0], Width::word, text.line);
    return append(sync);
  }
  for (size_t k = 1; k < text.parts.size(); ++k)
    if (text.parts[k] != "sync" && text.parts[k] != "arrive" && text.parts[k] != "cta" && text.parts[k] != "aligned")
      refuse(text);
  const bool arrive = text.has("arrive");
  if (!arrive && !text.has("sync")) refuse(text);
  if (text.operands.empty() || text.operands.size() > 2 || (arrive && text.operands.size() != 2))
    fail_format(text.line, "a barrier and, for arrive, a number of threads: \"", text.whole, "\"");
  Instruction barrier = guarded(arrive ? Action::barrier_arrive : Action::barrier_sync);
  barrier.source[0] = names_.source(text.operands[0], Width::word, text.line);
  barrier.flag = text.operands.size() == 2;
  if (barrier.flag) barrier.source[1] = names_.source(text.operands[1], Width::word, text.line);
  append(barrier);
}

void Decoder::shuffle(const InstructionText& text) {
  // shfl.sync.up|down|bfly|idx.b32 d[|p], a, b, c, mask
  expect_operands(text, 5);
  if (!text.has("sync") || text.parts.back() != "b32") refuse(text);
  Instruction shuffle = guarded(Action::shuffle);
  if (text.has("up")) shuffle.shuffle = Shuffle::up;
  else if (text.has("down")) shuffle.shuffle = Shuffle::down;
  else if (text.has("bfly")) shuffle.shuffle = Shuffle::butterfly;
  else if (text.has("idx")) shuffle.shuffle = Shuffle::index;
  else refuse(text);
  const std::vector<std::string> results = split(text.operands[0], '|');
  shuffle.destination[0] = names_.destination(std::string(trimmed(results[0])), Width::word, text.line);
  shuffle.destination[1] =
      results.size() > 1 ? names_.destination(std::string(trimmed(results[1])), Width::predicate, text.line) : Instruction::none;
  for (size_t k = 0; k < 4; ++k) shuffle.source[k] = names_.source(text.operands[k + 1], Width::word, text.line);
  append(shuffle);
}

void Decoder::vote(const InstructionText& text) {
  // vote.sync.all|any|uni.pred d, [!]a, mask; vote.sync.ballot.b32 d, [!]a, mask
  expect_operands(text, 3);
  if (!text.has("sync")) refuse(text);
  const Slot source = predicate_source(text.operands[1], text.line);
  Instruction vote = guarded(Action::vote);
  if (text.has("all")) vote.vote = Vote::all;
  else if (text.has("any")) vote.vote = Vote::any;
  else if (text.has("uni")) vote.vote = Vote::uniform;
  else if (text.has("ballot")) vote.vote = Vote::ballot;
  else refuse(text);
  vote.destination[0] =
      names_.destination(text.operands[0], vote.vote == Vote::ballot ? Width::word : Width::predicate, text.line);
  vote.source[0] = source;
  vote.source[1] = names_.source(text.operands[2], Width::word, text.line);
  append(vote);
}

void Decoder::active_mask(const InstructionText& text) {
  expect_operands(text, 1);
  Instruction mask = guarded(Action::active_mask);
  mask.destination[0] = names_.destination(text.operands[0], Width::word, text.line);
  append(mask);
}

void Decoder::reduce(const InstructionText& text) {
  // redux.sync.add|min|max|and|or|xor.type d, a, mask
  expect_operands(text, 3);
  Instruction reduce = guarded(Action::reduce);
  const std::string& type = text.parts.back();
  if (!text.has("sync") || text.parts.size() != 4 || type_bytes(type) != 4 || type[0] == 'f') refuse(text);
  static const std::pair<const char*, Atomic> operations[] = {{"add", Atomic::add},   {"min", Atomic::min},
                                                              {"max", Atomic::max},   {"and", Atomic::bit_and},
                                                              {"or", Atomic::bit_or}, {"xor", Atomic::bit_xor}};
  bool known = false;
  for (const auto& [name, operation] : operations) {
    if (text.parts[2] != name) continue;
    reduce.atomic = operation;
    known = true;
  }
  if (!known) refuse(text);
  reduce.is_signed = type[0] == 's';
  reduce.destination[0] = names_.destination(text.operands[0], Width::word, text.line);
  reduce.source[0] = names_.source(text.operands[1], Width::word, text.line);
  reduce.source[1] = names_.source(text.operands[2], Width::word, text.line);
  append(reduce);
}

}  // namespace sightline::emulator
