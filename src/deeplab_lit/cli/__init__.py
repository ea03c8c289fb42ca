"""The command line: entry points, arguments, help, completion and error messages."""
