"""python -m evaluation.train --data DIR --work DIR: every stage, each going on from where it was cut off."""

import argparse
from pathlib import Path

from . import gates, judge, latents, pictures, text, unet, vae
from .export import export
from .models import WIDTH

STAGES = ("vae", "latents", "text", "unet", "judge", "export", "gates", "pictures")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.train", description="Train the clothing model.")
    parser.add_argument("--data", type=Path, required=True, help="photographs: DATA/SPLIT/CLASS/NAME.jpg")
    parser.add_argument("--work", type=Path, required=True, help="checkpoints and logs; a later run goes on from them")
    parser.add_argument("--model", type=Path, help="where to write the diffusers folder (default: WORK/model)")
    parser.add_argument("--vae-minutes", type=float, default=30, help="training time of the autoencoder")
    parser.add_argument("--minutes", type=float, default=120, help="training time of the denoiser")
    parser.add_argument("--vae", type=Path, help="a diffusers folder whose autoencoder is taken in place of an own one")
    parser.add_argument("--seed", type=int, default=0, help="of the text encoder and the denoiser")
    parser.add_argument("--width", type=int, default=WIDTH, help="channels of the denoiser's first level")
    parser.add_argument("--judge-epochs", type=int, default=25, help="epochs of the judge of the gates")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, help="stages to run (default: all)")
    return parser.parse_args()


def draw(model: Path, data: Path, work: Path) -> None:
    """Sheets, curves and logs beside the exported model."""
    folder = model / "training"
    folder.mkdir(parents=True, exist_ok=True)
    pictures.draw_pictures(model, data, folder)
    pictures.draw_curves(work, folder / "curves.png")
    for name in ("vae.csv", "unet.csv", "text.csv"):
        pictures.thin_log(work / name, folder / name)


def main() -> None:
    """Run the chosen stages in their order."""
    options = parse()
    data, work = options.data, options.work
    model = options.model or work / "model"
    work.mkdir(parents=True, exist_ok=True)
    actions = {
        "vae": lambda: (latents.take_vae(options.vae, work) if options.vae
                        else vae.train(data, work, options.vae_minutes)),
        "latents": lambda: latents.prepare(data, work),
        "text": lambda: text.train(work, options.seed),
        "unet": lambda: unet.train(work, options.minutes, options.seed, options.width),
        "judge": lambda: judge.train(data, work, options.judge_epochs),
        "export": lambda: export(work, model),
        "gates": lambda: print(gates.table(gates.run(model, data, work))),
        "pictures": lambda: draw(model, data, work),
    }
    for stage in STAGES:
        if stage in options.stages:
            print(f"stage: {stage}", flush=True)
            actions[stage]()


if __name__ == "__main__":
    main()
