"""What people look at: pictures of images, truth, prediction and errors."""
