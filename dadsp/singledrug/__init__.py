"""One small network per drug: gene selection, growth search, compression, sensitivity classes."""
