"""One small network per drug from gene expression to response: selection, growth, compression, classes, protocol."""
