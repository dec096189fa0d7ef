// PNG pixels and profiles by libpng. It reports an error through a callback that must not return,
// so the functions that call it (those that call setjmp, and callbacks) have no objects with
// destructors, which longjmp would skip, and let no exception through.
#include <png.h>
#include <zlib.h>

#include <algorithm>
#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/image/formats.h"
#include "core/image/samples.h"

namespace antidiffusion {
namespace {

// One file that is read (`output` null) or written.
struct Session {
  Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() {
    if (output != nullptr) {
      png_destroy_write_struct(&png, &info);
    } else {
      png_destroy_read_struct(&png, &info, nullptr);
    }
  }

  png_structp png = nullptr;
  png_infop info = nullptr;
  absl::string_view input;  // what has not been read yet
  std::string* output = nullptr;
  jmp_buf escape;
  char message[96] = "";
  bool truncated = false;
  bool no_memory = false;
};

[[noreturn]] void OnError(png_structp png, png_const_charp message) {
  Session& session = *static_cast<Session*>(png_get_error_ptr(png));
  std::strncpy(session.message, message, sizeof(session.message) - 1);
  std::longjmp(session.escape, 1);
}

// Chunks that carry no pixels may be broken: libpng warns, and leaves them out.
void OnWarning(png_structp, png_const_charp) {}

png_voidp OnAllocate(png_structp png, png_alloc_size_t size) {
  void* memory = std::malloc(size);
  if (memory == nullptr) static_cast<Session*>(png_get_mem_ptr(png))->no_memory = true;
  return memory;
}

void OnFree(png_structp, png_voidp memory) { std::free(memory); }

void OnRead(png_structp png, png_bytep to, size_t size) {
  Session& session = *static_cast<Session*>(png_get_io_ptr(png));
  if (session.input.size() < size) {
    session.truncated = true;
    png_error(png, "the file ends");
  }
  std::memcpy(to, session.input.data(), size);
  session.input.remove_prefix(size);
}

bool Append(std::string& out, const png_byte* bytes, size_t size) noexcept {
  try {
    out.append(reinterpret_cast<const char*>(bytes), size);
    return true;
  } catch (...) {
    return false;
  }
}

void OnWrite(png_structp png, png_bytep bytes, size_t size) {
  Session& session = *static_cast<Session*>(png_get_io_ptr(png));
  if (Append(*session.output, bytes, size)) return;
  session.no_memory = true;
  png_error(png, "out of memory");
}

void OnFlush(png_structp) {}

// To the first pixels. Chunks other than those of the pixels and, if `with_profile`, iCCP are
// passed over unread.
bool ReadInfo(Session& session, const ImageHeader& header, bool with_profile) {
  if (setjmp(session.escape) != 0) return false;
  session.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &session, OnError, OnWarning,
                                         &session, OnAllocate, OnFree);
  if (session.png != nullptr) session.info = png_create_info_struct(session.png);
  if (session.info == nullptr) return false;
  png_set_read_fn(session.png, &session, OnRead);
  png_set_user_limits(session.png, static_cast<png_uint_32>(header.width),
                      static_cast<png_uint_32>(header.height));
  png_set_chunk_malloc_max(session.png, kMaxIccBytes);
  png_set_chunk_cache_max(session.png, 1);
  png_set_keep_unknown_chunks(session.png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  if (with_profile) {
    png_set_keep_unknown_chunks(session.png, PNG_HANDLE_CHUNK_AS_DEFAULT,
                                reinterpret_cast<png_const_bytep>("iCCP"), 1);
  }
  png_set_option(session.png, PNG_SKIP_sRGB_CHECK_PROFILE, PNG_OPTION_ON);
  png_read_info(session.png, session.info);
  png_set_expand(session.png);  // palettes to RGB, few bits to 8, tRNS to alpha
  png_set_interlace_handling(session.png);
  png_read_update_info(session.png, session.info);
  return true;
}

// The pixels, and what follows them up to IEND.
bool ReadPixels(Session& session, png_bytep pixels, size_t row_bytes, int height) {
  if (setjmp(session.escape) != 0) return false;
  const bool interlaced = png_get_interlace_type(session.png, session.info) != PNG_INTERLACE_NONE;
  for (int pass = 0; pass < (interlaced ? PNG_INTERLACE_ADAM7_PASSES : 1); ++pass) {
    for (int y = 0; y < height; ++y) {
      png_read_row(session.png, pixels + row_bytes * static_cast<size_t>(y), nullptr);
    }
  }
  png_read_end(session.png, nullptr);
  return true;
}

absl::Status ReadError(const Session& session) {
  if (session.no_memory) return absl::ResourceExhaustedError("out of memory");
  if (session.truncated) return InvalidImage("a truncated PNG", "a complete file");
  return InvalidImage(absl::StrCat("a broken PNG (", session.message, ")"), "a valid PNG");
}

std::string ReadIcc(const Session& session) {
  png_charp name = nullptr;
  png_bytep profile = nullptr;
  png_uint_32 size = 0;
  int compression = 0;
  if (png_get_iCCP(session.png, session.info, &name, &compression, &profile, &size) == 0) return "";
  return std::string(reinterpret_cast<const char*>(profile), size);
}

// Level 1, run lengths and the average filter: on photographs of 3000x2000 as fast as what OpenCV
// chooses (filter "sub") and about 4 % smaller; level 6 with every filter takes 3 to 8 times as
// long for 0 to 7 % more, and is no smaller with the noise of a protection.
void ChooseCompression(png_structp png) {
  png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_AVG);
  png_set_compression_level(png, Z_BEST_SPEED);
  png_set_compression_strategy(png, Z_RLE);
}

int ColorType(const Picture& picture) {
  const bool alpha = !picture.alpha.empty();
  if (picture.image.channels == 1) return alpha ? PNG_COLOR_TYPE_GRAY_ALPHA : PNG_COLOR_TYPE_GRAY;
  return alpha ? PNG_COLOR_TYPE_RGB_ALPHA : PNG_COLOR_TYPE_RGB;
}

// `pixels`: the image's, with alpha when the picture has it.
bool Write(Session& session, const Picture& picture, const std::vector<uint8_t>& pixels) {
  if (setjmp(session.escape) != 0) return false;
  session.png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &session, OnError, OnWarning,
                                          &session, OnAllocate, OnFree);
  if (session.png != nullptr) session.info = png_create_info_struct(session.png);
  if (session.info == nullptr) return false;
  png_set_write_fn(session.png, &session, OnWrite, OnFlush);
  png_set_user_limits(session.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_benign_errors(session.png, 1);  // a profile that libpng refuses is left out
  png_set_option(session.png, PNG_SKIP_sRGB_CHECK_PROFILE, PNG_OPTION_ON);
  ChooseCompression(session.png);
  const auto height = static_cast<png_uint_32>(picture.image.height);
  png_set_IHDR(session.png, session.info, static_cast<png_uint_32>(picture.image.width), height, 8,
               ColorType(picture), PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_BASE,
               PNG_FILTER_TYPE_BASE);
  const std::string& icc = picture.metadata.icc;
  if (!icc.empty()) {
    png_set_iCCP(session.png, session.info, "ICC Profile", PNG_COMPRESSION_TYPE_BASE,
                 reinterpret_cast<png_const_bytep>(icc.data()),
                 static_cast<png_uint_32>(icc.size()));
  }
  const std::string& exif = picture.metadata.exif;
  if (!exif.empty()) {
    png_set_eXIf_1(session.png, session.info, static_cast<png_uint_32>(exif.size()),
                   reinterpret_cast<png_bytep>(const_cast<char*>(exif.data())));
  }
  png_write_info(session.png, session.info);
  const size_t row_bytes = pixels.size() / height;
  for (size_t y = 0; y < height; ++y) png_write_row(session.png, pixels.data() + row_bytes * y);
  png_write_end(session.png, nullptr);
  return true;
}

}  // namespace

