#include "addon/image_functions.h"

#include "addon/argument.h"
#include "addon/failure.h"
#include "images/resample.h"

namespace sightline {
namespace {

ImageSize to_image_size(const Argument& size) {
  const auto side = [&](const char* name) { return static_cast<int>(size.field(name).integer(1, max_image_side)); };
  return {side("width"), side("height")};
}

}  // namespace

Napi::Value resize_image(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const Argument image(info[0], "image");
    const ImageSize from = to_image_size(image);
    const Argument channels_argument = image.field("channels");
    const int channels = static_cast<int>(channels_argument.integer(1, 3));
    require(channels != 2, channels_argument.path(), ": expected 1 or 3, received 2");
    const ImageSize to = to_image_size({info[1], "size"});
    using enum ResampleFilter;
    const auto filter = Argument(info[2], "filter")
                            .one_of<ResampleFilter>(
                                {{"box", box}, {"bilinear", bilinear}, {"bicubic", bicubic}, {"lanczos", lanczos}});
    const Argument cpu(info[3], "cpu");
    const Isa isa = select_isa(cpu.present() ? cpu.string() : std::string());
    // Before the array of the image is looked at: nothing between that and the resizing may run JavaScript.
    Napi::Uint8Array result = Napi::Uint8Array::New(info.Env(), size_t{1} * to.width * to.height * channels);
    const Argument data = image.field("data");
    const std::span<const uint8_t> bytes = data.bytes_in_place();
    const size_t expected = size_t{1} * from.width * from.height * channels;
    require(bytes.size() == expected, data.path(), ": expected width * height * channels = ", expected, " bytes, received ",
            bytes.size());
    resize_image(bytes.data(), from, channels, to, filter, isa, result.Data());
    return result;
  });
}

}  // namespace sightline
