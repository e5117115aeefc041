"""`python -m segue` is `segue`; so torchrun can start it: `torchrun --nproc-per-node 2 -m segue train ...`."""

from segue.cli import main

if __name__ == "__main__":
    main()
