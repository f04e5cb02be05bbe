#include "addon/engine_arguments.h"

namespace sightline {
namespace {

Component to_component(const Argument& component) {
  return component.one_of<Component>({{"vision", Component::vision},
                                      {"projector", Component::projector},
                                      {"decoder", Component::decoder},
                                      {"value_head", Component::value_head}});
}

Trainable to_trainable(const Argument& trainable) {
  return trainable.one_of<Trainable>(
      {{"all", Trainable::all}, {"lora", Trainable::lora}, {"frozen", Trainable::frozen}});
}

Activation to_activation(const Argument& activation) {
  return activation.one_of<Activation>(
      {{"gelu", Activation::gelu}, {"gelu_tanh", Activation::gelu_tanh}, {"quick_gelu", Activation::quick_gelu}});
}

FixedResolutionSpec to_fixed_resolution_spec(const Argument& spec) {
  return {.image_size = spec.field("imageSize").size(),
          .channels = spec.field("channels").size(),
          .patch_size = spec.field("patchSize").size(),
          .patch_bias = spec.field("patchBias").boolean(),
          .class_token = spec.field("classToken").boolean(),
          .input_norm = spec.field("inputNorm").boolean(),
          .output_norm = spec.field("outputNorm").boolean(),
          .width = spec.field("width").size(),
          .layers = spec.field("layers").size(),
          .heads = spec.field("heads").size(),
          .mlp_width = spec.field("mlpWidth").size(),
          .activation = to_activation(spec.field("activation")),
          .norm_epsilon = spec.field("normEpsilon").number()};
}

NativeResolutionSpec to_native_resolution_spec(const Argument& spec) {
  NativeResolutionSpec native{.channels = spec.field("channels").size(),
                              .patch_size = spec.field("patchSize").size(),
                              .temporal_patch_size = spec.field("temporalPatchSize").size(),
                              .width = spec.field("width").size(),
                              .layers = spec.field("layers").size(),
                              .heads = spec.field("heads").size(),
                              .mlp_width = spec.field("mlpWidth").size(),
                              .norm_epsilon = spec.field("normEpsilon").number(),
                              .window_size = spec.field("windowSize").size(),
                              .full_attention_layers = {}};
  for (const Argument& layer : spec.field("fullAttentionLayers").elements())
    native.full_attention_layers.push_back(layer.size());
  return native;
}

VisionSpec to_vision_spec(const Argument& spec) {
  enum class Kind { fixed, native };
  const Kind kind = spec.field("kind").one_of<Kind>({{"fixed_resolution", Kind::fixed}, {"native_resolution", Kind::native}});
  if (kind == Kind::fixed) return to_fixed_resolution_spec(spec);
  return to_native_resolution_spec(spec);
}

ProjectorSpec to_projector_spec(const Argument& spec) {
  ProjectorSpec projector{.merge_size = spec.field("mergeSize").size(),
                          .norm_epsilon = std::nullopt,
                          .hidden_width = std::nullopt,
                          .activation = to_activation(spec.field("activation")),
                          .bias = spec.field("bias").boolean(),
                          .newline = spec.field("newline").boolean()};
  if (const Argument epsilon = spec.field("normEpsilon"); !epsilon.null()) projector.norm_epsilon = epsilon.number();
  if (const Argument width = spec.field("hiddenWidth"); !width.null()) projector.hidden_width = width.size();
  return projector;
}

std::optional<std::array<int64_t, 3>> to_rope_sections(const Argument& sections) {
  if (sections.null()) return std::nullopt;
  const std::vector<Argument> counts = sections.elements();
  require(counts.size() == 3, sections.path(), ": expected three counts, received ", counts.size());
  return {{counts[0].size(), counts[1].size(), counts[2].size()}};
}

DecoderSpec to_decoder_spec(const Argument& spec) {
  return {.vocabulary_size = spec.field("vocabularySize").size(),
          .width = spec.field("width").size(),
          .layers = spec.field("layers").size(),
          .heads = spec.field("heads").size(),
          .kv_heads = spec.field("keyValueHeads").size(),
          .head_size = spec.field("headSize").size(),
          .mlp_width = spec.field("mlpWidth").size(),
          .qkv_bias = spec.field("qkvBias").boolean(),
          .tied_head = spec.field("tiedHead").boolean(),
          .norm_epsilon = spec.field("normEpsilon").number(),
          .rope_theta = spec.field("ropeTheta").number(),
          .rope_sections = to_rope_sections(spec.field("ropeSections")),
          .embedding_scale = spec.field("embeddingScale").number(),
          .max_positions = spec.field("maxPositions").size()};
}

ValueHeadSpec to_value_head_spec(const Argument& spec) {
  ValueHeadSpec value_head{.hidden_widths = {},
                           .trunk_gradient_scale = spec.field("trunkGradientScale").number()};
  for (const Argument& width : spec.field("hiddenWidths").elements()) {
    value_head.hidden_widths.push_back(width.size());
  }
  return value_head;
}

ModelSpec to_model_spec(const Argument& spec) {
  const Argument vision = spec.field("vision"), projector = spec.field("projector"), image_token = spec.field("imageTokenId");
  ModelSpec model{};
  if (!vision.null()) model.vision = to_vision_spec(vision);
  if (!projector.null()) model.projector = to_projector_spec(projector);
  model.decoder = to_decoder_spec(spec.field("decoder"));
  model.value_head = to_value_head_spec(spec.field("valueHead"));
  if (!image_token.null()) model.image_token_id = static_cast<int32_t>(image_token.size());
  model.end_token_id = static_cast<int32_t>(spec.field("endTokenId").size());
  return model;
}

Image to_image(const Argument& argument) {
  auto image = std::make_shared<ImageInput>();
  image->pixels = argument.field("pixels").float32_array();
  if (const Argument grid = argument.field("grid"); grid.present())
    image->grid = {.rows = grid.field("rows").size(), .columns = grid.field("columns").size()};
  if (const Argument tokens = argument.field("tokens"); tokens.present()) image->tokens = tokens.int32_array();
  return image;
}

Prompt to_prompt(const Argument& prompt) {
  Prompt result{.tokens = prompt.field("tokens").int32_array(), .images = {}};
  for (const Argument& image : prompt.field("images").elements()) result.images.push_back(to_image(image));
  return result;
}

SamplingSettings to_sampling_settings(const Argument& sampling) {
  SamplingSettings settings{.temperature = sampling.field("temperature").number()};
  if (const Argument top_k = sampling.field("topK"); top_k.present()) {
    settings.top_k = static_cast<int32_t>(top_k.size());
  }
  if (const Argument top_p = sampling.field("topP"); top_p.present()) settings.top_p = top_p.number();
  return settings;
}

RandomKey to_random_key(const Argument& key) {
  const std::vector<Argument> words = key.elements();
  require(words.size() == 2, key.path(), ": expected two unsigned 32-bit integers, received ", words.size());
  return {static_cast<uint32_t>(words[0].integer(0, UINT32_MAX)),
          static_cast<uint32_t>(words[1].integer(0, UINT32_MAX))};
}

ParameterGroup to_parameter_group(const Argument& group) {
  ParameterGroup result{.components = {},
                        .learning_rate = group.field("learningRate").number(),
                        .max_gradient_norm = std::nullopt,
                        .weight_decay = 0.0f};
  for (const Argument& component : group.field("components").elements()) {
    result.components.push_back(to_component(component));
  }
  if (const Argument norm = group.field("maxGradientNorm"); norm.present()) {
    result.max_gradient_norm = norm.number();
  }
  if (const Argument decay = group.field("weightDecay"); decay.present())
    result.weight_decay = decay.number();
  return result;
}

}  // namespace

EngineOptions to_engine_options(const Argument& options) {
  EngineOptions result;
  result.model = to_model_spec(options.field("model"));
  if (const Argument device = options.field("device"); device.present()) result.device = DeviceChoice::parse(device.string());
  result.threads = static_cast<int>(options.field("threads").size());
  if (const Argument cpu = options.field("cpu"); cpu.present()) result.cpu = cpu.string();
  if (const Argument precision = options.field("precision"); precision.present()) {
    result.precision = precision.one_of<Precision>({{"fp32", Precision::fp32}, {"bf16", Precision::bf16}});
  }
  if (const Argument seed = options.field("seed"); seed.present()) {
    result.parameters.seed = static_cast<uint32_t>(seed.integer(0, UINT32_MAX));
  }
  if (const Argument trainable = options.field("trainable"); trainable.present()) {
    for (const auto& [component, choice] : trainable.entries()) {
      if (!choice.present()) continue;
      result.parameters.trainable[static_cast<int>(to_component(component))] = to_trainable(choice);
    }
  }
  if (const Argument lora = options.field("lora"); lora.present()) {
    result.parameters.lora = LoraSpec{.rank = lora.field("rank").size(), .alpha = lora.field("alpha").number()};
    if (const Argument dropout = lora.field("dropout"); dropout.present()) result.parameters.lora->dropout = dropout.number();
    if (const Argument modules = lora.field("modules"); modules.present()) {
      result.parameters.lora->modules.emplace();
      for (const Argument& module : modules.elements()) result.parameters.lora->modules->push_back(module.string());
    }
  }
  if (const Argument batch = options.field("maxBatch"); batch.present()) result.max_batch = batch.size();
  if (const Argument limit = options.field("memoryLimitBytes"); limit.present()) {
    result.memory_limit_bytes = static_cast<size_t>(limit.integer(1, largest_exact_integer));
  }
  if (const Argument checkpointing = options.field("activationCheckpointing"); checkpointing.present()) {
    result.activation_checkpointing = checkpointing.boolean();
  }
  if (const Argument dry_run = options.field("dryRun"); dry_run.present()) result.dry_run = dry_run.boolean();
  if (const Argument tokens = options.field("tokenBytes"); tokens.present()) {
    for (const Argument& token : tokens.elements()) result.token_bytes.push_back(token.byte_array());
  }
  return result;
}

GenerateRequest to_generate_request(const Argument& request) {
  GenerateRequest result{.prompt = to_prompt(request.field("prompt")),
                         .sampling = to_sampling_settings(request.field("sampling")),
                         .random_key = to_random_key(request.field("randomKey")),
                         .max_new_tokens = static_cast<int32_t>(request.field("maxNewTokens").size()),
                         .stop_strings = {}};
  if (const Argument stop_strings = request.field("stopStrings"); stop_strings.present()) {
    for (const Argument& stop : stop_strings.elements()) result.stop_strings.push_back(stop.string());
  }
  return result;
}

std::vector<Sequence> to_sequences(const Argument& batch) {
  std::vector<Sequence> sequences;
  for (const Argument& sequence : batch.elements()) {
    sequences.push_back({.prompt = to_prompt(sequence.field("prompt")),
                         .response = sequence.field("response").int32_array()});
  }
  return sequences;
}

ForwardOptions to_forward_options(const Argument& options) {
  ForwardOptions result;
  if (const Argument temperature = options.field("temperature"); temperature.present()) {
    result.temperature = temperature.number();
  }
  if (const Argument entropies = options.field("entropies"); entropies.present()) {
    result.entropies = entropies.boolean();
  }
  if (const Argument keep = options.field("keepTape"); keep.present()) result.keep_tape = keep.boolean();
  if (const Argument key = options.field("dropoutKey"); key.present()) result.dropout_key = to_random_key(key);
  return result;
}

OutputGradient to_output_gradient(const Argument& gradient) {
  OutputGradient result{
      .log_probs = gradient.field("logProbs").float32_array(), .values = {}, .entropies = {}};
  if (const Argument values = gradient.field("values"); values.present())
    result.values = values.float32_array();
  if (const Argument entropies = gradient.field("entropies"); entropies.present()) {
    result.entropies = entropies.float32_array();
  }
  return result;
}

OptimizerStep to_optimizer_step(const Argument& step) {
  OptimizerStep result{.groups = {}, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f};
  for (const Argument& group : step.field("groups").elements())
    result.groups.push_back(to_parameter_group(group));
  if (const Argument betas = step.field("betas"); betas.present()) {
    const std::vector<Argument> pair = betas.elements();
    require(pair.size() == 2, "betas: expected two numbers, received ", pair.size());
    result.beta1 = pair[0].number();
    result.beta2 = pair[1].number();
  }
  if (const Argument epsilon = step.field("epsilon"); epsilon.present()) result.epsilon = epsilon.number();
  return result;
}

}  // namespace sightline
