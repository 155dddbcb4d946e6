"""The subcommands of `wherry`: each module has one `command`."""
