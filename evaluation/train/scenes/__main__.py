"""python -m evaluation.train.scenes --data DIR --encoders DIR --work DIR: the stages, each resumed where cut off."""

import argparse
from pathlib import Path

import torch

from . import cache, denoiser, text

STAGES = ("latents-128", "text", "unet-128")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.train.scenes", description="Train the scenes model.")
    parser.add_argument("--data", type=Path, required=True, help="folder of objects-128 and scenes-256")
    parser.add_argument("--encoders", type=Path, required=True, help="folder of taesd, taesdxl and taef1")
    parser.add_argument("--work", type=Path, required=True, help="checkpoints and logs; a later run goes on from them")
    parser.add_argument("--minutes-128", type=float, default=240, help="training time of the denoiser at 128 px")
    parser.add_argument("--shards", type=int, default=15, help="of 400 scenes each, at 128 px")
    parser.add_argument("--pull-share", type=float, default=1 / 3, help="share of the time with attention pulled")
    parser.add_argument("--seed", type=int, default=0, help="of text encoder and denoiser")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="of the processor")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, help="stages to run (default: all)")
    return parser.parse_args()


def fill(options: argparse.Namespace, side: int, shards: int) -> None:
    """Latents of the teacher at one side."""
    encode = cache.teacher_encoder(options.encoders, device=options.device)
    for split, count in (("validation", 1), ("train", shards)):
        cache.fill(options.data, options.work / f"latents-{side}", split, count, side, encode)


def main() -> None:
    """Run the chosen stages in their order."""
    options = parse()
    torch.set_num_threads(options.threads)
    work = options.work
    work.mkdir(parents=True, exist_ok=True)
    common = {"pull_share": options.pull_share, "seed": options.seed, "device": options.device}
    actions = {
        "latents-128": lambda: fill(options, 128, options.shards),
        "text": lambda: text.train(options.data, work, options.seed),
        "unet-128": lambda: denoiser.train(
            work, "unet-128", denoiser.Options(work / "latents-128", options.minutes_128, **common)
        ),
    }
    for stage in STAGES:
        if stage in options.stages:
            print(f"stage: {stage}", flush=True)
            actions[stage]()


if __name__ == "__main__":
    main()
