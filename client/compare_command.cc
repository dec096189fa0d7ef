#include "client/compare_command.h"

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/comparison.h"
#include "client/exit_codes.h"
#include "client/file_io.h"
#include "client/terminal_text.h"
#include "core/base/status_macros.h"
#include "core/image/codec.h"
#include "core/image/similarity.h"
#include "core/image/visibility.h"

namespace antidiffusion {
namespace {

// A protected photograph as PNG is larger than what may be sent.
constexpr int64_t kMaxBytes = int64_t{256} << 20;

absl::Status InFile(const std::string& path, const absl::Status& status) {
  return {status.code(), absl::StrCat(path, ": ", status.message())};
}

absl::StatusOr<Image> ReadImage(const std::string& path) {
  const absl::StatusOr<std::string> bytes = ReadInputFile(path, kMaxBytes);
  if (!bytes.ok()) return InFile(path, bytes.status());
  absl::StatusOr<Picture> picture =
      DecodePicture(*bytes, DecodeLimits{.max_bytes = kMaxBytes, .min_side = 1});
  if (!picture.ok()) return InFile(path, picture.status());
  return std::move(picture->image);
}

std::filesystem::path OutputOf(const CompareSettings& settings) {
  if (!settings.output.empty()) return settings.output;
  std::filesystem::path name = std::filesystem::path(settings.original).stem();
  name += ".comparison.png";
  return std::filesystem::path(settings.changed).parent_path() / name;
}

// The line for people.
absl::StatusOr<std::string> Compare(const CompareSettings& settings) {
  ComparisonRow row;
  AD_ASSIGN_OR_RETURN(row.original, ReadImage(settings.original));
  AD_ASSIGN_OR_RETURN(row.protected_image, ReadImage(settings.changed));
  AD_ASSIGN_OR_RETURN(const int difference, MaxDifference(row.original, row.protected_image));
  AD_ASSIGN_OR_RETURN(const double psnr, Psnr(row.original, row.protected_image));
  AD_ASSIGN_OR_RETURN(const double ssim, Ssim(row.original, row.protected_image));
  AD_ASSIGN_OR_RETURN(const Visibility seen, MeasureVisibility(row.original, row.protected_image));
  Picture picture;
  AD_ASSIGN_OR_RETURN(picture.image, CompareImages({row}, {.amplification = settings.factor}));
  AD_ASSIGN_OR_RETURN(const std::string png, EncodePicture(picture, EncodeOptions()));
  const std::filesystem::path output = OutputOf(settings);
  AD_RETURN_IF_ERROR(PrepareOutputFolder(output));
  AD_RETURN_IF_ERROR(WriteFileAtomically(output, png));
  return absl::StrFormat(
      "max difference %d levels, PSNR %.2f dB, SSIM %.4f, colour shift %.2f (95 %% of blocks up to "
      "%.2f), %.0f %% of the change in patches; picture: %s",
      difference, psnr, ssim, seen.chroma_bias, seen.chroma_bias_95, 100 * seen.low_frequency_share,
      output.string());
}

}  // namespace

int RunCompare(const CompareSettings& settings, std::ostream& out, std::ostream& err) {
  const absl::StatusOr<std::string> line = Compare(settings);
  if (!line.ok()) {
    err << absl::StatusCodeToString(line.status().code()) << ": "
        << PrintableText(line.status().message()) << std::endl;
    return kExitFailed;
  }
  out << PrintableText(*line) << std::endl;
  return kExitOk;
}

}  // namespace antidiffusion
