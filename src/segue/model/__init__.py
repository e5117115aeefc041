"""The network, what is known of it in integers, and the file it is kept in."""
