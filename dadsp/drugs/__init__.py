"""SMILES → identities and features that are computed, not learned."""
