"""``python -m stemcli`` is the same as ``stem``."""

from stemcli.cli import main

if __name__ == "__main__":
    main()
