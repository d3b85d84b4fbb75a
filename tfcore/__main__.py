"""Entry point of ``python -m tfcore``."""

from tfcore.cli import main

if __name__ == "__main__":
    main()
