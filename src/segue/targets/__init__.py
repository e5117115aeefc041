"""What the network learns from an annotation: class maps, pixel weights, distances."""
