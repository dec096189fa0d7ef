"""python -m evaluation.train.scenes --data DIR --encoders DIR --work DIR: the stages, each resumed where cut off."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from ..gates import table
from ..models import make_scheduler
from . import cache, decoder, denoiser, distil, encoders, evaluate, export, gates, judge, sheets, text
from .stock import Stock

TEACHER = "taesd"
STAGES = (
    "latents-128",
    "text",
    "unet-128",
    "latents-256",
    "encoder",
    "decoder",
    "unet-256",
    "encoders",
    "export",
    "evaluate",
    "sheets",
    "judge",
    "gates",
)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.train.scenes", description="Train the scenes model.")
    parser.add_argument("--data", type=Path, required=True, help="folder of objects-128 and scenes-256")
    parser.add_argument("--encoders", type=Path, required=True, help="folder of taesd, taesdxl and taef1")
    parser.add_argument("--work", type=Path, required=True, help="checkpoints and logs; a later run goes on from them")
    parser.add_argument("--model", type=Path, help="where to write the diffusers folder (default: WORK/model)")
    parser.add_argument("--minutes-128", type=float, default=240, help="of the denoiser at 128 px")
    parser.add_argument("--minutes-256", type=float, default=120, help="of the denoiser at 256 px")
    parser.add_argument("--encoder-minutes", type=float, default=60, help="of the autoencoder's encoder")
    parser.add_argument("--decoder-minutes", type=float, default=120, help="of the autoencoder's decoder")
    parser.add_argument("--encoders-minutes", type=float, default=60, help="of each of the small encoders")
    parser.add_argument("--shards-encoders", type=int, default=4, help="training shards of each small encoder")
    parser.add_argument("--shards-128", type=int, default=15, help="training shards of 400 scenes at 128 px")
    parser.add_argument("--shards-256", type=int, default=4, help="training shards of 400 scenes at 256 px")
    parser.add_argument("--pull-share", type=float, default=1 / 3, help="share of the time with attention pulled")
    parser.add_argument("--guidance", type=float, default=4, help="of the samples on the sheet")
    parser.add_argument("--judge-steps", type=int, default=800, help="of the judge of samples")
    parser.add_argument("--seed", type=int, default=0, help="of text encoder and denoiser")
    parser.add_argument("--device", default="cpu", help="of the trainings: cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="of the processor")
    parser.add_argument("--side", type=int, default=128, choices=(128, 256), help="of the denoiser to judge and draw")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, help="stages to run (default: all)")
    return parser.parse_args()


def latents_folder(work: Path, side: int, teacher: str = TEACHER) -> Path:
    """Where the latents of a teacher at one side are."""
    return work / (f"latents-{side}" if teacher == TEACHER else f"latents-{side}-{teacher}")


def fill(options: argparse.Namespace, side: int, shards: int, teacher: str = TEACHER) -> None:
    """Latents of a teacher at one side."""
    encode = cache.teacher_encoder(options.encoders, teacher, options.device)
    for split, count in (("validation", 1), ("train", shards)):
        cache.fill(options.data, latents_folder(options.work, side, teacher), split, count, side, encode)


def train_unet(options: argparse.Namespace, side: int) -> None:
    """The denoiser at one side; that of 256 px starts from that of 128."""
    work, small = options.work, side == 128
    choice = denoiser.Options(
        latents=latents_folder(work, side),
        minutes=options.minutes_128 if small else options.minutes_256,
        start=None if small else work / "unet-128.pt",
        pull_share=options.pull_share,
        seed=options.seed,
        device=options.device,
        batch=denoiser.BATCH if small else denoiser.BATCH // 3,
        peak=denoiser.LEARNING_RATE if small else denoiser.LEARNING_RATE / 2,
    )
    denoiser.train(work, f"unet-{side}", choice)


def train_encoder(options: argparse.Namespace) -> None:
    """The autoencoder's encoder, on pairs of both sides."""
    folders = [latents_folder(options.work, side) for side in (128, 256)]
    train = distil.load_pairs(options.data, folders, "train")
    held_out = distil.load_pairs(options.data, folders, "validation")[-1]
    path = options.work / "encoder.pt"
    distil.train_encoder(path, distil.student_encoder, train, held_out, options.encoder_minutes, options.device)


def train_encoders(options: argparse.Namespace) -> None:
    """Small encoders of all teachers, each for itself, on pairs of 128 px."""
    for teacher in encoders.TEACHERS:
        fill(options, 128, options.shards_encoders, teacher)
        folder, path = latents_folder(options.work, 128, teacher), options.work / f"encoder-{teacher}.pt"
        train, held_out = (distil.load_pairs(options.data, [folder], split) for split in ("train", "validation"))
        make = partial(encoders.TinyEncoder, train[0].cached.latents.shape[1])
        distil.train_encoder(path, make, train, held_out[0], options.encoders_minutes, options.device)
        encoders.export(path, options.work / "encoders" / teacher)


def sampling_model(options: argparse.Namespace, name: str) -> evaluate.Model:
    """The denoiser `name` with what samples need, decoded by the teacher."""
    vae = cache.load_teacher(options.encoders)
    return evaluate.load_model(options.work, name, scheduler=make_scheduler(), vae=vae)


def actions(options: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """What each stage does."""
    work, name = options.work, f"unet-{options.side}"
    latents = latents_folder(work, options.side)
    return {
        "latents-128": lambda: fill(options, 128, options.shards_128),
        "text": lambda: text.train(options.data, work, options.seed),
        "unet-128": lambda: train_unet(options, 128),
        "latents-256": lambda: fill(options, 256, options.shards_256),
        "encoder": lambda: train_encoder(options),
        "decoder": lambda: decoder.train_decoder(
            options.data, work / "encoder.pt", work / "decoder.pt", options.decoder_minutes, options.device
        ),
        "unet-256": lambda: train_unet(options, 256),
        "encoders": lambda: train_encoders(options),
        "export": lambda: export.export(work, "unet-256", options.model or work / "model"),
        "evaluate": lambda: evaluate.run(work, name, latents),
        "sheets": lambda: sheets.draw(
            sampling_model(options, name), latents, Stock(options.data, "validation"), options.guidance, work / name
        ),
        "judge": lambda: judge.train(options.data, work, options.judge_steps),
        "gates": lambda: print(
            table(gates.run(work, options.data, sampling_model(options, name), options.side // 8, options.guidance))
        ),
    }


def main() -> None:
    """Run the chosen stages in their order."""
    options = parse()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    stages = actions(options)
    for stage in STAGES:
        if stage in options.stages:
            print(f"stage: {stage}", flush=True)
            stages[stage]()


if __name__ == "__main__":
    main()
