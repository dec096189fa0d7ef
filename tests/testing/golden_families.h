// The tiny models of the other families (tests/golden/families), built from their own config files.
// All of them throw when a file does not fit. `model` is a name like sdxl-like; its golden values
// are those of GoldenValues("families/sdxl-like", ...).
#pragma once

#include <string>
#include <vector>

#include "core/models/clip_text_model.h"
#include "core/models/config.h"
#include "core/models/tiny_encoder.h"
#include "core/models/unet.h"
#include "core/models/vae.h"

namespace antidiffusion {

// bk-like, inpaint-like, pix2pix-like, sdxl-like. Encoders alone: vae16-like and tae-like.
const std::vector<std::string>& FamilyPipelineNames();

// The model's folder in the diffusers layout.
std::string FamilyModelPath(const std::string& model);

UNetConfig FamilyUNetConfig(const std::string& model);
UNet LoadFamilyUNet(const std::string& model);

// Of a pipeline, or of vae16-like.
Vae LoadFamilyVae(const std::string& model);

// Of tae-like.
TinyEncoder LoadFamilyTinyEncoder(const std::string& model);

// `part` is text_encoder or text_encoder_2.
ClipTextModel LoadFamilyTextModel(const std::string& model, const std::string& part);

}  // namespace antidiffusion
