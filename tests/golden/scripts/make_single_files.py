"""Write tiny models, and the names of published ones, in the original single-file layout.

    python make_single_files.py      (torch, diffusers 0.35.2, transformers 4.57)

single_files/: for each of TINY (folders in the diffusers layout) NAME.safetensors in half precision, named as
CompVis, Stability AI, A1111 and ComfyUI name tensors, and NAME.json with what the tensors of a tiny
model cannot tell (a published one's are the defaults). Each file is given to the functions by which
diffusers itself reads single files; what they return must be the model's own tensors, bit for bit.
published/*_single_file.txt: names and shapes of SD 1.5, SD 2.1 and SDXL base files.
"""
import json
import os
import re

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as theirs
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

HERE = os.path.dirname(os.path.abspath(__file__))
TINY = ("models/sd1-like", "models/sd2-v-like", "families/models/inpaint-like", "families/models/pix2pix-like",
        "families/models/sdxl-like", "families/models/sdxl-inpaint-like", "families/models/sdxl-pix2pix-like")
UNET, VAE = "model.diffusion_model.", "first_stage_model."
CLIP, OPEN_CLIP = "cond_stage_model.transformer.", "cond_stage_model.model."
XL_CLIP, XL_OPEN_CLIP = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."

RESNET = {"norm1.": "in_layers.0.", "conv1.": "in_layers.2.", "time_emb_proj.": "emb_layers.1.",
          "norm2.": "out_layers.0.", "conv2.": "out_layers.3.", "conv_shortcut.": "skip_connection."}
UNET_ENDS = {"time_embedding.linear_1.": "time_embed.0.", "time_embedding.linear_2.": "time_embed.2.",
             "add_embedding.linear_1.": "label_emb.0.0.", "add_embedding.linear_2.": "label_emb.0.2.",
             "conv_in.": "input_blocks.0.0.", "conv_norm_out.": "out.0.", "conv_out.": "out.2."}
VAE_ATTENTION = {"group_norm.": "norm.", "to_q.": "q.", "to_k.": "k.", "to_v.": "v.", "to_out.0.": "proj_out.",
                 "query.": "q.", "key.": "k.", "value.": "v.", "proj_attn.": "proj_out."}


def rename(name, table):
    for new, old in table.items():
        if name.startswith(new):
            return old + name[len(new):]
    return name


def original_unet_name(name, layers):
    """`layers`: resnets of a down block, the same on every level."""
    if m := re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.*)", name):
        way, level, kind, i, rest = m[1], int(m[2]), m[3], int(m[4]), m[5]
        block = 1 + level * (layers + 1) + i if way == "down" else level * (layers + 1) + i
        part = 0 if kind == "resnets" else 1
        rest = rename(rest, RESNET) if kind == "resnets" else rest
        return f"{'input' if way == 'down' else 'output'}_blocks.{block}.{part}.{rest}"
    if m := re.match(r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.*)", name):
        return f"input_blocks.{(int(m[1]) + 1) * (layers + 1)}.0.op.{m[2]}"
    if m := re.match(r"up_blocks\.(\d+)\.upsamplers\.0\.conv\.(.*)", name):
        return f"output_blocks.{int(m[1]) * (layers + 1) + layers}.UP.conv.{m[2]}"
    if m := re.match(r"mid_block\.(resnets|attentions)\.(\d+)\.(.*)", name):
        rest = rename(m[3], RESNET) if m[1] == "resnets" else m[3]
        return f"middle_block.{2 * int(m[2]) if m[1] == 'resnets' else 1}.{rest}"
    return rename(name, UNET_ENDS)


def original_unet(tensors, layers):
    named = {original_unet_name(k, layers): v for k, v in tensors.items()}
    result = {}
    for name, tensor in named.items():
        if ".UP." in name:  # behind a transformer where the block has one
            block = name.split(".UP.")[0]
            has_transformer = any(k.startswith(block + ".1.transformer_blocks") for k in named)
            name = name.replace(".UP.", ".2." if has_transformer else ".1.")
        result[UNET + name] = tensor
    return result


def original_vae(tensors, levels, convolutions=True):
    result = {}
    for name, tensor in tensors.items():
        half, rest = name.split(".", 1)
        if half in ("encoder", "decoder"):
            if m := re.match(r"(down|up)_blocks\.(\d+)\.resnets\.(\d+)\.(.*)", rest):
                level = int(m[2]) if m[1] == "down" else levels - 1 - int(m[2])
                rest = f"{m[1]}.{level}.block.{m[3]}.{rename(m[4], {'conv_shortcut.': 'nin_shortcut.'})}"
            elif m := re.match(r"down_blocks\.(\d+)\.downsamplers\.0\.(.*)", rest):
                rest = f"down.{m[1]}.downsample.{m[2]}"
            elif m := re.match(r"up_blocks\.(\d+)\.upsamplers\.0\.(.*)", rest):
                rest = f"up.{levels - 1 - int(m[1])}.upsample.{m[2]}"
            elif m := re.match(r"mid_block\.resnets\.(\d+)\.(.*)", rest):
                rest = f"mid.block_{int(m[1]) + 1}.{m[2]}"
            elif m := re.match(r"mid_block\.attentions\.0\.(.*)", rest):
                rest = "mid.attn_1." + rename(m[1], VAE_ATTENTION)
                if convolutions and tensor.dim() == 2:
                    tensor = tensor[:, :, None, None]
            else:
                rest = rest.replace("conv_norm_out.", "norm_out.")
        result[f"{VAE}{half}.{rest}"] = tensor
    return result


