"""The command line, `zest`: thin over the functions of the package."""
