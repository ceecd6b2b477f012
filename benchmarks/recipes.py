"""Compare training recipes on equal small budgets, with seeds and spread: `python -m benchmarks.recipes --dir_data …`.

Every variant trains the SR network on the same number of patches.
"""

from benchmarks.trials import SIGMAS_X2, run_trials, table, trial_parser, validation


def main() -> None:
    """Run all variants with all seeds, print the table."""
    parser = trial_parser(__doc__.splitlines()[0], steps=300)
    parser.add_argument("--model", default="CDSR_S")
    parser.add_argument("--recipes", nargs="+", metavar="WORD", help="only those whose names contain one of these")
    args = parser.parse_args()
    warmup = f"--decay_type cosine --warmup {args.budget // 15}"
    halved = f"--batch_size {2 * args.batch_size} --test_every {args.budget // args.epochs // 2}"
    variants = {
        "paper: Adam 1e-4, steps": "--lr_sr 1e-4",
        "4e-4, steps": "--lr_sr 4e-4",
        "8e-4, cosine": "--lr_sr 8e-4 --decay_type cosine",
        "8e-4, cosine, warm-up, EMA 0.999": f"--lr_sr 8e-4 {warmup} --ema 0.999",
        "2e-3, cosine, warm-up, clipped": f"--lr_sr 2e-3 {warmup} --grad_clip 20",
        "8e-4, cosine, batch x2": f"--lr_sr 8e-4 --decay_type cosine {halved}",
        "2e-3, cosine, warm-up, clipped, encoder phase first": (
            f"--lr_sr 2e-3 {warmup} --grad_clip 20 --epochs_encoder 1 --lr_encoder 3e-4 --queue_size 2048"
        ),
        "5e-4, cosine, warm-up, clipped": f"--lr_sr 5e-4 {warmup} --grad_clip 20",
        "Muon 5e-4, cosine, warm-up, clipped": f"--optimizer MUON --lr_sr 5e-4 {warmup} --grad_clip 20",
        "Muon 1e-3, cosine, warm-up, clipped": f"--optimizer MUON --lr_sr 1e-3 {warmup} --grad_clip 20",
        "Muon 2e-3, cosine, warm-up, clipped": f"--optimizer MUON --lr_sr 2e-3 {warmup} --grad_clip 20",
    }
    chosen = {
        name: f"--model {args.model} {SIGMAS_X2} {words}"
        for name, words in variants.items()
        if not args.recipes or any(word in name for word in args.recipes)
    }
    print(table(run_trials(chosen, args, validation)))


if __name__ == "__main__":
    main()
