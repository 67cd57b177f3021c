"""attnpick: particle picking in cryo-EM micrographs with a U-Net and an Attention U-Net.

Importing this package loads nothing heavy: torch, pandas and h5py arrive with the modules that need them.
"""

__version__ = "0.1.0"
