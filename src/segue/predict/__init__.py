"""From a whole normalised image to probabilities, tile by tile, with the same answer for every tile size."""
