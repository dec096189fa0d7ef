// What the public service and the workers' say in the same messages, beside the options.
#pragma once

#include "antidiffusion/v1/protection.pb.h"
#include "core/api/protector.h"

namespace antidiffusion {

// Without a state and notes; `devices` is the one device, none where it is empty.
v1::Model ToProto(const ModelInfo& info);
ModelInfo FromProto(const v1::Model& proto);

v1::FullReport ToProto(const FullReport& report);
FullReport FromProto(const v1::FullReport& proto);

}  // namespace antidiffusion
