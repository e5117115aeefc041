"""Files in and out: images, masks, data sets."""
