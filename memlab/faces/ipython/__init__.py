"""The notebook's face: magics."""
