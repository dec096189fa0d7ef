"""Attacks that learn a subject from its photographs: DreamBooth, LoRA, textual inversion."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from peft import LoraConfig
from torch import Tensor

from .model import AttackedModel

Progress = Callable[[], None]


@dataclass(frozen=True)
class TuningSettings:
    """How hard the attacker tries."""

    steps: int = 200
    batch: int = 4
    seed: int = 0
    rank: int = 8  # of LoRA


@dataclass(frozen=True)
class Subject:
    """What the attacker has: photographs, and the class word, in a prompt such as 'a photo of a sks dress'."""

    images: Tensor
    noun: str

    def prompt(self, word: str) -> str:
        return f"a photo of a {word} {self.noun}"


def timesteps_of(model: AttackedModel, count: int) -> Tensor:
    """Timesteps spread evenly over the schedule, one in each of `count` equal parts."""
    total = model.pipe.scheduler.config.num_train_timesteps
    places = (torch.arange(count) + torch.rand(count)) / count
    return (places * total).long().clamp(max=total - 1).to(model.device)


def fit(
    model: AttackedModel,
    latents: Tensor,
    texts: Callable[[int], Tensor],
    parameters: Iterable[torch.nn.Parameter],
    rate: float,
    settings: TuningSettings,
    tick: Progress,
) -> None:
    """Lower the denoising loss of `latents` under `texts(batch)` by AdamW."""
    torch.manual_seed(settings.seed)
    optimizer = torch.optim.AdamW(list(parameters), lr=rate, weight_decay=1e-2, fused=True)
    scheduler = model.sampler(10)
    for _ in range(settings.steps):
        chosen = latents[torch.randint(len(latents), (settings.batch,))]
        noise = torch.randn(chosen.shape).to(chosen)
        timesteps = timesteps_of(model, settings.batch)
        noisy = scheduler.add_noise(chosen, noise, timesteps)
        prediction = model.pipe.unet(noisy, timesteps, texts(settings.batch)).sample
        loss = F.mse_loss(prediction.float(), model.target(chosen, noise, timesteps).float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        tick()


def dreambooth(
    model: AttackedModel, subject: Subject, settings: TuningSettings, tick: Progress, text_encoder: bool = False
) -> AttackedModel:
    """Every weight of the UNet, and of the text encoder where asked, tuned on the photographs (Ruiz et al. 2023)."""
    tuned = model.with_unet(copy.deepcopy(model.pipe.unet).train().requires_grad_(True))
    parameters = list(tuned.pipe.unet.parameters())
    if text_encoder:
        tuned.pipe.text_encoder = copy.deepcopy(model.pipe.text_encoder).train().requires_grad_(True)
        parameters += list(tuned.pipe.text_encoder.parameters())
    prompt = subject.prompt(model.placeholder)
    fixed = model.texts([prompt])

    def texts(batch: int) -> Tensor:
        return tuned.texts([prompt], grad=True).expand(batch, -1, -1) if text_encoder else fixed.expand(batch, -1, -1)

    fit(tuned, model.encode(subject.images), texts, parameters, 5e-5, settings, tick)
    tuned.pipe.unet.eval().requires_grad_(False)
    tuned.pipe.text_encoder.eval().requires_grad_(False)
    return tuned


def lora(model: AttackedModel, subject: Subject, settings: TuningSettings, tick: Progress) -> AttackedModel:
    """Low-rank updates of the UNet's attention (Hu et al. 2022), by peft."""
    tuned = model.with_unet(copy.deepcopy(model.pipe.unet))
    torch.manual_seed(settings.seed)
    tuned.pipe.unet.add_adapter(
        LoraConfig(r=settings.rank, lora_alpha=settings.rank, init_lora_weights="gaussian",
                   target_modules=["to_q", "to_k", "to_v", "to_out.0"])
    )
    parameters = [p for p in tuned.pipe.unet.parameters() if p.requires_grad]
    text = model.texts([subject.prompt(model.placeholder)])
    tuned.pipe.unet.train()
    latents = model.encode(subject.images)
    fit(tuned, latents, lambda batch: text.expand(batch, -1, -1), parameters, 1e-3, settings, tick)
    tuned.pipe.unet.eval().requires_grad_(False)
    return tuned


def textual_inversion(model: AttackedModel, subject: Subject, settings: TuningSettings, tick: Progress) -> AttackedModel:
    """One new word's embedding, all weights frozen (Gal et al. 2023); it starts as the class word's."""
    pipe = copy.copy(model.pipe)
    pipe.tokenizer = copy.deepcopy(model.pipe.tokenizer)
    pipe.text_encoder = copy.deepcopy(model.pipe.text_encoder)
    tuned = replace(model, pipe=pipe, placeholder="<subject>")
    pipe.tokenizer.add_tokens([tuned.placeholder])
    word = pipe.tokenizer.convert_tokens_to_ids(tuned.placeholder)
    start = pipe.tokenizer(subject.noun, add_special_tokens=False).input_ids[0]
    pipe.text_encoder.resize_token_embeddings(max(len(pipe.tokenizer), word + 1), mean_resizing=False)
    table = pipe.text_encoder.get_input_embeddings().weight
    with torch.no_grad():
        table[word] = table[start]
    table.requires_grad_(True)
    keep = torch.zeros_like(table)
    keep[word] = 1
    hook = table.register_hook(lambda gradient: gradient * keep)
    prompt = subject.prompt(tuned.placeholder)
    latents = model.encode(subject.images)
    # Weight decay would move the other words: it is undone by putting them back.
    others = table.detach().clone()
    fit(tuned, latents, lambda batch: tuned.texts([prompt], grad=True).expand(batch, -1, -1), [table], 5e-3, settings,
        tick)
    hook.remove()
    with torch.no_grad():
        table.copy_(torch.where(keep.bool(), table, others))
    pipe.text_encoder.requires_grad_(False)
    return tuned


def dreambooth_text(model: AttackedModel, subject: Subject, settings: TuningSettings, tick: Progress) -> AttackedModel:
    """DreamBooth of the UNet and the text encoder."""
    return dreambooth(model, subject, settings, tick, text_encoder=True)


TUNING_ATTACKS: dict[str, Callable[[AttackedModel, Subject, TuningSettings, Progress], AttackedModel]] = {
    "dreambooth": dreambooth,
    "dreambooth-text": dreambooth_text,
    "lora": lora,
    "textual-inversion": textual_inversion,
}
