"""Published networks whose maps of images say how alike these are: architectures, no weights."""
