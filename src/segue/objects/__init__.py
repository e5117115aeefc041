"""From probabilities to objects, and what is done with objects: measure, outline, draw, compare."""
