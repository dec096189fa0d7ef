// JPEG pixels by libjpeg itself: OpenCV hides whether the data were damaged, and cannot write
// without chroma subsampling.
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

// libjpeg's headers need <cstdio> before them.
#include <jpeglib.h>
// And this one after.
#include <jerror.h>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/image/formats.h"

namespace antidiffusion {
namespace {

// libjpeg reports errors through callbacks that must not return. `base` comes first: libjpeg holds
// a pointer to it, and the callbacks get the whole back from it.
struct ErrorState {
  jpeg_error_mgr base;
  jmp_buf escape;
  bool damaged;
  char message[JMSG_LENGTH_MAX];
};

ErrorState& State(j_common_ptr codec) { return *reinterpret_cast<ErrorState*>(codec->err); }

[[noreturn]] void OnError(j_common_ptr codec) {
  ErrorState& state = State(codec);
  state.base.format_message(codec, state.message);
  longjmp(state.escape, 1);
}

// Warnings have a negative level. These mean that pixels were made up; others (bytes between
// segments, an unknown version of JFIF) are met in healthy photographs.
void OnMessage(j_common_ptr codec, int level) {
  if (level >= 0) return;
  switch (codec->err->msg_code) {
    case JWRN_ARITH_BAD_CODE:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC: {
      ErrorState& state = State(codec);
      if (!state.damaged) state.base.format_message(codec, state.message);
      state.damaged = true;
      break;
    }
    default:
      break;
  }
}

void Silence(j_common_ptr) {}

jpeg_error_mgr* InitErrors(ErrorState& state) {
  jpeg_std_error(&state.base);
  state.base.error_exit = OnError;
  state.base.emit_message = OnMessage;
  state.base.output_message = Silence;
  state.damaged = false;
  state.message[0] = '\0';
  return &state.base;
}

// No object with a destructor may live in the functions that call setjmp: longjmp skips it.
struct DecodeJob {
  const unsigned char* bytes;
  unsigned long size;
  unsigned char* pixels;
  size_t row_bytes;
  unsigned width, height;
  int channels;
  ErrorState errors;
};

bool RunDecode(DecodeJob& job) {
  jpeg_decompress_struct codec = {};
  codec.err = InitErrors(job.errors);
  if (setjmp(job.errors.escape) != 0) {
    jpeg_destroy_decompress(&codec);
    return false;
  }
  jpeg_create_decompress(&codec);
  jpeg_mem_src(&codec, job.bytes, job.size);
  jpeg_read_header(&codec, TRUE);
  codec.out_color_space = job.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_start_decompress(&codec);
  const bool expected = codec.output_width == job.width && codec.output_height == job.height &&
                        codec.output_components == job.channels;
  while (expected && codec.output_scanline < codec.output_height) {
    JSAMPROW row = job.pixels + job.row_bytes * codec.output_scanline;
    jpeg_read_scanlines(&codec, &row, 1);
  }
  if (expected) jpeg_finish_decompress(&codec);
  jpeg_destroy_decompress(&codec);
  return expected;
}

struct EncodeJob {
  const Picture* picture;
  int quality;
  unsigned char* bytes;  // malloc'ed by libjpeg
  unsigned long size;
  ErrorState errors;
};

// The whole file. EXIF comes as near to the start as JFIF lets it.
bool RunEncode(EncodeJob& job) {
  const Image& image = job.picture->image;
  const std::string &exif = job.picture->metadata.exif, &icc = job.picture->metadata.icc;
  jpeg_compress_struct codec = {};
  codec.err = InitErrors(job.errors);
  if (setjmp(job.errors.escape) != 0) {
    jpeg_destroy_compress(&codec);
    return false;
  }
  jpeg_create_compress(&codec);
  jpeg_mem_dest(&codec, &job.bytes, &job.size);
  codec.image_width = static_cast<unsigned>(image.width);
  codec.image_height = static_cast<unsigned>(image.height);
  codec.input_components = image.channels;
  codec.in_color_space = image.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&codec);
  jpeg_set_quality(&codec, job.quality, TRUE);
  codec.optimize_coding = TRUE;
  codec.comp_info[0].h_samp_factor = 1;
  codec.comp_info[0].v_samp_factor = 1;
  jpeg_start_compress(&codec, TRUE);
  if (!exif.empty()) {
    jpeg_write_m_header(&codec, JPEG_APP0 + 1,
                        static_cast<unsigned>(kExifPrefix.size() + exif.size()));
    for (const char byte : kExifPrefix) jpeg_write_m_byte(&codec, byte);
    for (const char byte : exif) jpeg_write_m_byte(&codec, static_cast<unsigned char>(byte));
  }
  if (!icc.empty()) {
    jpeg_write_icc_profile(&codec, reinterpret_cast<const JOCTET*>(icc.data()),
                           static_cast<unsigned>(icc.size()));
  }
  const size_t row_bytes = image.pixels.size() / codec.image_height;
  while (codec.next_scanline < codec.image_height) {
    JSAMPROW row = const_cast<JSAMPROW>(image.pixels.data()) + row_bytes * codec.next_scanline;
    jpeg_write_scanlines(&codec, &row, 1);
  }
  jpeg_finish_compress(&codec);
  jpeg_destroy_compress(&codec);
  return true;
}

// 1 or 3; asked of libjpeg, which knows.
bool RunCountChannels(DecodeJob& job) {
  jpeg_decompress_struct codec = {};
  codec.err = InitErrors(job.errors);
  if (setjmp(job.errors.escape) != 0) {
    jpeg_destroy_decompress(&codec);
    return false;
  }
  jpeg_create_decompress(&codec);
  jpeg_mem_src(&codec, job.bytes, job.size);
  jpeg_read_header(&codec, TRUE);
  job.channels = codec.num_components == 1 ? 1 : 3;
  jpeg_destroy_decompress(&codec);
  return true;
}

absl::Status Broken(const ErrorState& errors) {
  if (errors.base.msg_code == JERR_OUT_OF_MEMORY) {
    return absl::ResourceExhaustedError("out of memory");
  }
  return InvalidImage(absl::StrCat("a broken JPEG (", errors.message, ")"), "a valid JPEG");
}

absl::StatusOr<Image> DecodePixels(absl::string_view bytes, int width, int height) {
  const auto job = std::make_unique<DecodeJob>();
  job->bytes = reinterpret_cast<const unsigned char*>(bytes.data());
  job->size = bytes.size();
  job->width = static_cast<unsigned>(width);
  job->height = static_cast<unsigned>(height);
  if (!RunCountChannels(*job)) return Broken(job->errors);
  Image image{width, height, job->channels, {}};
  image.pixels.resize(image.size());
  job->pixels = image.pixels.data();
  job->row_bytes = static_cast<size_t>(width) * static_cast<size_t>(image.channels);
  if (!RunDecode(*job) || job->errors.damaged) return Broken(job->errors);
  return image;
}

}  // namespace

absl::StatusOr<Picture> DecodeJpeg(absl::string_view bytes, const ImageHeader& header) {
  Picture picture;
  AD_ASSIGN_OR_RETURN(picture.metadata, ReadJpegMetadata(bytes));
  AD_ASSIGN_OR_RETURN(picture.image, DecodePixels(bytes, header.width, header.height));
  return picture;
}

absl::StatusOr<std::string> EncodeJpeg(const Picture& picture, int quality) {
  const auto job = std::make_unique<EncodeJob>();
  job->picture = &picture;
  job->quality = quality;
  const bool done = RunEncode(*job);
  const std::unique_ptr<unsigned char, void (*)(void*)> owned(job->bytes, std::free);
  if (!done) return absl::InternalError(absl::StrCat("libjpeg: ", job->errors.message));
  return std::string(reinterpret_cast<const char*>(owned.get()), job->size);
}

}  // namespace antidiffusion
