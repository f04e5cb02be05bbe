#include "engine/decode_step.h"

#include <algorithm>
#include <cstring>

#include "engine/paged_attention.h"

namespace sightline {
namespace {

/** Of everything that `DecodeStep::run` puts, for the largest step. */
size_t input_bytes(int64_t rows, int64_t pages, int64_t axes) {
  return 2 * InputBlock::bytes_of<float>(rows) + 6 * InputBlock::bytes_of<int32_t>(rows) + InputBlock::bytes_of<int32_t>(axes * rows) +
         InputBlock::bytes_of<uint32_t>(2 * rows) +
         InputBlock::bytes_of<void*>(rows) + InputBlock::bytes_of<void*>(rows * pages);
}

int64_t pages_of(int64_t positions) { return (positions + attention_block - 1) / attention_block; }

}  // namespace

struct DecodeStep::DrawInputs {
  MirroredArray<float> temperatures, top_p;
  Indices top_k, indices;
  MirroredArray<uint32_t> keys;
};

DecodeStep::DecodeStep(Device& device, Vlm& vlm, int64_t most_rows)
    : device_(device),
      vlm_(vlm),
      recorder_(device.make_step_recorder()),
      inputs_(device, input_bytes(recorder_->padded(most_rows), recorder_->padded(pages_of(vlm.spec().decoder.max_positions)),
                          vlm.spec().decoder.position_axes())),
      drawn_(device.arena().allocate(static_cast<size_t>(recorder_->padded(most_rows)) * (sizeof(int32_t) + sizeof(float)),
                                     Purpose::workspace)) {}

DrawnTokens DecodeStep::run(const std::vector<DecodeRow>& rows) {
  size_t most_pages = 1;
  for (const DecodeRow& row : rows) most_pages = std::max(most_pages, row.pages->size());
  const StepSize size = recorder_->next({static_cast<int64_t>(rows.size()), static_cast<int64_t>(most_pages)});
  const auto count = static_cast<size_t>(size.rows);
  // What a row that pads has: the token 0 at position 0, no page and no key, drawn greedily.
  const auto axes = static_cast<size_t>(vlm_.spec().decoder.position_axes());
  std::vector<int32_t> ids(count, 0), positions(count * axes, 0), indices(count, 0), lengths(count, 0), slots(count, 0);
  std::vector<void*> last_pages(count, nullptr);
  std::vector<const void*> page_table(count * static_cast<size_t>(size.pages), nullptr);
  std::vector<DrawSettings> draws(count, DrawSettings{.sampling = {.temperature = 0.0f}});
  for (size_t i = 0; i < rows.size(); ++i) {
    const DecodeRow& row = rows[i];
    ids[i] = row.token;
    std::fill_n(&positions[i * axes], axes, row.position);
    indices[i] = row.index;
    lengths[i] = row.index + 1;
    slots[i] = row.index % static_cast<int32_t>(attention_block);
    last_pages[i] = row.pages->back()->data();
    for (size_t page = 0; page < row.pages->size(); ++page)
      page_table[i * static_cast<size_t>(size.pages) + page] = (*row.pages)[page]->data();
    draws[i] = row.draw;
  }

  inputs_.clear();
  const Indices tokens = inputs_.put(std::move(ids)), places = inputs_.put(std::move(positions));
  const Indices in_sequence = inputs_.put(std::move(indices));
  PagedAttention attention(inputs_.put(std::move(last_pages)), inputs_.put(std::move(slots)), inputs_.put(std::move(page_table)),
                           inputs_.put(std::move(lengths)));
  const DrawInputs draw_inputs = put(draws);
  // What adapters drop of a row, and which token it draws, follow from one key; the counters keep the two apart.
  const RowKeys row_keys = vlm_.parameters().drops() ? RowKeys{draw_inputs.keys, in_sequence} : RowKeys();
  inputs_.upload();
  vlm_.decoder().prepare(device_);
  recorder_->run(size, [&] {
    Tape tape(device_, Tape::Mode::inference);
    Decoder& decoder = vlm_.decoder();
    const Var hidden = decoder.forward(tape, decoder.embed(tape, tokens, nullptr), places, attention, {}, row_keys);
    sample(tape, hidden->value, draw_inputs);
  });
  return fetch(size.rows, rows.size());
}

DrawnTokens DecodeStep::draw(const Tensor& hidden, const std::vector<DrawSettings>& settings) {
  inputs_.clear();
  const DrawInputs inputs = put(settings);
  inputs_.upload();
  Tape tape(device_, Tape::Mode::inference);
  sample(tape, hidden, inputs);
  return fetch(hidden.rows(), settings.size());
}

DecodeStep::DrawInputs DecodeStep::put(const std::vector<DrawSettings>& settings) {
  std::vector<float> temperatures, top_p;
  std::vector<int32_t> top_k, indices;
  std::vector<uint32_t> keys;
  for (const DrawSettings& draw : settings) {
    temperatures.push_back(draw.sampling.temperature);
    top_k.push_back(draw.sampling.top_k);
    top_p.push_back(draw.sampling.top_p);
    keys.insert(keys.end(), draw.random_key.begin(), draw.random_key.end());
    indices.push_back(draw.index);
  }
  return {inputs_.put(std::move(temperatures)), inputs_.put(std::move(top_p)), inputs_.put(std::move(top_k)),
          inputs_.put(std::move(indices)), inputs_.put(std::move(keys))};
}

void DecodeStep::sample(Tape& tape, const Tensor& hidden, const DrawInputs& inputs) {
  const ProfileScope scope(device_, "sample");
  const Tensor logits = vlm_.decoder().logits(tape, hidden);
  auto* tokens = static_cast<int32_t*>(drawn_->data());
  auto* log_probs = reinterpret_cast<float*>(tokens + hidden.rows());
  tape.ops().sample(tape.context(), {logits.data(), inputs.temperatures, inputs.top_k, inputs.top_p, inputs.keys, inputs.indices,
                                     tokens, log_probs, hidden.rows(), logits.columns()});
}

DrawnTokens DecodeStep::fetch(int64_t rows, size_t count) {
  std::vector<std::byte> bytes(static_cast<size_t>(rows) * (sizeof(int32_t) + sizeof(float)));
  device_.download(bytes.data(), drawn_->data(), bytes.size());
  DrawnTokens drawn{std::vector<int32_t>(count), std::vector<float>(count)};
  std::memcpy(drawn.tokens.data(), bytes.data(), count * sizeof(int32_t));
  std::memcpy(drawn.log_probs.data(), bytes.data() + static_cast<size_t>(rows) * sizeof(int32_t), count * sizeof(float));
  return drawn;
}

}  // namespace sightline
