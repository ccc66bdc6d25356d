"""The commands, a noun a module. Heavy libraries load inside the functions, so that `--help` answers at once."""
