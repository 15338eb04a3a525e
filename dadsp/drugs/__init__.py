"""SMILES → identities, and rows of features: computed ones, and codes that a network decodes."""