def original_open_clip(tensors, prefix):
    result, fused = {}, {}
    for name, tensor in tensors.items():
        if m := re.match(r"text_model\.encoder\.layers\.(\d+)\.(.*)", name):
            block, rest = f"transformer.resblocks.{m[1]}.", m[2]
            if q := re.match(r"self_attn\.([qkv])_proj\.(weight|bias)", rest):
                fused.setdefault(f"{block}attn.in_proj_{q[2]}", {})[q[1]] = tensor
                continue
            name = block + rename(rest, {"self_attn.": "attn.", "layer_norm1.": "ln_1.", "layer_norm2.": "ln_2.",
                                         "mlp.fc1.": "mlp.c_fc.", "mlp.fc2.": "mlp.c_proj."})
        elif name == "text_projection.weight":
            name, tensor = "text_projection", tensor.T.contiguous()
        else:
            name = rename(name, {"text_model.embeddings.token_embedding.": "token_embedding.",
                                 "text_model.embeddings.position_embedding.weight": "positional_embedding",
                                 "text_model.final_layer_norm.": "ln_final."})
        if name != "text_model.embeddings.position_ids":
            result[prefix + name] = tensor
    for name, parts in fused.items():
        result[prefix + name] = torch.cat([parts["q"], parts["k"], parts["v"]])
    result[prefix + "logit_scale"] = torch.zeros((), dtype=tensor.dtype, device=tensor.device)
    return result


def add_unused_layer(file, layers):
    """SD 2.x files have one layer more than is used."""
    start = OPEN_CLIP + "transformer.resblocks."
    for name in [k for k in file if k.startswith(f"{start}{layers - 1}.")]:
        file[name.replace(f"{start}{layers - 1}.", f"{start}{layers}.")] = torch.zeros_like(file[name])
    width = file[OPEN_CLIP + "positional_embedding"].shape[1]
    file[OPEN_CLIP + "text_projection"] = torch.zeros(
        width, width, dtype=torch.float16, device=file[OPEN_CLIP + "positional_embedding"].device)


def half(tensors):
    return {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}


def read(folder, part, stem="diffusion_pytorch_model"):
    with open(f"{folder}/{part}/config.json") as f:
        config = json.load(f)
    return config, half(load_file(f"{folder}/{part}/{stem}.safetensors"))


def expect_equal(what, mine, converted):
    modern = {k.replace(".query.", ".to_q.").replace(".key.", ".to_k.").replace(".value.", ".to_v.")
              .replace(".proj_attn.", ".to_out.0."): v for k, v in mine.items() if "position_ids" not in k}
    missing = [k for k in modern if k not in converted]
    different = [k for k in modern if k in converted and not torch.equal(modern[k], converted[k])]
    assert not missing and not different, (what, missing[:5], different[:5])
    print(f"  {what}: {len(modern)} tensors, as diffusers converts them")


class TextModelWithConfig:  # all that convert_open_clip_checkpoint asks of a model
    def __init__(self, config):
        self.config = CLIPTextConfig(**config)


