"""Run all benchmarks and print their tables."""

from benchmarks import attacks, training

if __name__ == "__main__":
    training.main()
    attacks.main()
