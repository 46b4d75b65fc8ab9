"""Run all benchmarks and print their tables."""

from benchmarks import attacks, sweeps, training

if __name__ == "__main__":
    training.main()
    attacks.main()
    sweeps.main()
