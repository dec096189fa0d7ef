// `--json`: one object a file on a line of its own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "antidiffusion/v1/protection.pb.h"

namespace antidiffusion {

// What became of one file.
struct FileOutcome {
  std::string input;
  std::optional<std::string> output;  // the file that is there now; none after a failure
  absl::Status status;
  std::string note;  // for people, where the status is OK: "skipped: exists"
  double seconds = 0;
  // What the server answered, without the image; none for a failed or skipped file.
  std::optional<v1::ProtectionResult> result;
};

// The object, without a line break. Keys, always all of them and in this order: `input`, `output`
// (null after a failure), `status` (name of the gRPC code), `message`, `report` (the message
// antidiffusion.v1.Report in protobuf's JSON, names as in the .proto; an infinite PSNR is the
// string "Infinity"), `seconds`, `stage_seconds` (an object), `unet_passes`, `seed`, `model`,
// `model_digest`. Those of the server are null for a failed or skipped file. Bytes that are not
// UTF-8 (file names may hold them) are replaced.
std::string JsonLine(const FileOutcome& outcome);

}  // namespace antidiffusion
