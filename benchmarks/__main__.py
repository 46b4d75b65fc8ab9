"""Run all benchmarks and print their tables; those of docs/speed.md are stored in docs/speed.json."""

from benchmarks import adversarial_training, attacks, first_use, latency, page, sweeps, training

if __name__ == "__main__":
    training.main()
    adversarial_training.main()
    attacks.main()
    first_use.main()
    sweeps.main()
    latency.main()
    page.main()
