"""One file for each system of the papers and each rival."""
