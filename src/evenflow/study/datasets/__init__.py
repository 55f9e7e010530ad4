"""Where samples come from: one kind of source a module, each a function from `Data` to `Source`."""
