"""What happens to a published file before it is used: recompression, resizing, and attempts to clean it."""

import io
from collections.abc import Callable

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .attacks.model import AttackedModel
from .metrics.images import to_pil, to_tensor


def jpeg(quality: int) -> Callable[[AttackedModel, Tensor], Tensor]:
    """JPEG with 4:2:0, as sites store it."""

    def apply(_: AttackedModel, images: Tensor) -> Tensor:
        results = []
        for image in to_pil(images):
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=quality, subsampling=2)
            results.append(Image.open(io.BytesIO(buffer.getvalue())).convert("RGB"))
        return to_tensor(results)

    return apply


def half_and_back(_: AttackedModel, images: Tensor) -> Tensor:
    """Resized to half and back."""
    side = images.shape[-1]
    small = [image.resize((side // 2, side // 2), Image.Resampling.BICUBIC) for image in to_pil(images)]
    return to_tensor([image.resize((side, side), Image.Resampling.BICUBIC) for image in small])


def blur(_: AttackedModel, images: Tensor) -> Tensor:
    """Gaussian blur of deviation 0.7 pixels."""
    places = torch.arange(-2, 3).float()
    kernel = torch.exp(-(places**2) / (2 * 0.7**2))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1).repeat(3, 1, 1, 1)
    padded = F.pad(images, (2, 2, 2, 2), "reflect")
    return F.conv2d(F.conv2d(padded, kernel, groups=3), kernel.transpose(2, 3), groups=3)


def crop(_: AttackedModel, images: Tensor) -> Tensor:
    """A tenth cut off at each edge, then resized to the same side."""
    side = images.shape[-1]
    edge = side // 10
    inner = [image.crop((edge, edge, side - edge, side - edge)) for image in to_pil(images)]
    return to_tensor([image.resize((side, side), Image.Resampling.BICUBIC) for image in inner])


def vae_round_trip(model: AttackedModel, images: Tensor) -> Tensor:
    """Through the attacker's own autoencoder."""
    return model.decode(model.encode(images))


@torch.no_grad()
def noise_and_denoise(model: AttackedModel, images: Tensor) -> Tensor:
    """Noised to a fifth of the schedule and denoised without a prompt by the attacker's model (as DiffPure)."""
    scheduler = model.sampler(50)
    timesteps = scheduler.timesteps[-10:]
    latents = model.encode(images)
    latents = scheduler.add_noise(latents, model.noise(len(images), 17), timesteps[:1].repeat(len(images)))
    texts = model.texts([""] * len(images))
    for timestep in timesteps:
        prediction = model.pipe.unet(latents, timestep, texts).sample
        latents = scheduler.step(prediction, timestep, latents).prev_sample
    return model.decode(latents)


COUNTERMEASURES: dict[str, Callable[[AttackedModel, Tensor], Tensor]] = {
    "none": lambda _, images: images,
    "jpeg-90": jpeg(90),
    "jpeg-75": jpeg(75),
    "jpeg-50": jpeg(50),
    "half-and-back": half_and_back,
    "blur": blur,
    "crop": crop,
    "vae": vae_round_trip,
    "noise-and-denoise": noise_and_denoise,
}
