"""Sources: how an export becomes candidate events. Each is a mapping in `configs/sources/`."""
