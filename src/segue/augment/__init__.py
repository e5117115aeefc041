"""Random variations of training patches: parameters are drawn first, then applied deterministically."""
