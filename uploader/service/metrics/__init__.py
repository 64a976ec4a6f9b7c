"""What is measured, as families of figures with their meaning; the format they are given out in is the web's."""