absl::StatusOr<Picture> DecodePng(absl::string_view bytes, const ImageHeader& header) {
  Session session;
  session.input = bytes;
  PngExtras extras = ReadPngExtras(bytes);
  if (!ReadInfo(session, header, extras.profiles == 1)) return ReadError(session);
  const int channels = png_get_channels(session.png, session.info);
  const size_t row_bytes = static_cast<size_t>(header.width) * static_cast<size_t>(channels);
  if (png_get_rowbytes(session.png, session.info) != row_bytes ||
      png_get_image_height(session.png, session.info) != static_cast<png_uint_32>(header.height)) {
    return InvalidImage("a broken PNG (rows of another size)", "a valid PNG");
  }
  std::vector<uint8_t> samples(row_bytes * static_cast<size_t>(header.height));
  if (!ReadPixels(session, samples.data(), row_bytes, header.height)) return ReadError(session);
  Picture picture;
  SplitSamples(std::move(samples), header.width, header.height, channels, picture);
  picture.metadata = {std::move(extras.exif), ReadIcc(session)};
  return picture;
}

absl::StatusOr<std::string> EncodePng(const Picture& picture) {
  std::vector<uint8_t> joined;
  if (!picture.alpha.empty()) joined = JoinSamples(picture, false);
  std::string bytes;
  Session session;
  session.output = &bytes;
  if (Write(session, picture, joined.empty() ? picture.image.pixels : joined)) return bytes;
  if (session.no_memory) return absl::ResourceExhaustedError("out of memory");
  return absl::InternalError(absl::StrCat("libpng: ", session.message));
}

}  // namespace antidiffusion
