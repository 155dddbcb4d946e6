"""`python -m netproxy`."""

from netproxy.cli import main

if __name__ == "__main__":
    main()
