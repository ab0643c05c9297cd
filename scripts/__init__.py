"""One small script per rule, and the package that they share."""
