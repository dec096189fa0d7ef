// WebP by libwebp: its demuxer takes the file apart, its muxer puts it together.
#include <webp/decode.h>
#include <webp/demux.h>
#include <webp/encode.h>
#include <webp/mux.h>

#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/image/bytes.h"
#include "core/image/formats.h"
#include "core/image/metadata.h"
#include "core/image/samples.h"

namespace antidiffusion {
namespace {

constexpr size_t kRiffHead = 12;  // "RIFF", size, "WEBP"

using Demuxer = std::unique_ptr<WebPDemuxer, decltype(&WebPDemuxDelete)>;

absl::Status TruncatedWebp() { return InvalidImage("a truncated WebP", "a complete file"); }
absl::Status BrokenWebp() { return InvalidImage("a broken WebP", "a valid WebP"); }
absl::Status Animated() { return InvalidImage("an animated WebP", "a single image"); }

const uint8_t* Unsigned(absl::string_view bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}
WebPData ToData(absl::string_view bytes) { return {Unsigned(bytes), bytes.size()}; }
std::string ToString(const WebPData& data) {
  return std::string(reinterpret_cast<const char*>(data.bytes), data.size);
}

// A whole file taken apart. `padded` holds the demuxer's bytes when they are not the caller's.
struct Parts {
  std::string padded;
  Demuxer demuxer{nullptr, &WebPDemuxDelete};
};

absl::Status TakeApart(absl::string_view bytes, Parts& parts) {
  const size_t size = size_t{LittleEndian(bytes, 4, 4)} + 8;
  if (size > bytes.size()) return TruncatedWebp();
  bytes = bytes.substr(0, size);  // what follows is not the image's
  if (size % 2 != 0 && size > kRiffHead) {
    // Chunks have even sizes: a careless writer has left out the padding of the last one.
    parts.padded = absl::StrCat(bytes, absl::string_view("\0", 1));
    for (int i = 0; i < 4; ++i) parts.padded[4 + i] = static_cast<char>((size - 7) >> (8 * i));
    bytes = parts.padded;
  }
  const WebPData data = ToData(bytes);
  parts.demuxer.reset(WebPDemux(&data));
  if (parts.demuxer == nullptr) return BrokenWebp();
  if (WebPDemuxGetI(parts.demuxer.get(), WEBP_FF_FRAME_COUNT) != 1) return Animated();
  return absl::OkStatus();
}

// The first chunk of a type; empty when there is none.
std::string ChunkOf(const Parts& parts, const char* type) {
  WebPChunkIterator chunk;
  if (!WebPDemuxGetChunk(parts.demuxer.get(), type, 1, &chunk)) return "";
  std::string data = ToString(chunk.chunk);
  WebPDemuxReleaseChunkIterator(&chunk);
  return data;
}

ImageMetadata MetadataOf(const Parts& parts) {
  ImageMetadata metadata{ChunkOf(parts, "EXIF"), ChunkOf(parts, "ICCP")};
  if (absl::StartsWith(metadata.exif, kExifPrefix)) metadata.exif.erase(0, kExifPrefix.size());
  if (metadata.icc.size() > kMaxIccBytes) metadata.icc.clear();
  return metadata;
}

absl::Status DecodeFrame(const WebPIterator& frame, const ImageHeader& header, Picture& picture) {
  if (frame.x_offset != 0 || frame.y_offset != 0 || frame.width != header.width ||
      frame.height != header.height) {
    return InvalidImage("a WebP whose frame does not fill its canvas", "a single image");
  }
  const int channels = frame.has_alpha ? 4 : 3;
  const size_t row_bytes = static_cast<size_t>(header.width) * static_cast<size_t>(channels);
  std::vector<uint8_t> samples(row_bytes * static_cast<size_t>(header.height));
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config)) return absl::InternalError("libwebp of another version");
  config.output.colorspace = frame.has_alpha ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {samples.data(), static_cast<int>(row_bytes), samples.size()};
  const VP8StatusCode code = WebPDecode(frame.fragment.bytes, frame.fragment.size, &config);
  if (code == VP8_STATUS_OUT_OF_MEMORY) return absl::ResourceExhaustedError("out of memory");
  if (code != VP8_STATUS_OK) return BrokenWebp();
  SplitSamples(std::move(samples), header.width, header.height, channels, picture);
  return absl::OkStatus();
}

