"""The whole flow: from annotated images to a model, from a model to masks, from masks to scores."""
