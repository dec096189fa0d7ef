// What several commands make of the service's messages.
#pragma once

#include <google/protobuf/message.h>

#include <nlohmann/json.hpp>
#include <string>

#include "antidiffusion/v1/protection.pb.h"
#include "client/protection_client.h"

namespace antidiffusion {

// The message in protobuf's JSON, names as in the .proto, fields of value 0 included. Null where it
// cannot be printed.
nlohmann::ordered_json MessageJson(const google::protobuf::Message& message);

// "max 6 levels, PSNR 36.2 dB, SSIM 0.9512" and what else the report holds.
std::string ReportText(const v1::Report& report);

// "MESSAGE; attempt 2 in 1.5 s"
std::string RetryText(const RetryNotice& notice);

}  // namespace antidiffusion
