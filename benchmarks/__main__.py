"""Run all benchmarks and print their tables."""

from benchmarks import adversarial_training, attacks, latency, page, sweeps, training

if __name__ == "__main__":
    training.main()
    attacks.main()
    adversarial_training.main()
    sweeps.main()
    latency.main()
    page.main()
