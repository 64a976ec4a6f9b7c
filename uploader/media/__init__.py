"""What the bytes of a recording are: container, codec, duration, and whether it is whole."""
