"""Raw files → Screen → Study: reading, units, censoring, scaling and joining two screens on shared genes."""
