"""Where workers run, and the client's connection to each of them."""
