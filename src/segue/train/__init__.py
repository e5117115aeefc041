"""Training: examples to batches, a schedule that ends when the time does, a loop that can be killed and resumed."""