def write_tiny(folder, out):
    name = os.path.basename(folder)
    xl = os.path.isdir(f"{folder}/text_encoder_2")
    unet_config, unet = read(folder, "unet")
    vae_config, vae = read(folder, "vae")
    text_config, text = read(folder, "text_encoder", "model")
    sd2 = not xl and unet_config.get("use_linear_projection", False)
    layers = unet_config["layers_per_block"]
    file = original_unet(unet, layers)
    file.update(original_vae(vae, len(vae_config["block_out_channels"])))
    sidecar = {"unet": {k: unet_config[k] for k in
                        ("attention_head_dim", "norm_num_groups", "sample_size", "addition_time_embed_dim")
                        if unet_config.get(k) is not None},
               "vae": {"norm_num_groups": vae_config["norm_num_groups"]},
               "text_encoder": {"num_attention_heads": text_config["num_attention_heads"]}}
    print(name)
    if xl:
        text_config_2, text_2 = read(folder, "text_encoder_2", "model")
        file.update({XL_CLIP + k: v for k, v in text.items()})
        file.update(original_open_clip(text_2, XL_OPEN_CLIP))
        sidecar["text_encoder_2"] = {"num_attention_heads": text_config_2["num_attention_heads"]}
        # Their splitting of in_proj goes by the width of the projection, which is that of the model in
        # every published model but not here, so the layers are compared with a square projection.
        square = {k: v for k, v in file.items() if k != XL_OPEN_CLIP + "text_projection"}
        back = theirs.convert_open_clip_checkpoint(TextModelWithConfig(text_config_2), square, prefix=XL_OPEN_CLIP)
        back["text_projection.weight"] = file[XL_OPEN_CLIP + "text_projection"].T
        expect_equal("text encoder 2", text_2, back)
    elif sd2:
        file.update(original_open_clip(text, OPEN_CLIP))
        back = theirs.convert_open_clip_checkpoint(TextModelWithConfig(text_config), dict(file))
        add_unused_layer(file, text_config["num_hidden_layers"])
        sidecar["text_encoder"]["num_hidden_layers"] = text_config["num_hidden_layers"]
        with open(f"{folder}/scheduler/scheduler_config.json") as f:
            sidecar["prediction_type"] = json.load(f).get("prediction_type", "epsilon")
    else:
        file.update({CLIP + k: v for k, v in text.items()})
    if not sd2:
        back = theirs.convert_ldm_clip_checkpoint(dict(file))
    expect_equal("text encoder", text, back)
    expect_equal("unet", unet, theirs.convert_ldm_unet_checkpoint(dict(file), unet_config))
    expect_equal("vae", vae, theirs.convert_ldm_vae_checkpoint(dict(file), vae_config))
    os.makedirs(out, exist_ok=True)
    file = {k: v.contiguous() for k, v in file.items()}
    save_file(file, f"{out}/{name}.safetensors", metadata={"format": "pt"})
    with open(f"{out}/{name}.json", "w") as f:
        json.dump(sidecar, f, indent=2)
        f.write("\n")


def published():
    """Names and shapes on the meta device, by the published configurations."""
    down, cross = "DownBlock2D", "CrossAttnDownBlock2D"
    up, cross_up = "UpBlock2D", "CrossAttnUpBlock2D"
    sd = dict(block_out_channels=[320, 640, 1280, 1280], down_block_types=[cross] * 3 + [down],
              up_block_types=[up] + [cross_up] * 3)
    xl = dict(block_out_channels=[320, 640, 1280], down_block_types=[down, cross, cross],
              up_block_types=[cross_up, cross_up, up], cross_attention_dim=2048, attention_head_dim=[5, 10, 20],
              use_linear_projection=True, transformer_layers_per_block=[1, 2, 10], addition_embed_type="text_time",
              addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816)

    def clip(kind, width, inner, layers, heads, act, projection=512):
        return kind(CLIPTextConfig(vocab_size=49408, hidden_size=width, intermediate_size=inner, hidden_act=act,
                                   num_hidden_layers=layers, num_attention_heads=heads, projection_dim=projection))

    def params(module):
        return dict(module.named_parameters())

    vae = original_vae(params(AutoencoderKL(
        latent_channels=4, block_out_channels=[128, 256, 512, 512], layers_per_block=2,
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4)), 4)
    clip_l = params(clip(CLIPTextModel, 768, 3072, 12, 12, "quick_gelu"))
    files = {"sd15": {**original_unet(params(UNet2DConditionModel(cross_attention_dim=768, **sd)), 2),
                      **{CLIP + k: v for k, v in clip_l.items()}}}
    sd21 = {**original_unet(params(UNet2DConditionModel(
        cross_attention_dim=1024, attention_head_dim=[5, 10, 20, 20], use_linear_projection=True, **sd)), 2),
        **original_open_clip(params(clip(CLIPTextModel, 1024, 4096, 23, 16, "gelu")), OPEN_CLIP)}
    add_unused_layer(sd21, 23)
    files["sd21"] = sd21
    files["sdxl"] = {**original_unet(params(UNet2DConditionModel(**xl)), 2),
                     **{XL_CLIP + k: v for k, v in clip_l.items()},
                     **original_open_clip(params(clip(CLIPTextModelWithProjection, 1280, 5120, 32, 20, "gelu", 1280)),
                                          XL_OPEN_CLIP)}
    return {name: {**file, **vae} for name, file in files.items()}


def main():
    for folder in TINY:
        write_tiny(os.path.join(HERE, "..", folder), os.path.join(HERE, "../single_files"))
    with torch.device("meta"):
        files = published()
    for name, tensors in files.items():
        with open(os.path.join(HERE, f"../published/{name}_single_file.txt"), "w") as f:
            for key in sorted(tensors):
                f.write(" ".join([key, *map(str, tensors[key].shape)]) + "\n")
        print(name, len(tensors))


if __name__ == "__main__":
    main()
