"""Results as DICOM objects, and the network that carries them."""