absl::StatusOr<std::string> AddMetadata(absl::string_view encoded, const ImageMetadata& metadata) {
  const std::unique_ptr<WebPMux, decltype(&WebPMuxDelete)> mux(WebPMuxNew(), &WebPMuxDelete);
  const WebPData image = ToData(encoded), icc = ToData(metadata.icc), exif = ToData(metadata.exif);
  WebPMuxError error = mux == nullptr ? WEBP_MUX_MEMORY_ERROR : WEBP_MUX_OK;
  if (error == WEBP_MUX_OK) error = WebPMuxSetImage(mux.get(), &image, 0);
  if (error == WEBP_MUX_OK && icc.size > 0) error = WebPMuxSetChunk(mux.get(), "ICCP", &icc, 0);
  if (error == WEBP_MUX_OK && exif.size > 0) error = WebPMuxSetChunk(mux.get(), "EXIF", &exif, 0);
  WebPData whole = {};
  if (error == WEBP_MUX_OK) error = WebPMuxAssemble(mux.get(), &whole);
  const std::unique_ptr<WebPData, decltype(&WebPDataClear)> owned(&whole, &WebPDataClear);
  if (error == WEBP_MUX_MEMORY_ERROR) return absl::ResourceExhaustedError("out of memory");
  if (error != WEBP_MUX_OK) return absl::InternalError(absl::StrCat("libwebpmux: error ", error));
  return ToString(whole);
}

}  // namespace

bool IsWebp(absl::string_view bytes) {
  return bytes.size() >= kRiffHead && absl::StartsWith(bytes, "RIFF") &&
         bytes.substr(8, 4) == "WEBP";
}

absl::StatusOr<ImageHeader> ReadWebpHeader(absl::string_view bytes) {
  WebPBitstreamFeatures features;
  const VP8StatusCode code = WebPGetFeatures(Unsigned(bytes), bytes.size(), &features);
  if (code == VP8_STATUS_NOT_ENOUGH_DATA) return TruncatedWebp();
  if (code != VP8_STATUS_OK || features.width < 1 || features.height < 1) return BrokenWebp();
  if (features.has_animation) {
    // An animation of one frame is a still picture. The file may go on behind `bytes`.
    const WebPData data = ToData(bytes);
    const Demuxer demuxer(WebPDemuxPartial(&data, nullptr), &WebPDemuxDelete);
    if (demuxer == nullptr) return BrokenWebp();
    if (WebPDemuxGetI(demuxer.get(), WEBP_FF_FRAME_COUNT) != 1) return Animated();
  }
  return ImageHeader{ImageFormat::kWebp, features.width, features.height};
}

absl::StatusOr<ImageMetadata> ReadWebpMetadata(absl::string_view bytes) {
  Parts parts;
  AD_RETURN_IF_ERROR(TakeApart(bytes, parts));
  return MetadataOf(parts);
}

absl::StatusOr<Picture> DecodeWebp(absl::string_view bytes, const ImageHeader& header) {
  Parts parts;
  AD_RETURN_IF_ERROR(TakeApart(bytes, parts));
  WebPIterator frame;
  if (!WebPDemuxGetFrame(parts.demuxer.get(), 1, &frame)) return BrokenWebp();
  const std::unique_ptr<WebPIterator, decltype(&WebPDemuxReleaseIterator)> owned(
      &frame, &WebPDemuxReleaseIterator);
  Picture picture;
  AD_RETURN_IF_ERROR(DecodeFrame(frame, header, picture));
  picture.metadata = MetadataOf(parts);
  return picture;
}

absl::StatusOr<std::string> EncodeWebp(const Picture& picture, int quality) {
  const Image& image = picture.image;
  const bool alpha = !picture.alpha.empty();
  std::vector<uint8_t> joined;
  if (alpha || image.channels == 1) joined = JoinSamples(picture, true);
  const uint8_t* pixels = joined.empty() ? image.pixels.data() : joined.data();
  const auto encode = alpha ? WebPEncodeRGBA : WebPEncodeRGB;
  uint8_t* bytes = nullptr;
  const size_t size = encode(pixels, image.width, image.height, image.width * (alpha ? 4 : 3),
                             static_cast<float>(quality), &bytes);
  const std::unique_ptr<uint8_t, decltype(&WebPFree)> owned(bytes, &WebPFree);
  if (size == 0) return absl::InternalError("libwebp cannot encode the image");
  const absl::string_view encoded(reinterpret_cast<const char*>(bytes), size);
  ImageMetadata metadata = picture.metadata;
  // WebP has no grey: the samples are RGB now, and a grey profile would not fit them.
  if (image.channels == 1 && IsGrayIcc(metadata.icc)) metadata.icc.clear();
  if (metadata.exif.empty() && metadata.icc.empty()) return std::string(encoded);
  return AddMetadata(encoded, metadata);
}

}  // namespace antidiffusion
